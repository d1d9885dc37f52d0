"""The batched solvers beside scikit-learn, in one run on the same tasks: speed, agreement, memory, scaling.

    python benchmarks/solvers.py --quick                    # about 2 minutes on 2 cores
    python benchmarks/solvers.py --features ../shared/features

scikit-learn fits one task at a time, as published: default estimators, float64 shift bank in memory. Both sides have
the same number of BLAS threads; times are medians, of tasks for scikit-learn and of repeats for the batched solvers,
with scikit-learn's tasks between the repeats. Five ways are real features of --features (<model>/<set>.npy,
<set>_labels.npy) where it is given, nine ways are drawn with their spectrum. Prints Markdown tables.
"""

import argparse
import functools
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from benchmarks._piece import DRAWS, PREFIX, PROTOTYPES, predict_piece
from benchmarks._synthetic import FEATURES, Tissue
from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.seeds import generator
from lowshot.augmentations.latent_aug import LatentShifts
from lowshot.classifiers import PUBLISHED, find_classifier
from lowshot.dictionary import build_dictionary, save_dictionary
from lowshot.prediction import predict, predict_task

QUERIES = 15
ROWS = [  # classifier, mode, tasks source, shots, what the speed-up should be
    ("Ridge", "linear", "five", 10, 5), ("Ridge", "linear", "nine", 10, 5),
    ("Ridge", "sampled", "five", 10, 3), ("Ridge", "sampled", "nine", 10, 3),
    ("Ridge", "expected", "five", 10, 15), ("Ridge", "expected", "nine", 10, 25),
    ("logistic_regression", "linear", "five", 10, 5), ("logistic_regression", "linear", "nine", 10, 5),
    ("logistic_regression", "sampled", "five", 10, 6), ("logistic_regression", "sampled", "nine", 10, 6),
    ("nearest_centroid", "linear", "five", 10, 8), ("nearest_centroid", "linear", "nine", 10, 8),
    ("Ridge", "sampled", "five", 1, None), ("logistic_regression", "sampled", "five", 1, None),
    ("Ridge", "sampled", "three", 50, None), ("Ridge", "sampled", "three", 100, None),
    ("logistic_regression", "sampled", "three", 50, None),
]


@dataclass(frozen=True)
class Source:
    """Where tasks are drawn from: features and labels of supports and queries, and the dictionary."""
    name: str
    support: tuple
    query: tuple
    dictionary: object

    def draw(self, shots, num_tasks):
        """support (T, n, D), labels (n,), query (T, q, D), classes ascending."""
        (x, y), (xq, yq) = self.support, self.query
        classes, rng = np.unique(y), generator(0, "benchmark/tasks", self.name, shots)
        rows = [[rng.choice(np.flatnonzero(y == c), shots, replace=shots > (y == c).sum()) for c in classes]
                for _ in range(num_tasks)]
        asked = [[rng.choice(np.flatnonzero(yq == c), QUERIES) for c in classes] for _ in range(num_tasks)]
        size = (num_tasks, -1)
        return x[np.reshape(rows, size)], np.repeat(classes, shots), xq[np.reshape(asked, size)]


def main(argv=None):
    args = parse_args(argv)
    if args.memory:
        return print_memory(args)
    with threadpool_limits(args.threads):
        print(f"{args.threads} thread(s) a side, {args.tasks} tasks a row, median of {args.repeats} repeats\n")
        print("| classifier | mode | tasks | shots | scikit-learn, ms a task | batched, ms a task | speed-up | wanted "
              "| equal scikit-learn | equal the optimum |\n" + "| --- " * 10 + "|")
        for row in ROWS:
            print(measure(*row, args), flush=True)
    print("\n" + scaling(args), flush=True)
    for tasks in (2, 6):
        command = [sys.executable, __file__, "--memory", str(tasks)]
        command += ["--features", args.features] if args.features else []
        print(subprocess.run(command, check=True, text=True, capture_output=True).stdout.strip(), flush=True)


def parse_args(argv):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--features", help="folder of real features (default: the shared ones where they are at hand)")
    p.add_argument("--tasks", type=int, help="tasks a row (default 30, quick 8)")
    p.add_argument("--repeats", type=int, help="of the batched solvers (default 7, quick 5)")
    p.add_argument("--threads", type=int, default=1, help="BLAS threads of both sides (default 1)")
    p.add_argument("--quick", action="store_true", help="few tasks")
    p.add_argument("--memory", type=int, metavar="TASKS", help="only: peak memory at 100 shots, 100 draws")
    args = p.parse_args(argv)
    args.features = args.features or (str(FEATURES) if FEATURES.is_dir() else None)
    if args.features and not Path(args.features, "fsp", "LC.npy").is_file():
        raise UserError(f"{args.features}: no fsp/LC.npy there; give the folder of real features, or none")
    args.tasks, args.repeats = args.tasks or (8 if args.quick else 30), args.repeats or (5 if args.quick else 7)
    return args


