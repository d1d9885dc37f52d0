#!/usr/bin/env bash
# Evaluate on a SLURM cluster: bash tools/srun_test.sh PARTITION CONFIG GPUS CHECKPOINT [options of tools/test.py]
# Environment as for tools/srun_train.sh.
. "$(dirname "$0")/_launch.sh"
need_words 4 "PARTITION CONFIG GPUS CHECKPOINT [options of tools/test.py]" "$@"
partition=$1 config=$2 gpus=$3 checkpoint=$4
shift 4
queue "$partition" "$gpus" test.py "$config" "$checkpoint" --launcher slurm "$@"
