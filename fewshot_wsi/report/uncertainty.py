"""What open intervals are made of, what would narrow them, and whom they do not cover."""

import math

from fewshot_wsi.report.overview import percent
from fewshot_wsi.report.tables import Cell, Column, Table, number_cell, text_cell
from lowshot.components import BOTH

SIDES = ("support", "query", BOTH)


def components_table(runs):
    """One row for each run with an open interval by the formula; a Table without rows where there is none."""
    found = [run for run in runs if run.parts is not None]
    sides = [side for side in SIDES if any(side == name for run in found for name, *_ in run.parts.sides)]
    table = Table("components", "What would narrow the open intervals", (
        "Standard deviations in points of F1 whose squares add up to the variance behind an open interval: that of the "
        "tasks, which more tasks shrink; that of the units (patients, slides, …), which only more units shrink; and "
        "that of the tiles that stand for a unit, which more tiles of the same units shrink too. Then the open "
        "± to expect with twice as many of each. Estimates from few units are rough. Open intervals by the bootstrap "
        "are not taken apart."),
        [Column("Task", pick=True), Column("Novel class", pick=True), Column("Shots", ("",)),
         Column("Method", pick=True), Column("Unit"), Column("tasks", ("",), "SD"),
         *(Column(label, ("",), f"SD, {side}") for side in sides for label in ("units", "tiles")),
         *(Column(label, ("",), "open ±") for label in ("now", "twice the tasks", "twice the units",
                                                         "twice the tiles"))])
    for run in found:
        parts = {name: values for name, *values in run.parts.sides}
        table.rows.append([
            text_cell(run.evaluation), text_cell(run.novel_name), number_cell(run.shots, "{}"), text_cell(run.method),
            text_cell(run.unit), _deviation(run.parts.tasks),
            *(cell for side in sides for cell in _side_cells(parts.get(side), run.parts.unit)),
            *(number_cell(100 * half) for half in (
                run.parts.half(), run.parts.half(tasks=2), run.parts.half(units=2), run.parts.half(tiles=2)))])
    return table


def _side_cells(values, unit):
    """Cells of a side: of its units and of its tiles; single images are tiles alone."""
    if values is None:
        return [Cell("–", (None,))] * 2
    units, tiles = values
    return [Cell("–", (None,)) if unit == "image" else _deviation(units), _deviation(tiles)]


def _deviation(variance):
    return number_cell(100 * math.sqrt(max(variance, 0.0)))


def collect_line(run):
    """Whether to collect more units or to label more tiles, in a sentence; '' where that is not known."""
    if run.parts is None or run.parts.half() == 0:
        return ""
    ways = [(f"twice as many {run.unit}s", run.parts.half(units=2)), ("twice as many tasks", run.parts.half(tasks=2))]
    if run.unit != "image":
        ways.insert(1, (f"twice as many tiles of the same {run.unit}s", run.parts.half(tiles=2)))
    said = ", ".join(f"{percent(half)} with {way}" for way, half in ways)
    return f"Its open ± of {percent(run.parts.half())} would be about {said}."


def not_covered_lines(runs):
    """A line for each evaluation whose intervals are for units of few larger ones (slides of two patients, say)."""
    lines = {}
    for run in runs:
        outside = " and ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in run.not_covered)
        if outside:
            names = " or ".join(f"{kind}s" for kind, _ in run.not_covered)
            lines[f"{run.evaluation}: open intervals are for new {run.unit}s of the {outside} in the class with fewest;"
                  f" new {names} are not covered."] = None
    return list(lines)
