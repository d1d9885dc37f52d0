#!/usr/bin/env bash
# Train on a SLURM cluster: bash tools/srun_train.sh PARTITION CONFIG GPUS [options of tools/train.py]
# GPUS: processes in all. Environment: GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS (more options of srun), PORT.
if [ $# -lt 3 ]; then
    echo "usage: bash tools/srun_train.sh PARTITION CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
PARTITION=$1
CONFIG=$2
GPUS=$3
shift 3
. "$(dirname "$0")/_launch.sh"
queue "$PARTITION" "$GPUS" train.py "$CONFIG" --seed 0 --launcher slurm "$@"
