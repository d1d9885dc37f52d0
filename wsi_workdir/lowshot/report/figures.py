"""The figures of the report, each a function from runs to a `style.Figure`, or None where there is nothing to draw."""

import numpy as np

from lowshot.report.contrasts import ABLATED, ablations, gains, linear_of
from lowshot.report.overview import slug
from lowshot.report.selection import CLASSIFIERS, place_of
from lowshot.report.style import COLOURS, FAINT, INK, MARKERS, colours_of, drawing, finish, grid_lines, legend_below

NAMES = {"Ridge": "Ridge", "logistic_regression": "Logistic regression", "nearest_centroid": "Nearest centroid"}


def _first(grid, method, runs):
    return runs[next(numbers[0] for (m, _), numbers in grid.cells.items() if m == method)]


def f1_by_shots(grid, runs):
    """F1 against shots, a panel for each classifier, bands for both intervals."""
    if len(grid.shots) < 2:
        return None
    first = {m: _first(grid, m, runs) for m in grid.methods}
    panels = [c for c in (*CLASSIFIERS, *sorted({r.config["clf"] for r in first.values()} - set(CLASSIFIERS)))
              if any(r.config["clf"] == c for r in first.values())]
    colours = colours_of({r.family for r in first.values()})
    handles = {}
    with drawing(max(3.6, 2.6 * len(panels)), 3.3, 1, len(panels), sharey=True) as (figure, axes):
        for ax, clf in zip(axes, panels, strict=True):
            for method, run in first.items():
                if run.config["clf"] == clf:
                    line = _shots_line(ax, grid, method, run, runs, colours[run.family])
                    handles.setdefault(method.replace(f" · {_short(clf)}", ""), line)
            ax.set_title(NAMES.get(clf, clf))
            ax.set_xscale("log")
            ax.set_xticks(grid.shots, [str(s) for s in grid.shots])
            ax.minorticks_off()
            ax.set_xlabel("shots")
            grid_lines(ax)
        axes[0].set_ylabel("macro F1 (%)")
        legend_below(figure, list(handles.values()), list(handles))
        return finish(figure, f"shots_{slug(grid.evaluation)}", f"{grid.evaluation}: F1 against shots", (
            "Macro F1 by number of support tiles a class. Dark band: closed 95 % interval (further tasks from these "
            "images); light band: open 95 % interval (new images or slides)."),
            f"Line chart of macro F1 against shots for {grid.evaluation}; the figures are in the main table.")


def _short(clf):
    return {"logistic_regression": "LR", "nearest_centroid": "NC"}.get(clf, clf)


def _shots_line(ax, grid, method, run, runs, colour):
    shots = [s for s in grid.shots if (method, s) in grid.cells]
    places = [place_of(grid.cells[method, s], runs) for s in shots]
    mean = np.array([100 * p.mean for p in places])
    latent = run.config["mode"] == "latent_aug"
    for halves, alpha in (([p.open for p in places], 0.10), ([p.closed for p in places], 0.28)):
        if None not in halves:
            half = 100 * np.array(halves)
            ax.fill_between(shots, mean - half, mean + half, color=colour, alpha=alpha, linewidth=0)
    return ax.plot(shots, mean, color=colour, linestyle="-" if latent else "--", marker=MARKERS.get(
        run.config["clf"], "D"), markerfacecolor=colour if latent else "white")[0]


