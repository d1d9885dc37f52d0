"""Time of whole protocols at published size, on synthetic features, beside the authors' times.

    python benchmarks/protocols.py --only mixture
    python benchmarks/protocols.py --only near --models 2         # two of the 18 models; the figure is multiplied
    python benchmarks/protocols.py --only mixture --num_task 50 --solver sklearn

Features of 80,000 + 20,000 (NCT), 25,000 (LC25000), 22,500 + 52,500 (PAIP19) x 512 are drawn with the spectrum of real
ones, tasks and dictionaries made, then all runs of the protocol done by the engine; only the runs are timed.
Prints one Markdown row a protocol and one a setting. Without --workdir everything is made in a temporary folder.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import joblib
import numpy as np

from benchmarks._synthetic import Tissue
from fewshot_wsi.foundation.errors import run_command
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.protocol import DEFAULT, load_protocol
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.runs import runs_of, task_files_of
from fewshot_wsi.meta_test.settings import LATENT
from lowshot.dictionary import bank_files, build_dictionary, save_dictionary

SIZES = {"NCT_train": 80000, "NCT_test": 20000, "LC": 25000, "PAIP_train": 22500, "PAIP_test": 52500}
PROTOCOLS = {"mixture": ("mixture",), "out": ("out", "out_homo"), "near": ("near",)}
AUTHORS = {"mixture": 50, "out": 18, "near": 14 * 60 + 34}  # minutes on 48 threads, by their logs
BARS = {"mixture": 6, "out": 3, "near": 60}                 # minutes on 2 cores
SLIDES = 15                                                 # of PAIP_train


def parse_args(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", choices=PROTOCOLS, nargs="+", default=list(PROTOCOLS), help="which ones (default all)")
    p.add_argument("--models", type=int, default=2, help="near: how many of the 18 models (default 2)")
    p.add_argument("--num_task", type=int, help="tasks a setting, instead of the published 1,000")
    p.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes (default: one a core)")
    p.add_argument("--solver", choices=("batched", "sklearn"), default="batched")
    p.add_argument("--latent", choices=LATENT, default="sampled",
                   help="expected: wherever it has a closed form (default sampled)")
    p.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")
    p.add_argument("--workdir", help="keep features, tasks, dictionaries and results here, and use them again")
    return p.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    place = contextlib.nullcontext(args.workdir) if args.workdir else tempfile.TemporaryDirectory()
    with place as folder:
        protocol = replace(load_protocol(ROOT / DEFAULT), workdir=str(folder), path=DEFAULT)
        chosen = {name: _runs(protocol, name, args) for name in args.only}
        origin = prepare(protocol, chosen)
        print(f"{origin}; {args.workers} processes, solver {args.solver}, latent {args.latent}, device {args.device}\n")
        print("| protocol | runs | tasks a run | seconds | whole protocol, min | bar, min | authors, 48 threads, min |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        outcomes = [outcome for name, runs in chosen.items() for outcome in measure(name, protocol, runs, args)]
        print_settings(outcomes)


def _runs(protocol, name, args):
    """Runs to time: all of a protocol, near only those of the first `--models` models."""
    runs = runs_of(protocol, PROTOCOLS[name], num_task=args.num_task, solver=args.solver, device=args.device)
    if args.latent == "expected":
        runs = [r if r.clf == "logistic_regression" else replace(r, latent="expected") for r in runs]
    if name == "near":
        models = list(dict.fromkeys(r.model for r in runs))[:args.models]
        runs = [r for r in runs if r.model in models]
    return runs


def prepare(protocol, chosen):
    """Features, labels, lists, tasks and dictionaries of all runs; says where the spectrum is from."""
    tissue = Tissue()
    runs = [r for some in chosen.values() for r in some]
    needed = {(r.model, name) for r in runs for name in (r.family.support, r.family.query)}
    needed |= {(r.model, protocol.dictionary.set) for r in runs if r.mode == "latent_aug"}
    for model, name in bar(sorted(needed), desc="features", unit="set"):
        write_set(protocol, tissue, model, name)
    protocol = replace(protocol, sets={name: replace(one, list=str(Path(protocol.workdir, f"{name}.txt")))
                                       for name, one in protocol.sets.items()})
    for plan in task_files_of(protocol, [task for name in chosen for task in PROTOCOLS[name]]):
        if (plan.task, plan.novel) in {(r.task, r.novel) for r in runs}:
            make_tasks(plan, replace=True)
    banks = {(r.model, r.novel) for r in runs if r.mode == "latent_aug"}
    for model, novel in bar(sorted(banks), desc="dictionaries", unit="model"):
        write_dictionary(protocol, model, novel)
    return tissue.origin


def write_set(protocol, tissue, model, name):
    classes = len(protocol.classes_of(name))
    counts = np.diff(np.linspace(0, SIZES[name], classes + 1).astype(int))
    path = protocol.features_file(model, name)
    if not path.exists():
        features, labels = tissue.draw(counts, f"{protocol.sets[name].classes}/{name}", seed=_number(model))
        order = np.argsort(labels, kind="stable")  # equal labels for all models
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, features[order])
        np.save(protocol.labels_file(name), labels[order])
    listed = Path(protocol.workdir, f"{name}.txt")
    if not listed.exists():
        labels = np.repeat(np.arange(classes), counts)
        listed.write_text("".join(f"slide{i % SLIDES}/{label}/{i}.png {label}\n" for i, label in enumerate(labels)))


def write_dictionary(protocol, model, novel):
    spec, folder = protocol.dictionary, Path(protocol.workdir, "dict", model)
    if bank_files(folder, spec.prefix, spec.num_prototypes)["json"].exists():
        return
    features = np.load(protocol.features_file(model, spec.set))
    base = ~np.isin(np.load(protocol.labels_file(spec.set)), novel)
    save_dictionary(folder, spec.prefix, build_dictionary(
        features[base], num_prototypes=spec.num_prototypes, num_shift_vectors=spec.num_shift_vectors,
        iterations=spec.iterations, kmeans_seed=spec.kmeans_seed, seed=protocol.seed))


def _number(model):
    return sum(model.encode())


def measure(name, protocol, runs, args):
    """Time the runs, print the row of the protocol, return the outcomes."""
    for run in runs:
        run.result_file.unlink(missing_ok=True)
    begin = time.perf_counter()
    outcomes = run_all(runs, workers=args.workers)
    seconds = time.perf_counter() - begin
    whole = runs_of(protocol, PROTOCOLS[name])
    scale = len(whole) / len(runs) * whole[0].num_task / runs[0].num_task
    scaled = "" if scale == 1 else f" ({scale:g} x the measured)"
    print(f"| {name} | {len(runs)} of {len(whole)} | {runs[0].num_task} | {seconds:.0f} | "
          f"{seconds * scale / 60:.1f}{scaled} | {BARS[name]} | {AUTHORS[name]} |", flush=True)
    return outcomes


def print_settings(outcomes):
    """Milliseconds a task of every setting, mean over models, as the workers measured them."""
    spent = {}
    for outcome in outcomes:
        s = outcome.settings
        mode = f"{s.mode} {s.latent}" if s.mode == "latent_aug" else s.mode
        result = read_result(outcome.path)
        spent.setdefault((s.task, s.clf, mode, s.num_shots), []).append(
            1000 * result.meta["seconds"] / result.tasks["num_tasks"])
    print("\n| task | classifier | mode | shots | ms a task, one core |\n| --- | --- | --- | --- | --- |")
    for (task, clf, mode, shots), values in spent.items():
        print(f"| {task} | {clf} | {mode} | {shots} | {np.mean(values):.2f} |")


if __name__ == "__main__":
    sys.exit(run_command(main))
