"""Rules by which the rows of a task are sampled.

| rule | support | query | query and support |
| --- | --- | --- | --- |
| published | without repeats; with repeats where `repeat_support` (near) | with repeats | may be the same image |
| distinct | without repeats | without repeats | never the same image |
| grouped | without repeats | without repeats | never of the same group (slide, patient, original tile): `grouped` |
| disjoint | as distinct, and no image in two tasks | | never the same image |

`published` is what the published figures were made with, surprises included: near-domain tasks may hold one support
tile twice, every task may hold one query twice, and mixture tasks may be asked about a tile they were shown. Kept,
because a comparison with those figures needs it. `disjoint` gives as many tasks as the images allow. `same_slide` (homo
mode) takes all support tiles of a task from one slide, under any rule.

Task t of a setting comes from the stream (seed, 'tasks', setting, t): for all rules but `disjoint`, which depends on
the tasks before, it is the same alone or among a thousand.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewshot_wsi.foundation.errors import InputError
from fewshot_wsi.foundation.seeds import generator
from lowshot.grouped import GROUP_WEIGHTS, NoSplit, Splits, group_table, shortfall

ATTEMPTS = 64  # at a grouped task, each with another support, before the data are called too small


class NoSlideLeft(InputError):
    """No slide holds enough tiles of every class for homo mode."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The tiles of one set. Numbers in `images` and `groups` mean the same in the support and in the query pool."""
    name: str                         # of the set, for messages
    labels: np.ndarray                # (N,) int64
    images: np.ndarray                # (N,) int64, equal for equal images
    groups: np.ndarray | None = None  # (N,) int64
    slides: np.ndarray | None = None  # (N,) of str, the slide each tile is cut from
    group_names: tuple = ()           # of the numbers in `groups`, where they have names


@dataclass(frozen=True, eq=False)
class SampledTasks:
    support: np.ndarray  # (T, ways*shots) int32
    query: np.ndarray    # (T, ways*queries) int32
    left_out: list       # of {'slide', 'reason'}: slides that homo mode could not use
    shortfall: np.ndarray | None = None  # grouped: (ways,) share of the queries that other groups get than they should


def draw_tasks(support: "Pool", query: "Pool", classes: Sequence[str], *, shots: int, queries: int, num_tasks: int,
               rule: str = "published", seed: int = 0, setting: str = "", repeat_support: bool = False,
               same_slide: bool = False, group_weight: str = "tiles",
               rng: np.random.Generator | None = None) -> "SampledTasks":
    """Sample `num_tasks` tasks (`disjoint`: at most as many) with all `classes`, in label order.

    support, query: Pool (the same object where both are one set). classes: names in label order.
    group_weight: 'grouped' asks each group in proportion to its tiles, or equally ('equal'). rng: a Generator that all
    tasks are sampled from, one after another, instead of the streams of `seed` and `setting`.
    Returns SampledTasks. InputError, before anything is sampled, names the class that has too few tiles.
    """
    repeats = rule == "published" and repeat_support
    choices, left_out = _support_rows(support, classes, shots, same_slide, repeats)
    class_rows = _by_class(query.labels, len(classes))
    _check_class_sizes(class_rows, classes, 1 if rule == "published" else queries, query, "query tiles")
    if rule == "grouped" and (support.groups is None or query.groups is None):
        missing = support if support.groups is None else query
        raise InputError(f"sampling 'grouped' needs the groups of set {missing.name}: give --groups FILE (a CSV "
                        "path,group) or name it in the protocol")
    if group_weight not in GROUP_WEIGHTS:
        raise InputError(f"group_weight {group_weight!r}: known are {', '.join(GROUP_WEIGHTS)}")
    more = {} if rule != "grouped" else dict(choices=choices if same_slide else None, group_weight=group_weight,
                                             rng=rng or generator(seed, "tasks/splits", setting))
    draw = RULES[rule](support, query, class_rows, classes, shots, queries, repeats, **more)
    tasks = []
    for number in range(num_tasks):
        stream = rng or generator(seed, "tasks", setting, number)
        order = stream.permutation(len(choices)) if len(choices) > 1 else [0]
        task = draw(stream, [choices[i] for i in order])
        if task is None:
            break
        tasks.append(task)
    if not tasks:
        raise InputError(f"not one task can be sampled by the rule {rule!r} with {shots} shots and {queries} queries a "
                        f"class from {support.name} and {query.name}; lower them or add more tiles")
    supports, queries_of = (np.array([task[side] for task in tasks], dtype=np.int32) for side in (0, 1))
    splits = getattr(draw, "splits", None)
    return SampledTasks(supports, queries_of, left_out,
                        None if splits is None else shortfall(splits.shares, splits.table.weights))


