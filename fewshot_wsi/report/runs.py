"""Runs as the report sees them: results read, checked against themselves, and boiled down to what pages need.

Runs that were scored on the same tasks are read together, in one worker, so that predictions (the bulk of a result)
never leave it: comparisons, open intervals and leakage are worked out there.
"""

import json
from dataclasses import dataclass, field, replace

import numpy as np
from joblib import Parallel, delayed

from fewshot_wsi.foundation.bounded import JSON_LIMIT, check_regular
from fewshot_wsi.foundation.errors import UserError, explain, one_line
from fewshot_wsi.meta_test.origins import saw_novel
from fewshot_wsi.meta_test.results import NoResults, find_results, read_result
from fewshot_wsi.report.leakage import find_leaks
from fewshot_wsi.report.paired import resampled_difference
from fewshot_wsi.report.recipes import Measured, as_one, by_recipe, mean_measured
from fewshot_wsi.report.variants import name_variants
from lowshot.augmentations import label_of
from lowshot.classifiers import shown
from lowshot.comparison import compare_many
from lowshot.components import variance_components
from lowshot.grouped import use_of_groups
from lowshot.influence import f1_influence
from lowshot.intervals import bootstrap_interval, bootstrap_tasks_for, closed_interval, open_interval, tasks_for
from lowshot.statistics import confusion, f1_of_confusion, group_scores, run_statistics

USUAL = {"num_prototypes": 16, "num_aug_shots": 100, "aug_times": 0, "latent": "sampled", "solver": "batched",
         "seed": 0}
ROWS_LIMIT = 1 << 26  # images of a set
UNFIT = (ArithmeticError, LookupError, TypeError, ValueError)  # what arithmetic raises on parts that do not fit
SAY = {"num_prototypes": "K={}", "num_aug_shots": "{} draws", "aug_times": "{} views", "latent": "{}",
       "solver": "{}", "seed": "seed {}"}


@dataclass
class ReportedRun:
    """One result, or the seeds of one recipe, without predictions. Figures are fractions."""
    path: str
    config: dict
    classes: list
    class_groups: dict
    hashes: dict
    sets: dict
    tasks: dict
    encoder: dict | None
    meta: dict
    statistics: dict
    f1: np.ndarray          # (T, C)
    closed: object          # Interval of the mean macro F1
    open: object
    group_open: dict        # name of a class group (or harmonic_mean) -> open Interval
    unit: str               # what the open interval resamples
    leaks: list
    group_use: dict = field(default_factory=dict)  # 'support', 'query' -> `grouped.use_of_groups`; {} for single images
    not_covered: list = field(default_factory=list)  # `Sources.not_covered`
    parts: object = None    # `components.VarianceComponents` of an open interval by the formula
    needed: dict = field(default_factory=dict)  # 'closed', 'open' -> `intervals.tasks_for`
    members: list = field(default_factory=list)  # ReportedRun of each pre-training seed, where it stands for a recipe
    remark: str = ""        # distinguishes runs of equal settings; see fewshot_wsi.report.variants

    @property
    def each(self):
        """The results behind it: those of its seeds, or itself."""
        return self.members or [self]

    @property
    def family(self):
        return self.config["model"].removesuffix(f"_wo_{self.config['novel_class']}")

    @property
    def macro(self):
        return self.f1.mean(axis=1)

    @property
    def task(self):
        return self.config["task"]

    @property
    def shots(self):
        return self.config["num_shots"]

    @property
    def novel(self):
        return self.config["novel_class"]

    @property
    def saw_novel(self):
        """Whether its encoder was trained on the novel class."""
        if self.members:
            return any(member.saw_novel for member in self.members)
        return bool(self.sets.get("novel_seen")) or saw_novel(self.config["model"], self.novel)

    @property
    def evaluation(self):
        """Task family and sampling rule: what one main table is about."""
        sampling = self.config.get("sampling", "published")
        return self.task if sampling == "published" else f"{self.task} ({sampling})"

    @property
    def method(self):
        """Encoder, classifier and mode in words, with whatever is not as usual."""
        augmented = label_of(self.config["mode"])
        name = f"{self.family.upper() if self.family in ('clp', 'fsp') else self.family} · " \
               f"{shown(self.config['clf'])[1]}{augmented and f' + {augmented}'}"
        more = [form.format(self.config[key]) for key, form in SAY.items()
                if key in self.config and self.config[key] != USUAL[key]]
        more += ["saw the novel class"] * self.saw_novel + [self.remark] * bool(self.remark)
        return f"{name} ({', '.join(more)})" if more else name

    @property
    def label(self):
        novel = "" if self.novel is None else f", novel {self.novel_name}"
        return f"{self.evaluation}{novel}, {self.shots}-shot, {self.method}"

    @property
    def novel_name(self):
        if self.novel is None:
            return ""
        return "+".join(self.classes[c] for c in self.class_groups.get("novel", ())) or f"class {self.novel}"


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
    """Files of the same task set together, in order, and notices about those that name none."""
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


