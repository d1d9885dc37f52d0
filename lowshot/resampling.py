"""The bootstrap of the open interval: data sets of the same source, made by drawing units with replacement.

Resample b draws as many units (slides, patients, …) as there are: those of the supports and those of the queries apart,
all in one draw where the two sides share units. A unit that comes twice has its tiles in the pool twice, so they are
twice as likely; they remain the same images of the same group, which the rules 'distinct' and 'grouped' keep on one
side. Tasks are then sampled from the resample as they were from the data. A resample that yields no task (a class is
missing, say) is sampled again, and counted.

Resample b comes from the stream (seed, 'open', setting, b). It depends on neither encoder nor classifier, so that the
difference of two methods in the same resample is a paired one.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import InputError
from fewshot_wsi.foundation.files import arrays_sha256, json_sha256, write_npz
from fewshot_wsi.foundation.seeds import generator
from lowshot.influence import too_few
from lowshot.sampling import Pool, draw_tasks

RESAMPLES = 100   # default: 50 to 200 give a standard error (Efron and Tibshirani 1993, chapter 6)
ATTEMPTS = 1000   # at one resample that yields a task
ARRAYS = ("labels", "images", "groups", "slides", "units")


@dataclass(frozen=True)
class Rules:
    """How tasks are sampled from a resample, and what is reported of them. JSON-able."""
    classes: list
    shots: int
    queries: int
    num_tasks: int
    rule: str
    repeat_support: bool
    same_slide: bool
    seed: int
    setting: str
    unit: str            # what a unit is
    class_groups: dict   # name -> class numbers, as in `statistics.group_scores`
    group_weight: str = "tiles"  # of the rule 'grouped'


@dataclass(frozen=True, eq=False)
class Design:
    """What resamples are made of. Pools as in `sampling`, the same object where both sides are one set; units: (N,)
    int64 of each tile of a pool, comparable between the two."""
    support: Pool
    query: Pool
    support_units: np.ndarray
    query_units: np.ndarray
    rules: Rules

    @property
    def count(self) -> int:
        """Smallest number of units that hold any class, on either side."""
        sides = ((self.support.labels, self.support_units), (self.query.labels, self.query_units))
        return min(len(np.unique(units[labels == label])) for labels, units in sides
                   for label in range(len(self.rules.classes)))

    @cached_property
    def shared(self) -> bool:
        """Whether some unit is on both sides."""
        return np.intersect1d(self.support_units, self.query_units).size > 0

    @property
    def unknown(self) -> str:
        """Why this design has no bootstrap; '' where it has one."""
        return too_few(self.count, self.rules.unit)

    @cached_property
    def identity(self) -> str:
        """Hash of all that decides the resamples: equal where they are the same for two methods."""
        return json_sha256([asdict(self.rules), self.query is self.support, arrays_sha256(**self._arrays())])

    def _arrays(self):
        found = {}
        for side, pool, units in (("support", self.support, self.support_units),
                                  ("query", self.query, self.query_units)):
            found |= {f"{side}_{name}": values for name, values in zip(
                ARRAYS, (pool.labels, pool.images, pool.groups, pool.slides, units), strict=True) if values is not None}
        return found

    def save(self, path: str | Path) -> None:
        meta = {"rules": asdict(self.rules), "one_set": self.query is self.support,
                "names": [self.support.name, self.query.name]}
        write_npz(path, **self._arrays(), meta=np.array(json.dumps(meta, sort_keys=True)))


@dataclass(frozen=True)
class Bootstrap:
    """Means of one method over the tasks of B resamples of its units, in fractions.

    In the JSON `open_bootstrap` is the list of macro F1, `open_resampling` a dict of the rest.
    """
    macro: np.ndarray   # (B,)
    groups: dict        # name of a class group, or harmonic_mean -> (B,)
    unit: str           # what a unit is
    units: int          # smallest number of units of a class
    shared: bool        # some unit is on both sides
    redrawn: int        # resamples that yielded no task and were sampled again
    identity: str       # equal where two methods were scored on the same resamples

    def __sub__(self, other: "Bootstrap") -> "Bootstrap":
        """The difference of two methods in the same resamples, of the macro F1 alone."""
        return Bootstrap(self.macro - other.macro, {}, self.unit, self.units, self.shared, self.redrawn, self.identity)

    def as_json(self) -> dict:
        rest = {"unit": self.unit, "units": self.units, "shared": self.shared, "redrawn": self.redrawn,
                "identity": self.identity, "groups": {name: values.tolist() for name, values in self.groups.items()}}
        return {"open_bootstrap": self.macro.tolist(), "open_resampling": rest}


def load_design(path: str | Path) -> "Design":
    """The Design that was saved at `path`."""
    with np.load(path, allow_pickle=False) as stored:
        meta = json.loads(str(stored["meta"]))
        sides = [[stored.get(f"{side}_{name}") for name in ARRAYS]
                 for side in ("support", "query")]
    pools = [Pool(name, *side[:4]) for name, side in zip(meta["names"], sides, strict=True)]
    return Design(pools[0], pools[0] if meta["one_set"] else pools[1], sides[0][4], sides[1][4], Rules(**meta["rules"]))


def resample(design: "Design", number: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Tasks of resample `number`: (support (T, n), query (T, Q) int32 rows of the sets, how often it was repeated).

    InputError where ATTEMPTS draws yield no task.
    """
    rules = design.rules
    rng = generator(rules.seed, "open", rules.setting, number)
    for again in range(ATTEMPTS):
        copies = _copies(rng, design)
        rows, support = _drawn_pool(design.support, copies[0])
        query_rows, query = (rows, support) if design.query is design.support else _drawn_pool(design.query, copies[1])
        try:
            tasks = draw_tasks(support, query, rules.classes, shots=rules.shots, queries=rules.queries,
                               num_tasks=rules.num_tasks, rule=rules.rule, repeat_support=rules.repeat_support,
                               same_slide=rules.same_slide, group_weight=rules.group_weight, rng=rng)
        except ValueError:  # too few tiles, slides or groups: all that was asked for was checked on the data themselves
            continue
        return rows[tasks.support].astype(np.int32), query_rows[tasks.query].astype(np.int32), again
    raise InputError(f"--open bootstrap: {ATTEMPTS} resamples of the {rules.unit}s of {design.support.name} and "
                    f"{design.query.name} yielded no task of {rules.shots} shots and {rules.queries} queries a class; "
                    "lower them or add more tiles")


def _copies(rng, design):
    """[(N,) how often each tile of a side is in the resample, for both sides]."""
    sides = design.support_units, design.query_units
    sampled = [np.concatenate(sides)] if design.shared else sides
    counts = np.zeros(1 + max(int(units.max()) for units in sides), dtype=np.int64)
    for units in map(np.unique, sampled):
        counts[units] = rng.multinomial(len(units), np.full(len(units), 1 / len(units)))
    return [counts[units] for units in sides]


def _drawn_pool(pool, copies):
    """(rows of the pool, Pool of these rows). Copies of a slide are slides of their own, so that homo mode draws a
    slide that is there twice twice as often."""
    rows = np.repeat(np.arange(len(copies)), copies)
    groups = None if pool.groups is None else pool.groups[rows]
    slides = None
    if pool.slides is not None:
        copy = np.arange(len(rows)) - np.repeat(np.cumsum(copies) - copies, copies)
        slides = pool.slides[rows] * (copies.max() + 1) + copy
    return rows, Pool(pool.name, pool.labels[rows], pool.images[rows], groups, slides)