def gain_by_class(grid, runs):
    """Gain of latent augmentation, class by class."""
    every = gains(grid, runs)
    if not every:
        return None
    classes = every[0][0]
    every = [g for g in every if g[0] == classes]
    shots = sorted({g[2] for g in every})
    methods = list(dict.fromkeys(g[1] for g in every))[:12]
    offsets = np.linspace(-0.3, 0.3, len(methods)) if len(methods) > 1 else [0.0]
    handles = {}
    with drawing(max(4.0, 2.4 * len(shots)), 1.3 + 0.36 * len(classes), 1, len(shots), sharey=True,
                 sharex=True) as (figure, axes):
        for ax, count in zip(axes, shots, strict=True):
            ax.axvline(0, color=FAINT, linewidth=0.8)
            for _, method, _, values in (g for g in every if g[2] == count and g[1] in methods):
                place = methods.index(method)
                mean, half = 100 * np.array(values).T
                handles[method] = ax.errorbar(
                    mean, np.arange(len(classes)) + offsets[place], xerr=half, fmt="os^Dv"[place % 5], markersize=3.5,
                    color=COLOURS[place % len(COLOURS)], elinewidth=0.9, linestyle="none")
            ax.set_title(f"{count}-shot")
            ax.set_xlabel("points of F1")
            ax.set_yticks(range(len(classes)), classes)
            grid_lines(ax, "x")
        axes[0].invert_yaxis()
        legend_below(figure, list(handles.values()), list(handles))
        return finish(figure, f"gain_{slug(grid.evaluation)}", f"{grid.evaluation}: gain of latent augmentation", (
            "F1 with latent augmentation minus F1 without, paired on the same tasks; bars are closed 95 % intervals. "
            "Right of the line: augmentation helps."),
            f"Dot chart of the gain of latent augmentation for each class of {grid.evaluation}; the figures are in "
            "the table of gains.")


def distribution(grid, runs):
    """Spread of macro F1 over tasks: quantiles of every method at every number of shots."""
    methods = grid.methods[:24]
    with drawing(max(4.5, 2.4 * len(grid.shots)), 0.9 + 0.24 * len(methods), 1, len(grid.shots), sharey=True,
                 sharex=True) as (figure, axes):
        for ax, shots in zip(axes, grid.shots, strict=True):
            for place, method in enumerate(methods):
                numbers = grid.cells.get((method, shots))
                if numbers:
                    values = 100 * np.concatenate([runs[n].macro for n in numbers])
                    low, q1, median, q3, high = np.percentile(values, (5, 25, 50, 75, 95))
                    ax.plot([low, high], [place, place], color=FAINT, linewidth=1)
                    ax.plot([q1, q3], [place, place], color=COLOURS[0], linewidth=5, solid_capstyle="butt")
                    ax.plot(median, place, "|", color=INK, markersize=8, markeredgewidth=1.4)
            ax.set_title(f"{shots}-shot")
            ax.set_xlabel("macro F1 of a task (%)")
            ax.set_yticks(range(len(methods)), methods, fontsize=8)
            grid_lines(ax, "x")
        axes[0].invert_yaxis()
        return finish(figure, f"tasks_{slug(grid.evaluation)}", f"{grid.evaluation}: spread over tasks", (
            "Line: 5 to 95 % of tasks; bar: the middle half; tick: median. One task is what one user with one set of "
            "support tiles would meet."),
            f"Quantiles of macro F1 over tasks for {grid.evaluation}; the figures are in the table of every run.")


def confusion_of(run):
    """Confusion matrix of one run, rows add to 100 %."""
    share = _shares(run)
    with drawing(1.6 + 0.48 * len(run.classes), 1.2 + 0.42 * len(run.classes)) as (figure, axes):
        ax = axes[0]
        ax.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for i, row in enumerate(share):
            for j, value in enumerate(row):
                ax.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=8,
                        color="white" if value > 55 else "#222222")
        ax.set_xticks(range(len(run.classes)), run.classes, rotation=45, ha="right")
        ax.set_yticks(range(len(run.classes)), run.classes)
        ax.set_xlabel("predicted")
        ax.set_ylabel("true")
        return finish(figure, f"confusion_{slug(run.evaluation)}", f"Confusion: {run.label}",
                      "Percent of the queries of a true class (row) that were given each label, over all tasks.",
                      f"Confusion matrix of {run.label}; its figures can be chosen in the table below.")


