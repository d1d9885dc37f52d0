#!/bin/sh
# All checks: lint, types, then every test. Makes a virtual environment in .venv unless one is active, and installs into it.
#   bash tests/run.sh [options of pytest]          for example: bash tests/run.sh tests/test_engine_runs.py -k homo
# Tests on real material skip where it is absent and say why; FEWSHOT_SHARED names its folder.
set -eu
cd "$(dirname "$0")/.."
. wsi_workdir/scripts/_install.sh
install requirements.txt tests/requirements.txt
"$PYTHON" -m ruff check .
"$PYTHON" -m mypy
exec "$PYTHON" -m pytest "$@"
