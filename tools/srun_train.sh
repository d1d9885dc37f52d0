#!/usr/bin/env bash
# Train on a SLURM cluster: bash tools/srun_train.sh PARTITION CONFIG GPUS [options of tools/train.py]
# GPUS: processes in all. Environment: GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS (more options of srun), PORT.
. "$(dirname "$0")/_launch.sh"
need_words 3 "PARTITION CONFIG GPUS [options of tools/train.py]" "$@"
partition=$1 config=$2 gpus=$3
shift 3
queue "$partition" "$gpus" train.py "$config" --seed 0 --launcher slurm "$@"
