"""The curve of F1 against labels a class: as text, table and figure."""

import numpy as np

from fewshot_wsi.report.style import COLOURS, FAINT, drawing, finish, grid_lines
from lowshot.intervals import FEW_TASKS

HEADER = ("labels_a_class", "f1", "closed_low", "closed_high", "open_low", "open_high", "unit", "units", "tasks",
          "note")


def note_of(point):
    """Why the open interval is missing or wide; '' where it is neither."""
    return "wide for want of tasks: raise --num_tasks" if point.open.note == FEW_TASKS else point.open.note


def csv_rows(points):
    """Rows below HEADER; F1 and limits as fractions, '' where there is no interval."""
    def limits(interval):
        return ("", "") if interval.half is None else (f"{interval.low:.6f}", f"{interval.high:.6f}")

    return [(p.shots, f"{p.f1:.6f}", *limits(p.closed), *limits(p.open), p.unit, p.open.n, p.tasks, note_of(p))
            for p in points]


def text_row(point):
    return f"{point.shots:>14}  {100 * point.f1:6.1f}  {_limits(point.closed):>14}  {_limits(point.open):>14}"


def text_head(unit):
    return f"{'labels a class':>14}  {'F1, %':>6}  {'further tasks':>14}  {f'new {unit}s':>14}"


def _limits(interval):
    if interval.half is None:
        return "–"
    return f"{100 * max(interval.low, 0):.1f} … {100 * min(interval.high, 1):.1f}"


def answer(found):
    """Lines that answer how many labels a class F1 `found.target` takes. found: `lowshot.learning_curve.LabelsFor`."""
    wanted, unit = f"F1 {found.target:g}", found.last.unit
    if found.mean is None:
        best = "" if found.best is found.last else f" (highest: {found.best.f1:.3f} with {found.best.shots})"
        return [f"How many labels a class for {wanted}? The curve does not reach it: F1 is {found.last.f1:.3f} with "
                f"{found.last.shots} a class, the most that was asked of these tiles{best}."]
    lines = [f"How many labels a class for {wanted}? {found.mean}: from there on the mean over tasks is not below it."]
    for what, number, interval in (("further tasks from these tiles", found.closed, found.last.closed),
                                   (f"new {unit}s", found.open, found.last.open)):
        if number is not None:
            lines.append(f"With 95 % confidence for {what}: {number}.")
        elif interval.half is None:
            lines.append(f"With 95 % confidence for {what}: not known ({interval.note}).")
        else:
            lines.append(f"With 95 % confidence for {what}: the curve does not reach it; with {found.last.shots} a "
                         f"class the interval begins at {interval.low:.3f}.")
    return lines


def curve_figure(points, target):
    """`report.style.Figure` of the curve with both intervals and the wanted F1."""
    shots, mean = [p.shots for p in points], np.array([100 * p.f1 for p in points])
    with drawing(5.2, 3.4) as (figure, axes):
        ax = axes[0]
        for label, intervals, alpha in ((f"new {points[0].unit}s", [p.open for p in points], 0.12),
                                        ("further tasks", [p.closed for p in points], 0.3)):
            half = np.array([np.nan if i.half is None else 100 * i.half for i in intervals])
            ax.fill_between(shots, mean - half, mean + half, color=COLOURS[0], alpha=alpha, linewidth=0,
                            label=f"95 % interval, {label}")
        ax.plot(shots, mean, color=COLOURS[0], marker="o", label="mean over tasks")
        ax.axhline(100 * target, color=FAINT, linestyle=":", linewidth=1.2, label=f"F1 {target:g}")
        ax.set_xscale("log")
        ax.set_xticks(shots, [str(s) for s in shots])
        ax.minorticks_off()
        ax.set_xlabel("labels a class")
        ax.set_ylabel("macro F1 (%)")
        grid_lines(ax)
        ax.legend(loc="lower right", fontsize=8)
        return finish(figure, "budget_curve", "F1 against labels a class", "", "Line chart; its numbers are in the CSV")
