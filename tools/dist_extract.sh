#!/usr/bin/env bash
# Extract features on several processes of this machine, or as one of several nodes; one file results.
#   bash tools/dist_extract.sh CONFIG GPUS --pretrained F --output F.npy [options of wsi_workdir/extract.py]
# GPUS: processes on this machine; without GPUs they run on the CPU's cores.
# Several nodes that share the output folder: the same command on each, with NNODES, NODE_RANK (0 …), MASTER_ADDR (of
# node 0), MASTER_PORT or PORT.
. "$(dirname "$0")/_launch.sh"
need_words 2 "CONFIG GPUS --pretrained F --output F.npy [options]" "$@"
config=$1 gpus=$2
shift 2
need_option "$@"
launch "$gpus" extract.py --config "$config" --launcher pytorch "$@"
