"""LC25000: lists of its five classes, and which tiles are augmented copies of one original (groups.csv)."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from fewshot_wsi.commands.lc25000 import main
from fewshot_wsi.foundation.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
