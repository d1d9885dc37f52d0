"""Compare two methods, task by task, on the same tasks."""

import argparse
import sys

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.messages import say

EXAMPLE = """\
example:
  python wsi_workdir/compare.py \\
      results/mixture/clp/5shot_latent_aug_Ridge.json results/mixture/clp/5shot_linear_Ridge.json
"""


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", metavar="A.json", help="result of one method")
    parser.add_argument("b", metavar="B.json", help="result of the other, on the same tasks")
    parser.add_argument("--protocol", help="protocol file: names groups and slides for the open interval")
    parser.add_argument("--seed", type=int, default=0, help="of the random permutations (default 0)")
    args = parser.parse_args(argv)
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: seeds are not negative")
    return args


def main(argv=None):
    args = parse_args(argv)
    from fewshot_wsi.meta_test.protocol import load_protocol
    from fewshot_wsi.meta_test.results import read_result
    from fewshot_wsi.meta_test.sources import Sources
    from fewshot_wsi.report.evidence import check
    from fewshot_wsi.report.paired import check_same_tasks, compare_results
    from fewshot_wsi.report.textual import comparison_lines

    a, b = check(read_result(args.a)), check(read_result(args.b))
    check_same_tasks(a, b)
    sources = Sources(load_protocol(args.protocol) if args.protocol else None)
    units = sources.units(a)
    for notice in sources.notices:
        say(f"notice: {notice}", file=sys.stderr)
    say("\n".join(comparison_lines(a, b, compare_results(a, b, units, args.seed), units.name)))
