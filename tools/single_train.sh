#!/usr/bin/env bash
# Train with one process, without a launcher: bash tools/single_train.sh CONFIG [options of tools/train.py]
if [ $# -lt 1 ]; then
    echo "usage: bash tools/single_train.sh CONFIG [options of tools/train.py]" >&2
    exit 2
fi
. "$(dirname "$0")/_launch.sh"
exec "$PYTHON" -u "$ROOT/tools/train.py" --seed 0 "$@"
