#!/bin/sh
# Near-domain evaluation: dictionaries, then every model, shots, mode and classifier.
#   sh wsi_workdir/scripts/near_domain.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol near_domain --only near --stages dictionary,meta_test,summary --blocks "$@"
