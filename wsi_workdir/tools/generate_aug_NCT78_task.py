"""Tasks of the ablations: draw them (--task NCT78), and check or export their augmented views (--task NCT78_aug)."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from fewshot_wsi.commands.generate_aug_NCT78_task import main
from fewshot_wsi.foundation.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
