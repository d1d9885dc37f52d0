#!/bin/sh
# Features of the near-domain models (NCT train and test), from weights in workdir/pretrained_weights.
#   sh wsi_workdir/scripts/extract_near_domain_feats.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol extract_near_domain_feats --only near --stages extract "$@"
