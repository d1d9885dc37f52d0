#!/usr/bin/env bash
# Train with one process, without a launcher: bash tools/single_train.sh CONFIG [options of tools/train.py]
. "$(dirname "$0")/_launch.sh"
need_words 1 "CONFIG [options of tools/train.py]" "$@"
exec "$PYTHON" -u "$ROOT/tools/train.py" --seed 0 "$@"
