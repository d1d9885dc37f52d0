#!/bin/sh
# Features of the ablation's model, and 255 augmented views of the support tiles that its tasks use.
#   sh wsi_workdir/scripts/extract_ablation_feats.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol extract_ablation_feats --only NCT_78_aug --ablation full --stages extract,tasks,views "$@"
