"""Meta-testing with latent augmentation on a GPU beside one core of the same machine, on the same tasks.

    python benchmarks/gpu_meta_test.py [--features DIR] [--tasks 1000] [--profile FILE]

Both sides are this project's solvers: the GPU works on many tasks at once against one copy of the shift bank. Prints a
Markdown table; the whole near protocol is measured by `benchmarks/protocols.py --only near --device cuda`.
"""

import argparse
import cProfile
import io
import pstats
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from threadpoolctl import threadpool_limits

from benchmarks._piece import DRAWS
from benchmarks.solvers import source
from fewshot_wsi.foundation.errors import run_command
from fewshot_wsi.foundation.files import write_text
from lowshot.augmentations.latent_aug import LatentShifts
from lowshot.prediction import predict

ROWS = [("logistic_regression", "five", 10, 50), ("logistic_regression", "five", 1, None),
        ("logistic_regression", "nine", 10, None), ("Ridge", "five", 10, None), ("Ridge", "nine", 10, None),
        ("nearest_centroid", "nine", 10, None)]  # classifier, tasks source, shots, what the speed-up should be


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--features", help="folder of real features (default: drawn with their spectrum)")
    p.add_argument("--tasks", type=int, default=1000, help="of the GPU [1000]")
    p.add_argument("--cpu_tasks", type=int, default=20, help="of the CPU [20]")
    p.add_argument("--device", default="cuda", help="[cuda]")
    p.add_argument("--profile", metavar="FILE", help="write where the time of the first row goes")
    args = p.parse_args(argv)
    print("| classifier | tasks | shots | one core, ms a task | GPU, ms a task | speed-up | wanted | equal |\n"
          + "| --- " * 8 + "|")
    for row in ROWS:
        print(measure(*row, args), flush=True)
    if args.profile:
        profile(args)


def drawn(name, shots, tasks, args):
    origin = source(name, args.features)
    return origin, origin.draw(shots, tasks), LatentShifts(origin.dictionary, DRAWS)


def measure(clf, name, shots, wanted, args):
    """One row of the table."""
    origin, (support, labels, query), augmentation = drawn(name, shots, args.tasks, args)
    few = slice(0, args.cpu_tasks)
    with threadpool_limits(1):
        torch.set_num_threads(1)
        predict(clf, support[:1], labels, query[:1], augmentation=augmentation)
        start = time.perf_counter()
        here = predict(clf, support[few], labels, query[few], augmentation=augmentation)
        cpu = (time.perf_counter() - start) / len(here)
        predict(clf, support[:50], labels, query[:50], augmentation=augmentation, device=args.device)
        start = time.perf_counter()
        there = predict(clf, support, labels, query, augmentation=augmentation, device=args.device)
        gpu = (time.perf_counter() - start) / len(there)
    return (f"| {clf} | {origin.name} | {shots} | {1e3 * cpu:.1f} | {1e3 * gpu:.2f} | {cpu / gpu:.0f}× "
            f"| {f'{wanted}×' if wanted else ''} | {100 * (here == there[few]).mean():.2f} % |")


def profile(args):
    """Python's side of the first row and the device's kernels."""
    clf, name, shots, _ = ROWS[0]
    _, (support, labels, query), augmentation = drawn(name, shots, args.tasks, args)
    profiler, text = cProfile.Profile(), io.StringIO()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    profiler.runcall(predict, clf, support, labels, query, augmentation=augmentation, device=args.device)
    pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(25)
    with torch.profiler.profile(activities=activities) as kernels:
        predict(clf, support, labels, query, augmentation=augmentation, device=args.device)
    order = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    write_text(args.profile, text.getvalue() + kernels.key_averages().table(sort_by=order, row_limit=30))


if __name__ == "__main__":
    sys.exit(run_command(main))
