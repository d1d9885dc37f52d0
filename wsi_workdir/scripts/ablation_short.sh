#!/bin/sh
# The ablation without augmented views: number of prototypes, number of latent shots.
#   sh wsi_workdir/scripts/ablation_short.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol ablation_short --only NCT_78_aug --ablation short --stages dictionary,meta_test,summary --blocks "$@"
