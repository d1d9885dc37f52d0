#!/bin/sh
# The whole ablation: prototypes, latent augmentation, data augmentation, and both (views: extract_ablation_feats.sh).
#   sh wsi_workdir/scripts/ablation.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol ablation --only NCT_78_aug --ablation full --stages dictionary,meta_test,summary --blocks "$@"
