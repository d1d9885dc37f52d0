#!/usr/bin/env bash
# Train on one or many processes of this machine, or as one of several nodes.
#   bash tools/dist_train.sh CONFIG GPUS [--work_dir D] [options of tools/train.py]
# GPUS: processes on this machine; without GPUs they share the CPU's cores (OMP_NUM_THREADS: threads of each).
# Several nodes: the same command on each, with NNODES, NODE_RANK (0 …), MASTER_ADDR (of node 0), MASTER_PORT or PORT.
if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG GPUS [--resume_from F] [options of tools/train.py]" >&2
    exit 2
fi
CONFIG=$1
GPUS=$2
shift 2
. "$(dirname "$0")/_launch.sh"
launch "$GPUS" train.py "$CONFIG" --seed 0 --launcher pytorch "$@"
