#!/bin/sh
# The tasks of the ablation; data augmentation and latent augmentation are compared on the same ones.
#   sh wsi_workdir/scripts/generate_ablation_tasks.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol generate_ablation_tasks --only NCT_78_aug --stages tasks "$@"
