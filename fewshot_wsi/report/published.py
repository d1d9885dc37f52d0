"""The paper's published figures, and whether a run agrees with them.

A run matches a published table by the names of its setting: task, model family (`clp`, `fsp`), novel class, shots, mode
and classifier, with latent augmentation also prototypes and augmented shots; its tasks follow the published rule.
Names say nothing about the data: a run on fewer tiles than the paper had is matched, compared and marked as made on
other data.

Agreement is judged on the mean over classes (macro F1). The paper printed the mean of its *class* half-widths, which is
wider than the half-width of the macro F1 where classes do not rise and fall together. The paper's macro half-width is
assumed to be in the same proportion to it as this run's is:

    half-width of the difference = hypot(h, h / c * c_paper),    h, c: macro and mean class half-width of this run
"""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files


@dataclass(frozen=True)
class Match:
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
    def agrees(self):
        return self.half is not None and abs(self.difference) <= self.half


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
        key = setting_key(t["task"], t["model"], t["novel_class"], t["shots"], t["mode"], t["classifier"],
                          t["num_prototypes"], t["num_aug_shots"])
        found.setdefault(key, []).append(t)
    return found


def tables_of(config, ways):
    """Published tables of a run's `config` with as many classes; [] where there is none."""
    if config["aug_times"] or config.get("sampling", "published") != "published":
        return []  # data augmentation and other sampling rules were never published
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
    return [Match(t, run, f1, half, macro, same_size) for t in tables_of(config, len(statistics["class_f1"]))]


def _same_size(expected, rows):
    """True: both sets have as many tiles as published. False: one has not. None: not known."""
    if any(rows.get(side) not in (None, count) for side, count in expected.items()):
        return False
    return True if expected and all(rows.get(side) for side in expected) else None


def summarise(matches):
    """Counts for a summary: of all published tables, how many were run and how many agree.

    A table that several runs match (another seed or solver, say) counts once, and agrees where all of them do.
    """
    by_table = {}
    for match in matches:
        by_table.setdefault(id(match.table), []).append(match)
    groups = list(by_table.values())
    comparable = [g for g in groups if all(m.same_size for m in g)]
    return {"published": len(published()["tables"]), "matched": len(groups),
            "agree": sum(all(m.agrees for m in g) for g in groups),
            "matched_on_sets_of_the_published_size": len(comparable),
            "agree_on_sets_of_the_published_size": sum(all(m.agrees for m in g) for g in comparable)}