def measure(result, units, images):
    """`recipes.Measured` of one checked result. images: Units in which each image is one."""
    f1, ways = result.f1, len(result.classes)
    slopes = {name: np.full(f1.shape, 1 / ways) if name is None else _group_slopes(f1, result.class_groups, name)
              for name in (None, *group_scores(f1, result.class_groups))}
    scores = {None: f1.mean(axis=1), **group_scores(f1, result.class_groups)}
    by_query = {name: f1_influence(result.predictions, result.query_labels, slope) for name, slope in slopes.items()}
    influences = {name: units.influence(scores[name], by_query[name]) for name in slopes}
    by_image = images.influence(scores[None], by_query[None]) if result.bootstrap is None else None
    return Measured(scores, influences, by_image, result.bootstrap)


def intervals_of(measured, units, images, target=None):
    """The fields of a ReportedRun that are intervals, or made of them: a dict."""
    scores, influences, bootstrap, parts = measured.scores, measured.influences, measured.bootstrap, None
    if bootstrap is None:
        if measured.by_image is not None:
            parts = variance_components(scores[None], influences[None], units, measured.by_image, images)
        opened = {name: open_interval(scores[name], influence, units) for name, influence in influences.items()}
    else:
        opened = {name: bootstrap_interval(scores[name].mean(), bootstrap, name) for name in influences}
    needed = {} if target is None else {"closed": tasks_for(target, scores[None]), "open": (
        tasks_for(target, scores[None], influences[None], units) if bootstrap is None
        else bootstrap_tasks_for(target, scores[None], bootstrap))}
    return dict(closed=closed_interval(scores[None]), open=opened.pop(None), group_open=opened, parts=parts,
                needed=needed)


def summarise(result, measured, units, images, sources, target=None, meta=None):
    """ReportedRun of one checked result. measured: `measure` of it."""
    f1, statistics = run_statistics(result.predictions, result.query_labels, len(result.classes), result.class_groups,
                                    result.supports, result.queries)
    sides = {} if units.name == "image" else {"support": units.support, "query": units.query}
    use = {side: use_of_groups(numbers) for side, numbers in sides.items()}
    return ReportedRun(str(result.path), result.config, result.classes, result.class_groups, result.hashes, result.sets,
                       result.tasks, result.encoder, meta or {}, statistics, f1, unit=units.name,
                       leaks=find_leaks(result, sources), group_use=use, not_covered=sources.not_covered(result),
                       **intervals_of(measured, units, images, target))


def _group_slopes(f1, groups, name):
    """(T, C): derivative of a group's mean F1, or of the groups' harmonic mean, by the F1 of each class.

    H = k / sum_g 1/m_g, so dH/dm_g = H^2 / (k m_g^2); 0 where a group's mean is 0.
    """
    slopes = np.zeros(f1.shape)
    if name in groups:
        slopes[:, groups[name]] = 1 / len(groups[name])
        return slopes
    scores = group_scores(f1, groups)
    for classes, mean in ((groups[group], scores[group]) for group in groups):
        part = np.divide(scores["harmonic_mean"] ** 2, len(groups) * mean ** 2, out=np.zeros(len(f1)), where=mean > 0)
        slopes[:, classes] += part[:, None] / len(classes)
    return slopes
