"""NCT-CRC-HE-100K: from Zenodo's record, an archive or a folder to every list of the published protocol."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from fewshot_wsi.commands.nct import main
from fewshot_wsi.foundation.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
