"""Meta-test one model on one task: F1 of every class with its 95 % interval, the average in the last line."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from fewshot_wsi.commands.distributed_meta_test import main
from fewshot_wsi.foundation.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
