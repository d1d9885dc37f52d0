"""Slides with regions marked in QuPath, ASAP, ImageScope or NDP.view become tiles, lists, groups and a protocol."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from fewshot_wsi.commands.annotated_slides import main
from fewshot_wsi.foundation.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
