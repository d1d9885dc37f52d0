"""Which runs stand side by side: methods as rows, columns of runs on the same tasks, averaged over novel classes."""

import itertools
import math
import re
from dataclasses import dataclass, field

import numpy as np

from fewshot_wsi.report.recipes import over_seeds, seed_means, spread
from fewshot_wsi.report.variants import features_of
from lowshot.classifiers import classifiers
from lowshot.comparison import ALPHA, compare_many, holm


@dataclass(frozen=True)
class Place:
    """One cell of a main table: the runs of one method at one number of shots, one for each novel class. A run stands
    for all pre-training seeds of its recipe.

    Its score is the mean over those runs. `closed` treats their tasks as independent (root of the mean square over
    the root of their number); `open` averages their half-widths, because they share images.
    """
    runs: tuple      # places in the list of runs
    novels: tuple    # novel class of each
    mean: float | None   # None, as both half-widths, where a run lacks the group that is asked for
    closed: float | None
    open: float | None
    seeds: int = 0           # pre-training seeds that every run stands for; 0 where they have none or differ
    spread: float | None = None  # standard deviation over the seeds, of the means over novel classes


def place_of(numbers, runs, group=None):
    """Place of the runs `numbers`. group: name of a class group or 'harmonic_mean'; None: macro F1."""
    chosen = [runs[number] for number in numbers]
    novels = tuple(run.novel for run in chosen)
    if group is not None and not all(group in run.statistics["groups"] for run in chosen):
        return Place(tuple(numbers), novels, None, None, None)
    if group is None:
        means = [run.closed.mean for run in chosen]
        closed, opened = [run.closed.half for run in chosen], [run.open.half for run in chosen]
    else:
        figures = [run.statistics["groups"][group] for run in chosen]
        means, closed = [f["mean"] for f in figures], [f["ci95"] for f in figures]
        opened = [run.group_open[group].half for run in chosen]
    of_seeds = seed_means(chosen, group)
    return Place(tuple(numbers), novels, float(np.mean(means)),
                 None if None in closed else math.hypot(*closed) / len(closed),
                 None if None in opened else float(np.mean(opened)), len(of_seeds), spread(of_seeds))


@dataclass
class Grid:
    """Main table of one evaluation: places by (method, shots)."""
    evaluation: str
    key: str         # the evaluation's name in files and anchors
    methods: list
    shots: list
    cells: dict      # (method, shots) -> tuple of run numbers
    novels: tuple    # every novel class that occurs, or (None,)

    def complete(self, cell):
        return len(self.cells.get(cell, ())) == len(self.novels)


def grids(runs):
    """Grid of every evaluation, in the order of runs. Methods keep the order in which encoders and modes are read:
    by encoder, classifier, mode."""
    found = {}
    for number, run in enumerate(runs):
        found.setdefault(run.evaluation, {}).setdefault((run.method, run.shots), []).append(number)
    out = []
    for evaluation, cells in found.items():
        order = {runs[numbers[0]].method: method_order(runs[numbers[0]]) for numbers in cells.values()}
        novels = sorted({runs[n].novel for numbers in cells.values() for n in numbers}, key=str)
        cells = {cell: tuple(sorted(numbers, key=lambda n: str(runs[n].novel))) for cell, numbers in cells.items()}
        out.append(Grid(evaluation, _key(evaluation, {grid.key for grid in out}), sorted(order, key=order.get),
                        sorted({shots for _, shots in cells}), cells, tuple(novels)))
    return out


def _key(evaluation, used):
    """Letters, digits and underscores of an evaluation's name, unlike those `used`."""
    key = re.sub(r"[^A-Za-z0-9]+", "_", evaluation).strip("_").lower() or "x"
    return next(name for n in itertools.count(1) if (name := key if n == 1 else f"{key}_{n}") not in used)


def place_of_classifier(name):
    """Sorts classifiers as `lowshot.classifiers` does, unknown ones by name at the end."""
    known = list(classifiers())
    return (known.index(name), "") if name in known else (len(known), name)


def method_order(run):
    config = run.config
    return (config["model"] in SANITY, "clp" in run.family, run.family, place_of_classifier(config["clf"]),
            config["mode"] != "linear", config["num_prototypes"], config["num_aug_shots"], config["aug_times"],
            run.method)


