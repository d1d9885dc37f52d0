#!/usr/bin/env bash
# Evaluate a classifier with several processes: bash tools/dist_test.sh CONFIG GPUS CHECKPOINT [options of tools/test.py]
. "$(dirname "$0")/_launch.sh"
need_words 3 "CONFIG GPUS CHECKPOINT [options of tools/test.py]" "$@"
config=$1 gpus=$2 checkpoint=$3
shift 3
launch "$gpus" test.py "$config" "$checkpoint" --launcher pytorch "$@"