def _by_class(labels, num_classes, where=None):
    """List of row arrays, one a class."""
    labels = labels if where is None else np.where(where, labels, -1)
    return [np.flatnonzero(labels == label) for label in range(num_classes)]


def _check_class_sizes(class_rows, classes, needed, pool, what):
    for name, rows in zip(classes, class_rows, strict=True):
        have = len(np.unique(pool.images[rows]))
        if have < needed:
            raise InputError(f"class {name!r} has {have} tiles in {pool.name}, but a task needs {needed} {what} of it; "
                            "add more tiles or ask for fewer")


def _support_rows(pool, classes, shots, same_slide, repeats):
    """What supports may come from: rows by class, once, or once for each usable slide; and the slides left out."""
    needed = 1 if repeats else shots
    if not same_slide:
        class_rows = _by_class(pool.labels, len(classes))
        _check_class_sizes(class_rows, classes, needed, pool, "support tiles (shots)")
        return [class_rows], []
    choices, left_out = [], []
    for slide in np.unique(pool.slides):
        class_rows = _by_class(pool.labels, len(classes), pool.slides == slide)
        counts = [len(np.unique(pool.images[rows])) for rows in class_rows]
        short = int(np.argmin(counts))
        if counts[short] >= needed:
            choices.append(class_rows)
        else:
            has = f"{counts[short]} tiles of class {classes[short]!r}, {needed} shots are asked for"
            left_out.append({"slide": str(slide), "reason": has if counts[short] else f"no {classes[short]!r}"})
    if not choices:
        raise NoSlideLeft(f"no slide of {pool.name} holds {needed} tiles of every class, so no task can take its shots "
                          f"from one slide ({left_out[0]['slide']}: {left_out[0]['reason']}); lower the shots or use "
                          "--mode hetero")
    return choices, left_out


class _Published:
    def __init__(self, support, query, class_rows, classes, shots, queries, repeats):
        self.support, self.query, self.class_rows, self.classes = support, query, class_rows, classes
        self.shots, self.queries, self.repeats = shots, queries, repeats

    def __call__(self, rng, choices):
        """One task: (support rows, query rows), or None where none is left. choices: in random order."""
        supports = [rng.choice(rows, self.shots, replace=self.repeats) for rows in choices[0]]
        queries = [rng.choice(rows, self.queries) for rows in self.class_rows]
        return np.concatenate(supports), np.concatenate(queries)


class _TooFewTiles(Exception):
    """Of one class, named by the argument, fewer unused tiles are left than a task needs."""


class _Distinct(_Published):
    def __init__(self, *args):
        super().__init__(*args)
        self.used = _flags(self.support.images, self.query.images)

    def __call__(self, rng, choices):
        try:
            task = self.unused(rng, choices[0])
        except _TooFewTiles as error:
            raise InputError(f"class {error.args[0]!r}: too few tiles for {self.shots} support and {self.queries} "
                             f"query tiles that all differ (sets {self.support.name}, {self.query.name}); lower them "
                             "or add more") from None
        self.release(task)
        return task

    def release(self, task):
        """Forget that the images of a task, or of a part of it, are used."""
        for pool, rows in zip((self.support, self.query), task, strict=False):
            self.used[pool.images[rows]] = False

    def unused(self, rng, class_rows):
        """(support rows, query rows) of images that are not flagged as used, and then are.

        _TooFewTiles: there are no such rows; the flags stay as they were.
        """
        supports = self.side(rng, self.support, class_rows, self.shots)
        try:
            return supports, self.side(rng, self.query, self.class_rows, self.queries)
        except _TooFewTiles:
            self.release((supports,))
            raise

    def side(self, rng, pool, class_rows, count):
        """Rows (ways·count,) of one side of a task, flagged as used. _TooFewTiles leaves the flags as they were."""
        picked = []
        for name, rows in zip(self.classes, class_rows, strict=True):
            chosen = _pick(rng, rows, count, pool.images, (self.used, pool.images))
            if chosen is None:
                for earlier in picked:
                    self.used[pool.images[earlier]] = False
                raise _TooFewTiles(name)
            self.used[pool.images[chosen]] = True
            picked.append(chosen)
        return np.concatenate(picked)