def _shares(run):
    counts = np.asarray(run.statistics["confusion"], dtype=float)
    return 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def ablation_figures(runs):
    """A figure for each number that was varied, a line for each series."""
    figures = []
    for key, axis, title in ABLATED:
        series = [found for name, _, found in ablations(runs) if name == key][:8]
        if not series:
            continue
        with drawing(5.2, 3.2) as (figure, axes):
            for place, found in enumerate(series):
                _ablation_line(axes[0], key, found, runs, COLOURS[place % len(COLOURS)])
            axes[0].set_xscale("log")
            ticks = sorted({run.config[key] for found in series for run in found if run.config[key]})
            axes[0].set_xticks(ticks, [str(t) for t in ticks], fontsize=8)
            axes[0].minorticks_off()
            axes[0].set_xlabel(axis)
            axes[0].set_ylabel("macro F1 (%)")
            grid_lines(axes[0])
            legend_below(figure, *axes[0].get_legend_handles_labels())
            figures.append(finish(figure, f"ablation_{key}", f"Ablation: {title.lower()}", (
                "Macro F1 where this number alone is varied; bars are closed 95 % intervals, the dotted line is the "
                "same classifier without augmentation."), f"Line chart of macro F1 against {axis}; the figures are "
                "in the table of ablations."))
    return figures


def _ablation_line(ax, key, found, runs, colour):
    found = [run for run in found if run.config[key]]
    label = f"{found[0].evaluation}, {found[0].shots}-shot, {found[0].family}, {_short(found[0].config['clf'])}"
    values = [run.config[key] for run in found]
    mean = [100 * run.closed.mean for run in found]
    half = [100 * (run.closed.half or 0) for run in found]
    ax.errorbar(values, mean, yerr=half, color=colour, marker="o", elinewidth=0.9, capsize=2, label=label)
    base = linear_of(found[0], runs)
    if base is not None:
        ax.axhline(100 * base.closed.mean, color=colour, linestyle=":", linewidth=1)


def published_scatter(matches):
    """Published against reproduced, with the diagonal."""
    if not matches:
        return None
    colours = colours_of({m.run.family for m in matches})
    with drawing(4.6, 4.4) as (figure, axes):
        ax = axes[0]
        values = [v for m in matches for v in (m.table["mean_f1"], m.f1)]
        ends = [max(0, min(values) - 3), min(100, max(values) + 3)]
        ax.plot(ends, ends, color=FAINT, linewidth=0.9)
        for family, colour in colours.items():
            for inside in (True, False):
                chosen = [m for m in matches if m.run.family == family and m.agrees == inside]
                if chosen:
                    ax.errorbar([m.table["mean_f1"] for m in chosen], [m.f1 for m in chosen],
                                xerr=[m.table["mean_ci95"] for m in chosen], yerr=[m.ci95 or 0 for m in chosen],
                                fmt="o" if inside else "x", color=colour, elinewidth=0.6, markersize=4,
                                label=f"{family.upper()}, {'inside' if inside else 'outside'} the joint interval")
        ax.set_xlim(ends)
        ax.set_ylim(ends)
        ax.set_aspect("equal")
        ax.set_xlabel("published mean F1 (%)")
        ax.set_ylabel("mean F1 here (%)")
        grid_lines(ax, "both")
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=1, fontsize=8)
        return finish(figure, "published", "Published against reproduced", (
            "Each mark is a published table that was run here; on the diagonal both agree. Bars: mean of the class "
            "half-widths, as published. Names of settings match; whether data and encoders are the paper's, the table "
            "says as far as it is known."),
            f"Scatter of {len(matches)} published and reproduced mean F1; the figures are in the table.")


def draw_all(evidence, grids, matches):
    """Every figure there is something for, by section: dict from section to list of Figure."""
    runs = evidence.runs
    best = [max((runs[n] for n in grid.cells[cell]), key=lambda run: run.closed.mean) for grid in grids
            for cell in [max((c for c in grid.cells if c[1] == grid.shots[-1]),
                             key=lambda c: place_of(grid.cells[c], runs).mean)]]
    sections = {"shots": [f1_by_shots(grid, runs) for grid in grids], "gain": [gain_by_class(g, runs) for g in grids],
                "confusion": [confusion_of(run) for run in best], "tasks": [distribution(g, runs) for g in grids],
                "ablations": ablation_figures(runs), "published": [published_scatter(matches)]}
    return {name: [figure for figure in figures if figure is not None] for name, figures in sections.items()}
