"""The paper's published figures, and whether a run is equivalent to them.

A run matches a published table by the names of its setting: task, model family (`clp`, `fsp`), novel class, shots, mode
and classifier, with latent augmentation also prototypes and augmented shots; its tasks follow the published rule, and
its model is the one that was trained without the novel class. Names say nothing about the data: a run on fewer tiles
than the paper had is matched and compared, but it is not counted.

Judged is the mean over classes (macro F1). The paper printed the mean of its *class* half-widths, which is wider than
the half-width of the macro F1 where classes do not rise and fall together. The paper's macro half-width is assumed to
be in the same proportion to it as this run's is:

    half-width of the difference = hypot(h, h / c * c_paper),    h, c: macro and mean class half-width of this run

Two one-sided tests (Schuirmann 1987) at level 5 % show equivalence: the 90 % interval of the difference lies within
± MARGIN. A difference whose 95 % interval excludes zero is shown to differ, unless it is equivalent; all else is open.
"""

import json
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files

from scipy import stats

MARGIN = 2.0  # points of F1 within which two figures count as the same
NARROW = float(stats.norm.ppf(0.95) / stats.norm.ppf(0.975))  # a 90 % half-width, of the 95 % one
EQUIVALENT, DIFFERENT, OPEN = "equivalent", "different", "open"


@dataclass(frozen=True)
class PublishedMatch:
    """One published table beside one run; figures in percent, run minus published."""
    table: dict         # the published table
    run: object         # the run that matches it, as given to `match_published`
    f1: float           # mean F1 of the run
    ci95: float | None  # mean of its class half-widths, as published; None for a single task
    macro_ci95: float | None  # half-width of its macro F1
    same_size: bool | None  # the run's sets have as many tiles as the paper's; None where that is unknown

    @property
    def difference(self):
        return self.f1 - self.table["mean_f1"]

    @property
    def half(self):
        """95 % half-width of the difference of two independent sets of tasks; see the module's docstring."""
        if self.ci95 is None:
            return None
        ratio = self.macro_ci95 / self.ci95 if self.ci95 else 1.0  # never above 1
        return math.hypot(self.macro_ci95, ratio * self.table["mean_ci95"])

    @property
    def verdict(self):
        """EQUIVALENT, DIFFERENT or OPEN."""
        return verdict_of(self.difference, self.half)


def verdict_of(difference, half):
    """EQUIVALENT, DIFFERENT or OPEN, of a difference with its 95 % half-width; None: a single task."""
    if half is None:
        return OPEN
    if abs(difference) + NARROW * half <= MARGIN:
        return EQUIVALENT
    return DIFFERENT if abs(difference) > half else OPEN


@lru_cache(maxsize=1)
def published():
    """The data file: dict with `source`, `rows_of_sets` and `tables` (349 dicts)."""
    return json.loads(files("fewshot_wsi.report").joinpath("published_results.json").read_text(encoding="utf-8"))


def setting_key(task, model, novel, shots, mode, clf, num_prototypes, num_aug_shots):
    """What a published table and a run have in common when they are of one setting."""
    family, _, tag = model.partition("_wo_")
    novel = str(novel) if novel is not None else tag or None
    return task, family, novel, shots, mode, clf, *((num_prototypes, num_aug_shots) if mode == "latent_aug" else ())


@lru_cache(maxsize=1)
def tables_by_setting():
    """dict from `setting_key` to the published tables of that setting (one stands twice)."""
    found = {}
    for t in published()["tables"]:
        found.setdefault(setting_of(t), []).append(t)
    return found


def setting_of(table):
    """`setting_key` of a published table."""
    names = ("task", "model", "novel_class", "shots", "mode", "classifier", "num_prototypes", "num_aug_shots")
    return setting_key(*map(table.get, names))


def tables_of(config, ways):
    """Published tables of a run's `config` with as many classes; [] where there is none."""
    if config["aug_times"] or config.get("sampling", "published") != "published":
        return []  # data augmentation and other sampling rules were never published
    if config["novel_class"] is not None and config["model"].partition("_wo_")[2] != str(config["novel_class"]):
        return []  # the published models never saw the class that is called novel
    key = setting_key(config["task"], config["model"], config["novel_class"], config["num_shots"], config["mode"],
                      config["clf"], config["num_prototypes"], config["num_aug_shots"])
    return [t for t in tables_by_setting().get(key, []) if len(t["class_f1"]) == ways]


def match_published(config, statistics, rows=None, run=None):
    """Matches of one run. statistics: those of `statistics.run_statistics`, fractions.

    rows: {"support": N, "query": N}, the size of the run's sets where known.
    """
    f1, half, macro = (None if value is None else 100 * value for value in (
        statistics["macro_f1"]["mean"], statistics["published_last_line"]["mean_of_class_half_widths"],
        statistics["macro_f1"]["ci95"]))
    same_size = _same_size(published()["rows_of_sets"].get(config["task"], {}), rows or {})
    return [PublishedMatch(t, run, f1, half, macro, same_size) for t in tables_of(config, len(statistics["class_f1"]))]


def _same_size(expected, rows):
    """True: both sets have as many tiles as published. False: one has not. None: not known."""
    if any(rows.get(side) not in (None, count) for side, count in expected.items()):
        return False
    return True if expected and all(rows.get(side) for side in expected) else None


def summarise(matches):
    """Counts for a summary: dict with published, matched, comparable (on sets of the published size), of the comparable
    ones those of each verdict, and by_chance: how many would be equivalent to a table of another setting.

    A table that several runs match (another seed or solver, say) counts once; its verdict is the worst of theirs.
    by_chance: each comparable run beside all other published tables of its task, the share that is equivalent, added
    up. Where that comes near the count of equivalent ones, their agreement says little.
    """
    by_table = {}
    for match in matches:
        by_table.setdefault(id(match.table), []).append(match)
    groups = [group for group in by_table.values() if all(match.same_size for match in group)]
    worst = [max((m.verdict for m in group), key=(EQUIVALENT, OPEN, DIFFERENT).index) for group in groups]
    return {"published": len(published()["tables"]), "matched": len(by_table), "comparable": len(groups),
            **{verdict: worst.count(verdict) for verdict in (EQUIVALENT, DIFFERENT, OPEN)},
            "by_chance": sum(_share_by_chance(group[0]) for group in groups)}


def _share_by_chance(match):
    """Share of the other published tables of the task that the run of a PublishedMatch is equivalent to."""
    others = [t for t in published()["tables"] if t["task"] == match.table["task"]
              and setting_of(t) != setting_of(match.table)]
    same = [replace(match, table=table).verdict == EQUIVALENT for table in others]
    return sum(same) / len(same) if same else 0.0
