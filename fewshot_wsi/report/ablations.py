"""Ablations: runs that differ in one number, or in two that rise together, as series and as a table."""

import math
from dataclasses import replace

from fewshot_wsi.report.overview import CLOSED, with_half
from fewshot_wsi.report.runs import USUAL
from fewshot_wsi.report.tables import Cell, Column, Table, number_cell, text_cell
from fewshot_wsi.report.variants import features_of

ABLATED = ((("num_prototypes",), "prototypes K", "Number of prototypes"),
           (("num_aug_shots",), "augmented shots", "Number of augmented shots"),
           (("aug_times",), "views", "Number of augmented views"),
           (("aug_times", "num_aug_shots"), "views × augmented shots", "Number of views and of augmented shots"))


def ablations(runs):
    """Series of runs that differ in one number alone, or in views and augmented shots that rise together:
    [(keys of ABLATED, title, list of runs in its order)], two or more runs each."""
    *single, (both, _, title) = ABLATED
    views = [run for run in runs if run.config["aug_times"]]
    together = [(both, title, found) for found in _series(views, both) if _rises(found, both)]
    paired = {id(run) for *_, found in together for run in found}  # they make no pairs besides
    others = [run for run in runs if id(run) not in paired]
    return [(keys, title, found) for keys, _, title in single for found in _series(others, keys)
            if len({run.config[keys[0]] for run in found}) > 1] + together


def _series(runs, keys):
    """Runs on the same tasks and features that differ in nothing but `keys`: lists in the order of these."""
    series = {}
    for run in runs:
        if keys == ("aug_times",) or run.config["mode"] != "linear":  # the others are of no effect there
            rest = tuple((k, str(v)) for k, v in sorted(run.config.items()) if k not in keys)
            series.setdefault((run.hashes["tasks"], features_of(run), rest), []).append(run)
    return [sorted(found, key=lambda run: [run.config[key] for key in keys]) for found in series.values()]


def _rises(found, keys):
    """Whether there are two runs or more and each number rises from run to run."""
    steps = list(zip(found, found[1:], strict=False))
    return bool(steps) and all(a.config[key] < b.config[key] for a, b in steps for key in keys)


def ablated_value(run, keys):
    """The number that varies; of several their product: how many features stand for a support."""
    return math.prod(run.config[key] for key in keys)


def ablated_words(run, keys):
    return " × ".join(str(run.config[key]) for key in keys)


def series_name(run, keys):
    """What the runs of a series have in common, in words."""
    return replace(run, config={**run.config, **{key: USUAL[key] for key in keys}}).label


def linear_of(run, runs):
    """The linear run without views on the same tasks, encoder and classifier, or None."""
    return next((r for r in runs if r.hashes["tasks"] == run.hashes["tasks"] and r.config["mode"] == "linear"
                 and r.config["clf"] == run.config["clf"] and r.config["model"] == run.config["model"]
                 and features_of(r) == features_of(run) and not r.config["aug_times"]), None)


def ablation_table(runs):
    table = Table("ablations", "Ablations", (
        "Macro F1 in percent where one number alone is varied, or views and augmented shots together. " + CLOSED),
                  [Column("Varied", pick=True), Column("Value", ("",)), Column("Task", pick=True),
                   Column("Novel class", pick=True), Column("Shots", ("",)), Column("Method"),
                   Column("F1", ("F1", "closed ±", "open ±"))])
    for keys, title, found in ablations(runs):
        for run in found:
            table.rows.append([text_cell(title), Cell(ablated_words(run, keys), (ablated_value(run, keys),)),
                               text_cell(run.evaluation), text_cell(run.novel_name), number_cell(run.shots, "{}"),
                               text_cell(run.method), with_half(run.closed.mean, run.closed.half, run.open.half)])
    return table
