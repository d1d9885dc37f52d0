"""Meta-test with augmented views of the support tiles: data augmentation, alone or times latent augmentation."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from fewshot_wsi.commands.distributed_meta_test_wt_aug import main
from fewshot_wsi.foundation.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
