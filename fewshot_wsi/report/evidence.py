"""All results of a report: read, checked against themselves, compared, and boiled down to what pages need.

Runs that were scored on the same tasks are read together, in one worker, so that predictions (the bulk of a result)
never leave it: comparisons, open intervals and leakage are worked out there.
"""

import json
from dataclasses import dataclass, replace

import numpy as np
from joblib import Parallel, delayed

from fewshot_wsi.foundation.bounded import JSON_LIMIT, check_regular
from fewshot_wsi.foundation.errors import UserError, explain, one_line
from fewshot_wsi.meta_test.results import NoResults, find_results, read_result
from fewshot_wsi.report.measure import intervals_of, measure, summarise
from fewshot_wsi.report.paired import resampled_difference
from fewshot_wsi.report.recipes import as_one, by_recipe, mean_measured
from fewshot_wsi.report.variants import name_variants
from lowshot.comparison import compare_many
from lowshot.statistics import confusion, f1_of_confusion

ROWS_LIMIT = 1 << 26  # images of a set
UNFIT = (ArithmeticError, LookupError, TypeError, ValueError)  # what arithmetic raises on parts that do not fit


@dataclass
class Evidence:
    """Everything the report is made from."""
    runs: list      # one for all seeds of a recipe
    pairs: dict     # (a, b) -> Comparison of run a minus run b; one order of each pair
    notices: list   # lines about what was left out, and why

    @property
    def each(self):
        """ReportedRun of every result, those of the seeds of a recipe one by one."""
        return [member for run in self.runs for member in run.each]


def read_evidence(paths, sources, *, target=None, jobs=1, cache=None, besides=None):
    """Evidence from result files and folders.

    Broken, truncated, empty or foreign files are left out with a notice; NoResults when nothing is left.
    target: half-width in fractions for `ReportedRun.needed`. cache: dict kept between calls of a live view, or None;
    what is no longer in `paths` is removed from it. besides: a file that is no result.
    """
    cache = {} if cache is None else cache
    groups, notices = _by_tasks(find_results(paths, besides))
    keys = [tuple(map(stamp, group)) for group in groups]
    for key in set(cache) - set(keys):
        del cache[key]
    wanted = [(key, group) for key, group in zip(keys, groups, strict=True) if key not in cache]
    done = Parallel(n_jobs=min(jobs, len(wanted)) or 1)(
        delayed(read_group)(group, sources, target) for _, group in wanted)
    for (key, _), outcome in zip(wanted, done, strict=True):
        cache[key] = outcome
    runs, pairs = [], {}
    for key in keys:
        found, compared, said = cache[key]
        pairs |= {(a + len(runs), b + len(runs)): result for (a, b), result in compared.items()}
        runs += found
        notices += said
    name_variants(runs)
    for run in runs:
        for member in run.members:
            member.remark = run.remark
    runs, pairs = _in_order(runs, pairs)
    if not runs:
        left_out = f" ({notices[0]}{', …' if len(notices) > 1 else ''})" if notices else ""
        raise NoResults(f"{', '.join(map(str, paths))}: no readable result of a meta-test{left_out}; "
                        "make one with wsi_workdir/distributed_meta_test.py")
    return Evidence(runs, pairs, list(dict.fromkeys(notices)))


def stamp(path):
    """(path, time, size) of a file: what changes when it is written again; zeros where it has gone."""
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), found.st_mtime_ns, found.st_size


def _in_order(runs, pairs):
    """Runs by task, novel class, shots and method, and their pairs under the new numbers."""
    order = sorted(range(len(runs)), key=lambda n: (runs[n].evaluation, str(runs[n].novel), runs[n].shots,
                                                    runs[n].method, runs[n].path))
    place = {old: new for new, old in enumerate(order)}
    return [runs[n] for n in order], {(place[a], place[b]): result for (a, b), result in pairs.items()}


def _by_tasks(files):
    """(list of path lists, one for each task set, in order of first appearance; list of notices).

    A file without a readable hash of its tasks is left out with a notice.
    """
    groups, notices = {}, []
    for path in files:
        try:
            groups.setdefault(_tasks_hash(path), []).append(path)
        except (UserError, OSError) as error:
            notices.append(f"left out: {_named(path, error)}")
    return list(groups.values()), notices


def _tasks_hash(path):
    """Hash of the tasks, from the one line that holds it, so that the rest is parsed by a worker."""
    try:
        if check_regular(path).st_size > JSON_LIMIT:
            raise ValueError("too large")  # `read_result` says so
        with open(path, encoding="utf-8") as stream:
            line = next((line for line in stream if line.startswith('"hashes": ')), None)
        found = json.loads(line.removeprefix('"hashes": ').rstrip().rstrip(","))["tasks"]
    except (AttributeError, KeyError, TypeError, ValueError, OSError, RecursionError):
        found = None
    return found if isinstance(found, str) else read_result(path).hashes["tasks"]  # otherwise laid out, or broken


