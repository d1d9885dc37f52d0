"""Time and peak memory of a report of many runs, on results that are drawn here.

    python benchmarks/report.py                       # 500 runs x 1,000 tasks
    python benchmarks/report.py --near                # the published near-domain protocol: 270 runs, page under 5 MB

Prints one line: runs, tasks, seconds, CPU seconds and peak memory of all processes, size of the page.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from joblib.externals.loky import get_reusable_executor

from fewshot_wsi.foundation.files import arrays_sha256
from fewshot_wsi.foundation.seeds import generator
from fewshot_wsi.meta_test.results import write_result
from lowshot.statistics import run_statistics

WAYS = (("Ridge", "linear"), ("Ridge", "latent_aug"), ("logistic_regression", "linear"),
        ("logistic_regression", "latent_aug"), ("nearest_centroid", "linear"))
CONFIG = {"task": "near", "mode": "linear", "model": "fsp", "novel_class": None, "num_shots": 5, "num_task": 100,
          "clf": "Ridge", "num_aug_shots": 100, "aug_times": 0, "num_prototypes": 16, "latent": "sampled",
          "solver": "batched", "sampling": "published", "seed": 0}


def draw_result(folder, *, ways=5, tasks=100, queries=15, pool=2000, skill=0.6, classes=None, groups=None, sets=None,
                supports=None, query_rows=None, **config):
    """Write a result whose predictions are right with probability about `skill`; returns its path.

    Runs of equal task, novel class and shots get equal tasks. pool: images a class. supports (T, n), query_rows
    (T, Q): rows, instead of drawn ones. config: fields of CONFIG.
    """
    config = {**CONFIG, "num_task": tasks, **config}
    setting = (config["task"], str(config["novel_class"]), str(config["num_shots"]), config["sampling"])
    rng = generator(0, "drawn_results/tasks", *setting)
    labels = np.repeat(np.arange(ways), queries)
    first = pool * np.arange(ways)
    if supports is None:
        supports = rng.integers(pool, size=(tasks, ways * config["num_shots"])) + np.repeat(first, config["num_shots"])
    if query_rows is None:
        query_rows = rng.integers(pool, size=(tasks, ways * queries)) + first[labels]
    ease = rng.normal(0, 0.08, (tasks, 1))  # shared by all methods: their scores go together
    own = generator(0, "drawn_results/run", *setting, config["model"], config["mode"], config["clf"],
                    config["num_prototypes"], config["num_aug_shots"], config["aug_times"], config["seed"])
    right = own.random(query_rows.shape) < skill + ease
    predictions = np.where(right, labels, own.integers(ways, size=query_rows.shape)).astype(np.int16)
    arrays = {"predictions": predictions, "queries": query_rows.astype(np.int32),
              "query_labels": labels.astype(np.int16), "supports": np.asarray(supports).astype(np.int32)}
    groups = {} if groups is None else groups
    f1, statistics = run_statistics(predictions, labels, ways, groups, arrays["supports"], arrays["queries"])
    tasks_hash = arrays_sha256(support=arrays["supports"], query=arrays["queries"])
    tag = "" if config["novel_class"] is None else f"_wo_{config['novel_class']}"
    name = f"{config['num_shots']}shot_{config['mode']}_{config['clf']}{tag}_K{config['num_prototypes']}" \
           f"_draws{config['num_aug_shots']}_aug{config['aug_times']}_{config['sampling']}_seed{config['seed']}.json"
    path = Path(folder, config["task"], config["model"], name)
    data = {"config": config, "classes": list(classes or [f"class {c}" for c in range(ways)]), "class_groups": groups,
            "hashes": {"tasks": tasks_hash, "dictionary": None, "support_features": config["model"] * 4,
                       "query_features": config["model"] * 4, "support_labels": "0" * 64, "query_labels": "0" * 64},
            "sets": {"support": "train", "query": "test", "support_list": None, "query_list": None,
                     "support_groups": None, "query_groups": None, **(sets or {})},
            "tasks": {"num_tasks": len(f1), "ways": ways, "shots": config["num_shots"], "queries": queries,
                      "file": "tasks.npz"},
            "encoder": None, "f1": f1.tolist(), "statistics": statistics, **arrays}
    write_result(path, data, {"seconds": 1.5, "versions": {"numpy": np.__version__}})
    return path


def draw_near(folder, tasks):
    """The published near-domain protocol: 9 novel classes x 3 shots x 2 encoders x 5 methods."""
    for novel in range(9):
        groups = {"base": [c for c in range(9) if c != novel], "novel": [novel]}
        for shots in (1, 5, 10):
            for place, (family, (clf, mode)) in enumerate((f, w) for f in ("fsp", "clp") for w in WAYS):
                draw_result(folder, ways=9, tasks=tasks, skill=0.6 + 0.03 * shots + 0.01 * place, groups=groups,
                            model=f"{family}_wo_{novel}", novel_class=str(novel), num_shots=shots, clf=clf, mode=mode)
    return 270


def draw_many(folder, runs, tasks):
    """`runs` runs of 5 ways, ten of them on each set of tasks."""
    for number in range(runs):
        setting, place = divmod(number, 10)
        family, (clf, mode) = [(f, w) for f in ("fsp", "clp") for w in WAYS][place]
        draw_result(folder, tasks=tasks, skill=0.55 + 0.02 * place, task=f"task{setting // 5}", model=family, clf=clf,
                    mode=mode, num_shots=(1, 5, 10, 20, 50)[setting % 5])
    return runs


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--near", action="store_true", help="the published near-domain protocol instead")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", help="folder for the drawn results and the report (default: a temporary one)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.keep or temporary)
        runs = draw_near(folder / "results", args.tasks) if args.near else \
            draw_many(folder / "results", args.runs, args.tasks)
        from fewshot_wsi.report.writing import write_report
        start, drawn = time.perf_counter(), time.process_time()
        page, _ = write_report([folder / "results"], folder / "report", jobs=args.workers)
        spent = time.perf_counter() - start
        get_reusable_executor().shutdown(wait=True)  # so that its workers' memory and time are counted
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        peak = (usage[0].ru_maxrss + args.workers * usage[1].ru_maxrss) / 2 ** 20
        cpu = sum(use.ru_utime + use.ru_stime for use in usage) - drawn
        print(f"{runs} runs x {args.tasks} tasks: {spent:.1f} s ({cpu:.1f} s of CPU), at most {peak:.2f} GiB, "
              f"page {page.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
