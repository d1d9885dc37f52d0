"""Put the table of a finished run into README.md, between its two marks."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.files import write_text

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="example:\n  python docs/results_table.py")
    parser.add_argument("summary", nargs="?", default="wsi_workdir/workdir/tiles/results/summary.md", type=Path,
                        help="table of a run of run_protocol.py (default: %(default)s)")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="file with the two marks")
    args = parser.parse_args(argv)
    if not args.summary.is_file():
        raise UserError(f"{args.summary}: no such table; run bash wsi_workdir/scripts/quickstart.sh --tiles DIR")
    text = args.readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise UserError(f"{args.readme}: the marks {BEGIN} and {END} are missing")
    table = args.summary.read_text(encoding="utf-8").partition("\n\n")[2].strip()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    write_text(args.readme, f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(run_command(main))
