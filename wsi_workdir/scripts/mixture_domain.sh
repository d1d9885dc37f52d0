#!/bin/sh
# Mixture-domain evaluation: dictionaries, then every model, shots, mode and classifier.
#   sh wsi_workdir/scripts/mixture_domain.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol mixture_domain --only mixture --stages dictionary,meta_test,summary --blocks "$@"
