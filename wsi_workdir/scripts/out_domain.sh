#!/bin/sh
# Out-domain evaluation, hetero and homo: dictionaries, then every model, shots and method.
#   sh wsi_workdir/scripts/out_domain.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol out_domain --only out,out_homo --stages dictionary,meta_test,summary --blocks "$@"
