"""Make the report of an evaluation: one self-contained page, its tables, figures and numbers as files."""

import argparse
import contextlib
import shlex
import sys
import time
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.messages import say

EXAMPLE = """\
examples:
  python wsi_workdir/report.py wsi_workdir/workdir/results --out report/
  python wsi_workdir/report.py results/ --out report/ --protocol configs/protocols/tiles.py --target_ci 0.5
  python wsi_workdir/report.py wsi_workdir/workdir/results --out report/ --watch   # while a protocol runs

writes report.html, tables/*.{csv,md,tex}, figures/*.{svg,png}, tidy.csv, confusion.csv, summary.json
"""


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="result files, or folders of them")
    parser.add_argument("--out", required=True, help="folder of the report; made if missing")
    parser.add_argument("--protocol", help="protocol file: names slides, pre-training lists and image folders")
    parser.add_argument("--tiles", nargs="+", default=[], metavar="ROOT", help="folders that listed images lie below")
    parser.add_argument("--pictures", metavar="DIR", help="folder made by visualize.py, to be shown")
    parser.add_argument("--target_ci", type=float, metavar="POINTS",
                        help="how many tasks would narrow the half-width of the macro F1 to this many points")
    parser.add_argument("--title", help="heading of the page")
    parser.add_argument("--watch", nargs="?", type=float, const=10.0, metavar="SECONDS",
                        help="look for new results every so many seconds (10) and write the page again, until Ctrl-C")
    parser.add_argument("--workers", type=int, default=2, help="processes that read results (default 2)")
    args = parser.parse_args(argv)
    if args.target_ci is not None and not 0 < args.target_ci < 100:
        raise UserError(f"--target_ci {args.target_ci:g}: a half-width in points lies between 0 and 100")
    if args.watch is not None and not args.watch > 0:
        raise UserError(f"--watch {args.watch:g}: give a number of seconds above 0")
    if args.workers < 1:
        raise UserError(f"--workers {args.workers}: give a whole number from 1")
    return args


def main(argv=None):
    args = parse_args(argv)
    from fewshot_wsi.meta_test.protocol import load_protocol
    from fewshot_wsi.report.writing import write_report

    asked = sys.argv[1:] if argv is None else argv
    options = dict(protocol=load_protocol(args.protocol) if args.protocol else None, tiles=args.tiles,
                   pictures=args.pictures, target=args.target_ci and args.target_ci / 100, jobs=args.workers,
                   title=args.title, command=shlex.join(["python", "wsi_workdir/report.py", *map(str, asked)]))
    if args.watch:
        return watch(args.results, args.out, args.watch, options)
    page, content = write_report(args.results, args.out, **options)
    for notice in content.evidence.notices:
        say(f"notice: {notice}", file=sys.stderr)
    print(f"report of {len(content.evidence.each)} runs: {page}")


def watch(results, out, seconds, options):
    """Write the page whenever results have changed; the last one, on Ctrl-C, no longer reloads itself.

    Results that are not there yet are waited for; whatever else is wrong ends it.
    """
    from fewshot_wsi.meta_test.results import NoResults, find_results
    from fewshot_wsi.report.evidence import stamp
    from fewshot_wsi.report.writing import SUMMARY, write_report

    cache, seen, page = {}, None, None
    try:
        while True:
            try:
                now = [stamp(path) for path in find_results(results, Path(out, SUMMARY))]
                if now != seen:
                    live = f"Live: {len(now)} results so far; looks again every {seconds:g} s."
                    page, content = write_report(results, out, refresh=max(5, round(seconds)), live=live, cache=cache,
                                                 **options)
                    say_when(f"{len(content.evidence.each)} runs: {page}")
                    seen = now
            except NoResults as error:
                if str(error) != seen:
                    say_when(f"waiting: {error}", sys.stderr)
                seen = str(error)
            time.sleep(seconds)
    finally:
        if page is not None:
            with contextlib.suppress(NoResults):  # all have been removed: the page stays as it is
                write_report(results, out, cache=cache, **options)
            print(f"last report: {Path(page)}", flush=True)


def say_when(line, stream=None):
    say(f"{time.strftime('%H:%M:%S')} {line}", file=stream)
