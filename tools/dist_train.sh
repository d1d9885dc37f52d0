#!/usr/bin/env bash
# Train on one or many processes of this machine, or as one of several nodes.
#   bash tools/dist_train.sh CONFIG GPUS [--work_dir D] [options of tools/train.py]
# GPUS: processes on this machine; without GPUs they share the CPU's cores (OMP_NUM_THREADS: threads of each).
# Several nodes: the same command on each, with NNODES, NODE_RANK (0 …), MASTER_ADDR (of node 0), MASTER_PORT or PORT.
. "$(dirname "$0")/_launch.sh"
need_words 2 "CONFIG GPUS [--resume_from F] [options of tools/train.py]" "$@"
config=$1 gpus=$2
shift 2
launch "$gpus" train.py "$config" --seed 0 --launcher pytorch "$@"
