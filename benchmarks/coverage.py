"""Whether open intervals hold the truth: data sets are drawn anew from a known source, again and again.

    python benchmarks/coverage.py                      # every row; 90 minutes on two cores
    python benchmarks/coverage.py --rows grouped --worlds 100

For each row a table says how often the nominal 95 % interval holds the true mean (known from other data sets of the
same source), its median half-width over the true one (1.96 standard deviations of the mean over data sets), and how
often two equally good encoders are told apart at p < 0.05. A bar is missed where the 99 % interval of the simulation
excludes it.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import joblib
import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from benchmarks._worlds import Row, draw_world, intervals, true_mean
from fewshot_wsi.foundation.errors import UserError, run_command

BOOTSTRAP = dict(open="bootstrap")
PATIENTS = dict(both=True, support=10)
ROWS = [
    Row(shots=1), Row(shots=5), Row(shots=50), Row(shots=100),
    Row(shots=1, tasks=1000), Row(shots=5, tasks=1000), Row(shots=50, tasks=1000), Row(shots=100, tasks=1000),
    Row(clf="Ridge"), Row(clf="Ridge", shots=50, tasks=1000),
    Row(unequal=True, tiles=40), Row(unequal=True, tiles=40, tasks=1000),
    Row(unequal=True, tiles=40, support=5, query=5),
    Row(support=3, query=3), Row(support=3, query=3, shots=50, tiles=40, tasks=1000), Row(support=3, query=35),
    Row(support=5, query=5), Row(support=5, query=35, shots=50, tasks=1000), Row(support=15, query=3, tasks=1000),
    Row(support=10, query=10), Row(support=10, query=10, shots=1, tasks=1000),
    Row(homo=True), Row(homo=True, tasks=1000), Row(homo=True, support=5, shots=1),
    Row(originals=50), Row(originals=250, tasks=1000), Row(originals=50, rule="distinct", tasks=1000),
    Row(**PATIENTS), Row(**PATIENTS, tasks=1000), Row(**PATIENTS, shots=50, tasks=1000), Row(both=True, support=5),
    Row(both=True, support=3), Row(**PATIENTS, rule="distinct", shots=1, tasks=1000),
    Row(**PATIENTS, unequal=True, tiles=40, rule="distinct"), Row(rule="distinct"), Row(rule="disjoint", tiles=60),
    Row(**PATIENTS, rule="grouped", **BOOTSTRAP), Row(both=True, support=15, rule="grouped", shots=1, **BOOTSTRAP),
    Row(both=True, support=5, rule="grouped", **BOOTSTRAP), Row(both=True, support=3, **BOOTSTRAP),
    Row(shots=50, **BOOTSTRAP), Row(rule="disjoint", tiles=60, **BOOTSTRAP), Row(tasks=1000, **BOOTSTRAP),
]
COVERAGE, SIZE, WIDE, WIDE_FEW, FEW = 0.93, 0.06, 1.5, 3.0, 10  # the bars; WIDE_FEW: below FEW units


def main(argv=None):
    args = parse_args(argv)
    chosen = [row for row in ROWS if args.rows in f"{describe(row)}, {row.open}"]
    if not chosen:
        raise UserError(f"--rows {args.rows!r}: in no row; the first is {describe(ROWS[0])!r}")
    print("| design | open | worlds | true F1 | coverage, % | half-width / true | paired size, % | missed | s |\n"
          "|" + " --- |" * 9, flush=True)
    start = time.perf_counter()
    for row in chosen:
        worlds = args.worlds or (200 if row.open == "bootstrap" else 400)
        begin = time.perf_counter()
        found = measure(row, worlds, args.workers)
        print(line(row, worlds, found, time.perf_counter() - begin), flush=True)
    print(f"\n{len(chosen)} rows in {(time.perf_counter() - start) / 60:.0f} min, {args.workers} processes")


def parse_args(argv):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", default="", metavar="WORDS", help="rows whose description holds these words (default all)")
    p.add_argument("--worlds", type=int, help="data sets a row (default 400, and 200 where the bootstrap is used)")
    p.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes (default: one a core)")
    return p.parse_args(argv)


def describe(row):
    """'15/35 slides, 5 shots, 100 tasks, published'."""
    what = f"{row.support} patients on both sides" if row.both else f"{row.support}/{row.query} slides"
    if row.originals:
        what = f"{row.originals} originals a class, {row.tiles} copies"
    words = [what, "unequal" * row.unequal, f"{row.shots} shot{'s' * (row.shots > 1)}", f"{row.tasks:,} tasks",
             "homo" if row.homo else row.rule, "" if row.clf == "nearest_centroid" else row.clf]
    return ", ".join(filter(None, words))


def measure(row, worlds, workers=1, truth_worlds=1000):
    """dict of coverage, ratio and size, each (value, low, high) with its 99 % simulation interval; and `truth`."""
    pieces = np.array_split(np.arange(worlds), min(worlds, 20 * workers))
    others = np.array_split(np.arange(truth_worlds), 2 * workers)
    pool = joblib.Parallel(workers)
    truth = np.concatenate(pool(joblib.delayed(_one_thread)(true_mean, row, part) for part in others)).mean()
    found = np.array([one for part in pool(joblib.delayed(_one_thread)(_piece, row, part) for part in pieces)
                      for one in part])
    mean, half, p = found.T
    held, apart = (np.abs(mean - truth) <= half).sum(), (p < 0.05).sum()
    ratio = np.median(half) / (1.96 * mean.std(ddof=1))
    error = stats.norm.ppf(0.995) / np.sqrt(2 * worlds)  # relative, of a standard deviation
    return {"truth": truth, "ratio": (ratio, ratio * (1 - error), ratio * (1 + error)),
            "coverage": (held / worlds, *_share(held, worlds)), "size": (apart / worlds, *_share(apart, worlds))}


def _one_thread(function, *args):
    with threadpool_limits(1):
        return function(*args)


def _piece(row, numbers):
    found = [intervals(draw_world(row, number), row) for number in numbers]
    return [(one.mean, one.half, difference.p) for one, difference in found]


def _share(count, of):
    """99 % interval of Clopper and Pearson."""
    found = stats.binomtest(int(count), of).proportion_ci(0.99)
    return found.low, found.high


def missed(row, found):
    """Names of the bars that a row misses."""
    wide = WIDE_FEW if row.fewest < FEW else WIDE
    bars = {"coverage": found["coverage"][2] < COVERAGE, "half-width": found["ratio"][1] > wide,
            "size": found["size"][1] > SIZE}
    return [name for name, misses in bars.items() if misses]


def line(row, worlds, found, seconds):
    def share(name):
        value, low, high = found[name]
        return f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"

    return (f"| {describe(row)} | {row.open} | {worlds} | {found['truth']:.3f} | {share('coverage')} "
            f"| {found['ratio'][0]:.2f} | {share('size')} | {', '.join(missed(row, found))} | {seconds:.0f} |")


if __name__ == "__main__":
    sys.exit(run_command(main))
