#!/usr/bin/env bash
# Evaluate on a SLURM cluster: bash tools/srun_test.sh PARTITION CONFIG GPUS CHECKPOINT [options of tools/test.py]
# Environment as for tools/srun_train.sh.
if [ $# -lt 4 ]; then
    echo "usage: bash tools/srun_test.sh PARTITION CONFIG GPUS CHECKPOINT [options of tools/test.py]" >&2
    exit 2
fi
PARTITION=$1
CONFIG=$2
GPUS=$3
CHECKPOINT=$4
shift 4
. "$(dirname "$0")/_launch.sh"
queue "$PARTITION" "$GPUS" test.py "$CONFIG" "$CHECKPOINT" --launcher slurm "$@"
