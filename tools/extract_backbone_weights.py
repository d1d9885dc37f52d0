"""Keep the backbone of a training checkpoint: its weights under torchvision's names, ready for feature extraction."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from fewshot_wsi.commands.extract_backbone_weights import main
from fewshot_wsi.foundation.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
