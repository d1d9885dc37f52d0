"""Bring features of other tools into the order of a list."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from fewshot_wsi.commands.import_features import main
from fewshot_wsi.foundation.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
