#!/usr/bin/env bash
# Extract features on a SLURM cluster; one file results.
#   bash tools/srun_extract.sh PARTITION CONFIG GPUS --pretrained F --output F.npy [options of wsi_workdir/extract.py]
# GPUS: processes in all. Environment: GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS (more options of srun), PORT.
if [ $# -lt 3 ]; then
    echo "usage: bash tools/srun_extract.sh PARTITION CONFIG GPUS --pretrained F --output F.npy [options]" >&2
    exit 2
fi
PARTITION=$1
CONFIG=$2
GPUS=$3
shift 3
. "$(dirname "$0")/_launch.sh"
queue "$PARTITION" "$GPUS" extract.py --config "$CONFIG" --launcher slurm "$@"
