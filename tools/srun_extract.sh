#!/usr/bin/env bash
# Extract features on a SLURM cluster; one file results.
#   bash tools/srun_extract.sh PARTITION CONFIG GPUS --pretrained F --output F.npy [options of wsi_workdir/extract.py]
# GPUS: processes in all. Environment: GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS (more options of srun), PORT.
. "$(dirname "$0")/_launch.sh"
need_words 3 "PARTITION CONFIG GPUS --pretrained F --output F.npy [options]" "$@"
partition=$1 config=$2 gpus=$3
shift 3
need_option "$@"
queue "$partition" "$gpus" extract.py --config "$config" --launcher slurm "$@"
