"""Write features as HDF5, Zarr or Parquet, for other tools."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from fewshot_wsi.commands.export_features import main
from fewshot_wsi.foundation.errors import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