@functools.cache
def source(name, folder):
    """Source 'five' or 'three' (real where there is a folder), or 'nine' (drawn)."""
    if folder is None or name == "nine":
        ways = {"five": 5, "nine": 9}.get(name, 3)
        tissue = Tissue(folder or "")
        base, support, query = (tissue.draw([size] * ways, f"{name}/{part}")
                                for part, size in (("base", 600), ("support", 300), ("query", 100)))
        return Source(f"{ways}-way, drawn ({tissue.origin})", support, query, with_bank(base[0]))
    names = ("LC", "LC") if name == "five" else ("PAIP_train", "PAIP_test")
    support, query = (read(folder, one) for one in names)
    ways = len(np.unique(support[1]))
    return Source(f"{ways}-way {names[0]}, real", support, query, with_bank(read(folder, "NCT_train")[0]))


def read(folder, name, model="fsp"):
    return np.load(Path(folder, model, f"{name}.npy")), np.load(Path(folder, f"{name}_labels.npy"))


def with_bank(features):
    """A dictionary with its float64 shift bank in memory, as the published code has it."""
    dictionary = build_dictionary(features, num_prototypes=PROTOTYPES)
    return replace(dictionary, bank=np.stack([dictionary.shifts(k) for k in range(len(dictionary))]))


def measure(clf, mode, name, shots, wanted, args):
    """One row of the table."""
    origin = source(name, args.features)
    tasks = args.tasks if shots <= 10 else max(2, args.tasks // 5)
    support, labels, query = origin.draw(shots, tasks)
    drawn = None if mode == "linear" else LatentShifts(origin.dictionary, DRAWS)
    ours = None if drawn is None else replace(drawn, kind=mode)
    predict(clf, support[:1], labels, query[:1], augmentation=ours)
    estimator, slow, quick, theirs = find_classifier(clf).estimator, [], [], []
    for part in np.array_split(np.arange(tasks), args.repeats):
        start = time.perf_counter()
        found = predict(clf, support, labels, query, augmentation=ours)
        quick.append((time.perf_counter() - start) / tasks)
        for task in part:
            start = time.perf_counter()
            theirs.append(predict_task(estimator, support[task], labels, query[task], drawn, "", task))
            slow.append(time.perf_counter() - start)
    equal = (found == np.array(theirs)).mean()
    best = ""
    if clf == "logistic_regression":
        best = f"{100 * (found == optimum(support, labels, query, drawn)).mean():.2f} %"
    slow, quick = statistics.median(slow), statistics.median(quick)
    return (f"| {clf} | {mode} | {origin.name} | {shots} | {1e3 * slow:.1f} | {1e3 * quick:.2f} "
            f"| {slow / quick:.1f}× | {f'{wanted}×' if wanted else ''} | {100 * equal:.2f} % | {best} |")


def optimum(support, labels, query, augmentation):
    """What logistic regression predicts at its optimum: scikit-learn at tol=1e-9, on float64."""
    exact = LogisticRegression(max_iter=20000, tol=1e-9)
    return np.array([predict_task(exact, z.astype(np.float64), labels, q, augmentation, "", task)
                     for task, (z, q) in enumerate(zip(support, query, strict=True))])


def scaling(args):
    """Twice the tasks; one and two worker processes, each with one thread. As in the engine workers load the dictionary
    from its files."""
    origin = source("five", args.features)
    support, labels, query = origin.draw(10, 8 * args.tasks)
    tasks = len(support)

    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        save_dictionary(folder, PREFIX, origin.dictionary)

        def seconds(workers, tasks, chunks=16):
            pieces = np.array_split(np.arange(tasks), chunks)
            start = time.perf_counter()
            joblib.Parallel(workers)(joblib.delayed(predict_piece)(support[p], labels, query[p], folder)
                                     for p in pieces)
            return time.perf_counter() - start

        seconds(2, tasks), seconds(1, tasks // 4)                         # workers started, banks rotated
        half, whole, two = (statistics.median(seconds(workers, n) for _ in range(5))
                            for workers, n in ((1, tasks // 2), (1, tasks), (2, tasks)))
    return (f"Ridge, sampled, 10 shots: {tasks // 2} tasks {half:.2f} s, {tasks} tasks {whole:.2f} s "
            f"({whole / half:.2f}×); "
            f"two workers {two:.2f} s ({whole / two:.2f}× one)")


def print_memory(args):
    origin = source("nine", args.features)
    support, labels, query = origin.draw(100, args.memory)
    for clf in PUBLISHED:
        predict(clf, support, labels, query, augmentation=LatentShifts(origin.dictionary, DRAWS))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"Nine ways, 100 shots, 100 draws, {args.memory} tasks, all classifiers: {peak:.2f} GiB at most")


if __name__ == "__main__":
    sys.exit(run_command(main))