SANITY = ("mean_rgb", "color_histogram", "random")


@dataclass(frozen=True)
class Standing:
    """How the methods of one column compare with its best."""
    best: str | None
    p: dict        # method -> Holm-adjusted p of its paired comparison with the best
    apart: tuple = ()  # methods with every novel class that were scored on other tasks than the best, so not compared
    seeds: dict = field(default_factory=dict)  # method -> `recipes.OverSeeds` of the best minus it, where known

    @property
    def alike(self):
        return {method for method, p in self.p.items() if p >= ALPHA}


def standing(grid, shots, runs):
    """Standing of one column of a Grid: methods with every novel class, paired task by task with the best of them.

    A method whose encoder was trained on the novel class is not the best, however high its figures.
    """
    ready = [m for m in grid.methods if grid.complete((m, shots))]
    if not ready:
        return Standing(None, {})
    scores = {m: pooled(grid.cells[m, shots], runs) for m in ready}
    honest = [m for m in ready if not any(runs[n].saw_novel for n in grid.cells[m, shots])]
    best = max(honest or ready, key=lambda m: place_of(grid.cells[m, shots], runs).mean)
    others = [m for m in ready if m != best and same_tasks(grid.cells[m, shots], grid.cells[best, shots], runs)]
    compared = compare_many([(scores[m], scores[best]) for m in others])
    cells = {m: [runs[n] for n in grid.cells[m, shots]] for m in (best, *others)}
    by_seed = {m: of_recipes(cells[best], cells[m]) for m in others}
    return Standing(best, dict(zip(others, holm([c.p for c in compared]), strict=True)),
                    tuple(m for m in ready if m != best and m not in others),
                    {m: found for m, found in by_seed.items() if found})


def of_recipes(a, b):
    """`recipes.OverSeeds` of the runs `a` minus the runs `b`, one for each novel class; None where seeds are too few.
    Runs on the same features are the same trainings."""
    return over_seeds(seed_means(a), seed_means(b), [features_of(run) for run in a] == [features_of(run) for run in b])


def best_run(grid, stand, runs):
    """The result of the highest score among those of the best method of a column, or None where there is no best.

    stand: Standing of the column of the most shots.
    """
    if stand.best is None:
        return None
    return max((run for n in grid.cells[stand.best, grid.shots[-1]] for run in runs[n].each),
               key=lambda run: run.closed.mean)


def pooled(numbers, runs):
    """Macro F1 of all tasks of several runs, one after another: (T_1 + T_2 + …,)."""
    return np.concatenate([runs[n].macro for n in numbers])


def same_tasks(a, b, runs):
    return [runs[n].hashes["tasks"] for n in a] == [runs[n].hashes["tasks"] for n in b]


def partners(runs, key):
    """Pairs of runs on the same tasks that differ in `key` ('mode' or 'family') alone: [(i, j), …].

    For 'mode': i with latent augmentation, j linear. For 'family': i is CLP, j is FSP, or in the order of names;
    encoders of SANITY come last and are not set against each other.
    """
    def rest(run):
        config = {k: v for k, v in run.config.items() if k not in ("model", "mode")}
        if key == "mode":  # linear runs carry usual values for what they do not use
            config = {k: v for k, v in config.items() if k not in ("num_prototypes", "num_aug_shots", "latent")}
        same = run.family if key == "mode" else run.config["mode"]
        own = (*features_of(run), run.hashes.get("views")) if key == "mode" else ()
        return run.hashes["tasks"], same, own, tuple(sorted(map(str, config.items())))

    alike = {}
    for number, run in enumerate(runs):
        alike.setdefault(rest(run), []).append(number)
    pairs = []
    for numbers in alike.values():
        if key == "mode":
            linear = [n for n in numbers if runs[n].config["mode"] == "linear"]
            pairs += [(n, linear[0]) for n in numbers if linear and runs[n].config["mode"] != "linear"]
        else:
            ordered = sorted(numbers, key=lambda n: (runs[n].family in SANITY, runs[n].family != "clp", runs[n].family))
            pairs += [(a, b) for place, a in enumerate(ordered) for b in ordered[place + 1:]
                      if runs[a].family != runs[b].family and runs[a].family not in SANITY]
    return pairs
