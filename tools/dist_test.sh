#!/usr/bin/env bash
# Evaluate a classifier with several processes: bash tools/dist_test.sh CONFIG GPUS CHECKPOINT [options of tools/test.py]
if [ $# -lt 3 ]; then
    echo "usage: bash tools/dist_test.sh CONFIG GPUS CHECKPOINT [options of tools/test.py]" >&2
    exit 2
fi
CONFIG=$1
GPUS=$2
CHECKPOINT=$3
shift 3
. "$(dirname "$0")/_launch.sh"
launch "$GPUS" test.py "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
