"""Draw the tasks of near-, mixture- or out-domain evaluation: rows of the feature sets, the same for every model."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from fewshot_wsi.commands.generate_task import main
from fewshot_wsi.foundation.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
