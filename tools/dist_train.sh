#!/usr/bin/env bash
# Train on one or many processes of this machine, or as one of several nodes.
#   bash tools/dist_train.sh CONFIG GPUS [--work_dir D] [options of tools/train.py]
# GPUS: processes on this machine; without GPUs they run on the CPU's cores.
# Several nodes: the same command on each, with NNODES, NODE_RANK (0 …), MASTER_ADDR (of node 0), MASTER_PORT or PORT.
if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG GPUS [--seed 0] [--resume_from F] [options of tools/train.py]" >&2
    exit 2
fi
CONFIG=$1
GPUS=$2
shift 2
ROOT=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$ROOT:$ROOT/wsi_workdir${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" -m openselfsup.launch --nproc_per_node "$GPUS" \
    --nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}" \
    --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${MASTER_PORT:-${PORT:-29500}}" \
    "$ROOT/tools/train.py" "$CONFIG" --seed 0 --launcher pytorch "$@"
