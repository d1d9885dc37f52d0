"""The published name of wsi_workdir/extract.py: same command, same options."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).resolve().parents[1] / "wsi_workdir" / "extract.py"), run_name="__main__")