class _Disjoint(_Distinct):
    def __call__(self, rng, choices):
        for class_rows in choices:
            with contextlib.suppress(_TooFewTiles):
                return self.unused(rng, class_rows)  # its images stay flagged
        return None


class _Grouped(_Distinct):
    """Both sides from groups of their own; see `lowshot.grouped`."""

    def __init__(self, *args, choices, group_weight, rng):
        super().__init__(*args)
        support, query = self.support, self.query
        table = group_table(support.groups, query.groups, (support.labels, support.images),
                            (query.labels, query.images), len(self.classes), group_weight)
        self.same_slide = choices is not None
        fixed = None if choices is None else np.array([self.others(rows, table) for rows in choices])
        try:
            self.splits = Splits(table, self.shots, self.queries, rng, fixed)
        except NoSplit as error:
            raise self.too_few(self.classes[error.args[0]]) from None
        self.rows = [{group: rows[query.groups[rows] == group] for group in np.unique(query.groups[rows])}
                     for rows in self.class_rows]

    def __call__(self, rng, choices):
        for _ in range(ATTEMPTS):
            class_rows, asked = self.split(rng, choices)
            mine = [rows[~asked[self.support.groups[rows]]] for rows in class_rows]
            try:
                supports = self.side(rng, self.support, mine, self.shots)
            except _TooFewTiles:
                continue
            queries = self.asked_rows(rng, asked)
            self.release((supports,) if queries is None else (supports, queries))
            if queries is not None:
                return supports, queries
        raise self.too_few()

    def others(self, class_rows, table):
        """(G,) bool: the groups that are asked about where the supports are some of `class_rows`."""
        asked = table.query.any(axis=1)
        asked[np.unique(self.support.groups[np.concatenate(class_rows)])] = False
        return asked

    def split(self, rng, choices):
        """(rows by class that supports may come from, (G,) bool of the groups that are asked about)."""
        if not self.same_slide:
            asked = self.splits.draw(rng)
            if asked is None:
                raise self.too_few()
            return choices[0], asked
        for class_rows in choices:  # slides, in random order
            asked = self.others(class_rows, self.splits.table)
            if self.splits.feasible(asked[None], supports=False)[0]:
                return class_rows, asked
        raise self.too_few()

    def asked_rows(self, rng, asked):
        """Query rows (ways·queries,) of a split, flagged as used; None where images of several groups are too few."""
        picked = []
        for label, by_group in enumerate(self.rows):
            for group, count in zip(*self.splits.counts(rng, asked, label), strict=True):
                chosen = _pick(rng, by_group[group], count, self.query.images, (self.used, self.query.images))
                if chosen is None:
                    self.release(([], np.concatenate([[], *picked]).astype(np.int64)))
                    return None
                self.used[self.query.images[chosen]] = True
                picked.append(chosen)
        return np.concatenate(picked)

    def too_few(self, name=None):
        return InputError(f"class {(name or self.classes[0])!r}: no split of the groups found that leaves {self.shots} "
                          f"support and {self.queries} query tiles (sets {self.support.name}, {self.query.name}) "
                          "without a shared group; lower them or add more groups")


def _flags(*numbers):
    """One False for each number that occurs."""
    return np.zeros(1 + max(int(n.max()) for n in numbers), dtype=bool)


def _pick(rng, rows, count, images, *excluded):
    """`count` of `rows` with different images, or None if there are too few.

    excluded: pairs (flags, number of each row); a row whose number is flagged is not used. A few more than needed are
    put in random order and the unusable dropped; all are only if that falls short.
    """
    for size in (count + 16, len(rows)):
        order = rng.choice(rows, min(size, len(rows)), replace=False)
        for flags, numbers in excluded:
            order = order[~flags[numbers[order]]]
        first = {}  # place of each image's first row; a dict is faster than np.unique for so few
        for place, image in enumerate(images[order].tolist()):
            first.setdefault(image, place)
        if len(first) >= count:
            return order[list(first.values())[:count]]
    return None


RULES = {"published": _Published, "distinct": _Distinct, "grouped": _Grouped, "disjoint": _Disjoint}