def read_group(paths, sources, target=None):
    """(list of ReportedRun, {(i, j): Comparison}, notices) of results on one task set; i < j are its indices.

    A result that does not read, does not fit together, or has other tasks than the first is left out with a notice."""
    runs, measured, notices, units, images, first = [], [], [], None, None, None
    for path in paths:
        try:
            result = check(read_result(path))
            if first is not None and not _same_tasks(result, first):
                raise UserError(f"{path}: other tasks than {first.path}, under the same hash")
        except (UserError, OSError, *UNFIT) as error:
            notices.append(f"left out: {_named(path, error)}")
            continue
        same = next((run for run in runs if (run.config, run.hashes) == (result.config, result.hashes)), None)
        if same is not None:
            notices.append(f"left out: {path}: the same run as {same.path}")
            continue
        try:
            if units is None:
                units = sources.units(result)
                images = units if units.name == "image" else sources.units(result, "image")
            found = measure(result, units, images)
            run = summarise(result, found, units, images, sources, target, _meta(result, notices))
        except (UserError, OSError, *UNFIT) as error:
            notices.append(f"left out: {_named(path, error)}")
            continue
        first = first or result
        runs.append(run)
        measured.append(found)
    runs, measured = _one_a_recipe(runs, measured, units, images, target) if runs else (runs, measured)
    influences = [found.influences[None] for found in measured]
    places = [(i, j) for j in range(len(runs)) for i in range(j)]
    macros = [run.macro for run in runs]
    compared = compare_many([(macros[i], macros[j]) for i, j in places], units=units,
                            influences=(influences[i] - influences[j] for i, j in places),
                            resampled=[resampled_difference(measured[i].bootstrap, measured[j].bootstrap)
                                       for i, j in places])
    return runs, dict(zip(places, compared, strict=True)), notices + sources.notices


def _named(path, error):
    """One line about a result that cannot be used; it names the file."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return explain(error) or f"{path}: {one_line(error)}"
    return f"{path}: damaged result (its parts do not fit together: {one_line(error):.200}); remove it and run again"


def _same_tasks(result, other):
    """Whether two checked results are of the same classes, support rows and queries in the same order."""
    return result.f1.shape == other.f1.shape and all(
        np.array_equal(getattr(result, name), getattr(other, name)) for name in ("query_labels", "queries", "supports"))


def _meta(result, notices):
    """When and where a run was made; {} with a notice where that file is damaged: no figure depends on it."""
    try:
        return result.meta
    except UserError as error:
        notices.append(f"without its time and versions: {error}")
        return {}


def check(result):
    """The result, if its parts agree with each other; UserError otherwise."""
    wrong = next(_disagreements(result), None)
    if wrong:
        raise UserError(f"{result.path}: damaged result ({wrong}); remove it and run again")
    return result


def _disagreements(result):
    """What in a result does not fit the rest of it: one phrase each."""
    classes, tasks, labels = len(result.classes), len(result.f1), result.query_labels
    shapes = {"query_labels": (labels.size,), "predictions": (tasks, labels.size), "queries": (tasks, labels.size),
              "supports": (tasks, result.supports.size // max(tasks, 1) // classes * classes)}
    for name, shape in shapes.items():
        found = getattr(result, name)
        if found.shape != shape or not found.size:
            yield f"{name} {found.shape} for {tasks} tasks of {labels.size} queries and {classes} classes"
    for name, end in (("predictions", classes), ("query_labels", classes), ("queries", None), ("supports", None)):
        found = getattr(result, name)
        if found.size and (found.min() < 0 or found.max() >= (end or ROWS_LIMIT)):
            yield f"{name} outside " + ("the rows of a set" if end is None else f"the {classes} classes")
    if not np.allclose(f1_of_confusion(confusion(labels, result.predictions, classes)), result.f1, atol=1e-6):
        yield "its F1 is not that of its predictions"


def _one_a_recipe(runs, measured, units, images, target):
    """(runs, Measured of each) with one for all seeds of a recipe."""
    found, ours = [], []
    for places in by_recipe(runs):
        members, one = [runs[n] for n in places], mean_measured([measured[n] for n in places])
        ours.append(one)
        if members[0].config.get("recipe") is None:
            found += members
            continue
        run = as_one(members, np.mean([member.f1 for member in members], axis=0), one.scores)
        found.append(replace(run, **intervals_of(one, units, images, target)))
    return found, ours
