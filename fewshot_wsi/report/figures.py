"""The figures of the report, each a function from runs to a `style.Figure`, or None where there is nothing to draw."""

import numpy as np

from fewshot_wsi.report.ablations import ABLATED, ablated_value, ablated_words, ablations, linear_of, series_name
from fewshot_wsi.report.contrasts import gains
from fewshot_wsi.report.overview import chance_of
from fewshot_wsi.report.published import DIFFERENT, EQUIVALENT, MARGIN, OPEN
from fewshot_wsi.report.selection import place_of, place_of_classifier
from fewshot_wsi.report.style import COLOURS, FAINT, INK, MARKERS, colours_of, drawing, finish, grid_lines, legend_below
from lowshot.classifiers import shown

SHOWN_METHODS, SHOWN_GAINS, SHOWN_SERIES = 24, 12, 8  # more would not be readable; captions say so
ALPHAS = {"open": 0.10, "closed": 0.28}  # of the bands
BANDS, PANELS = 4, 4  # lines with bands in a panel, panels in a row


def first_run(grid, method, runs):
    return runs[next(numbers[0] for (m, _), numbers in grid.cells.items() if m == method)]


def f1_by_shots(grid, runs):
    """F1 against shots, panels of a few methods of one classifier, bands for both intervals."""
    if len(grid.shots) < 2:
        return None
    first = {m: first_run(grid, m, runs) for m in grid.methods}
    panels = _panels(first)
    colours = colours_of({r.family for r in first.values()})
    markers = method_markers(first)
    handles = {}
    rows, columns = -(-len(panels) // PANELS), min(len(panels), PANELS)
    with drawing(max(3.6, 2.6 * columns), 0.9 + 2.4 * rows, rows, columns, sharey=True) as (figure, axes):
        for ax in axes[len(panels):]:
            ax.set_visible(False)
        for ax, (title, methods) in zip(axes, panels, strict=False):
            for method in methods:
                run, name = first[method], without_classifier(method, first[method])
                handles.setdefault(name, shots_line(ax, grid, method, run, runs, colours[run.family], markers[name]))
            handles.setdefault("chance", chance_line(ax.axhline, grid, runs))
            ax.set_title(title)
            ax.set_xscale("log")
            ax.set_xticks(grid.shots, [str(s) for s in grid.shots])
            ax.minorticks_off()
            ax.set_xlabel("shots")
            grid_lines(ax)
        for ax in axes[::columns]:
            ax.set_ylabel("macro F1 (%)")
        legend_below(figure, list(handles.values()), list(handles))
        return finish(figure, f"shots_{grid.key}", f"{grid.evaluation}: F1 against shots", (
            "Macro F1 by number of support tiles a class. Dark band: closed 95 % interval (further tasks from these "
            f"images); light band: open 95 % interval (new {first[grid.methods[0]].unit}s). Dotted: chance."),
            f"Line chart of macro F1 against shots for {grid.evaluation}; the figures are in the main table.")


def _panels(first):
    """[(title, methods)]: the methods of a classifier, BANDS at a time; encoders stay together as far as they can."""
    panels = []
    for clf in sorted({run.config["clf"] for run in first.values()}, key=place_of_classifier):
        own = [method for method, run in first.items() if run.config["clf"] == clf]
        parts = [own[at:at + BANDS] for at in range(0, len(own), BANDS)]
        panels += [(shown(clf)[0] + (f" ({number})" if len(parts) > 1 else ""), part)
                   for number, part in enumerate(parts, 1)]
    return panels


def chance_line(line, grid, runs):
    """What guessing reaches, drawn by `line` (axhline or axvline), averaged over the runs of a grid."""
    chance = np.mean([chance_of(runs[n]) for numbers in grid.cells.values() for n in numbers])
    return line(100 * chance, color=FAINT, linestyle=":", linewidth=1.2)


def without_classifier(method, run):
    return method.replace(f" · {shown(run.config['clf'])[1]}", "", 1)


def method_markers(first):
    """Marker of each method without its classifier: those of one encoder and mode differ, in the order they come."""
    seen, markers = {}, {}
    for method, run in first.items():
        name = without_classifier(method, run)
        if name not in markers:
            place = seen[key] = seen.get(key := (run.family, run.config["mode"]), -1) + 1
            markers[name] = MARKERS[place % len(MARKERS)]
    return markers


def shots_line(ax, grid, method, run, runs, colour, marker, bands=("open", "closed")):
    """Draw F1 of a method against shots into `ax`, with `bands` of its intervals; returns the line, for a legend."""
    shots = [s for s in grid.shots if (method, s) in grid.cells]
    places = [place_of(grid.cells[method, s], runs) for s in shots]
    mean = np.array([100 * p.mean for p in places])
    latent = run.config["mode"] != "linear"
    for band in bands:
        halves = [getattr(place, band) for place in places]
        if None not in halves:
            half = 100 * np.array(halves)
            ax.fill_between(shots, mean - half, mean + half, color=colour, alpha=ALPHAS[band], linewidth=0)
    return ax.plot(shots, mean, color=colour, linestyle="-" if latent else "--", marker=marker,
                   markerfacecolor=colour if latent else "white")[0]


def _first_of(limit, count, what):
    """Words of a caption where not everything is shown."""
    return f" The first {limit} of {count} {what}." if count > limit else ""


def gain_by_class(grid, runs):
    """Gain of latent augmentation, class by class."""
    every = gains(grid, runs)
    if not every:
        return None
    classes = every[0][0]
    lists = len({g[0] for g in every})
    every = [g for g in every if g[0] == classes]
    shots = sorted({g[2] for g in every})
    known = list(dict.fromkeys(g[1] for g in every))
    methods = known[:SHOWN_GAINS]
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
                    mean, np.arange(len(classes)) + offsets[place], xerr=half, marker=MARKERS[place % len(MARKERS)],
                    markersize=3.5, color=COLOURS[place % len(COLOURS)], elinewidth=0.9, linestyle="none")
            ax.set_title(f"{count}-shot")
            ax.set_xlabel("points of F1")
            ax.set_yticks(range(len(classes)), classes)
            grid_lines(ax, "x")
        axes[0].invert_yaxis()
        legend_below(figure, list(handles.values()), list(handles))
        return finish(figure, f"gain_{grid.key}", f"{grid.evaluation}: gain of latent augmentation", (
            "F1 with latent augmentation minus F1 without, paired on the same tasks; bars are closed 95 % intervals "
            "(further tasks from these images). Right of the line: augmentation helps."
            + _first_of(SHOWN_GAINS, len(known), "methods") + _first_of(1, lists, "lists of classes")),
            f"Dot chart of the gain of latent augmentation for each class of {grid.evaluation}; the figures are in "
            "the table of gains.")


def distribution(grid, runs):
    """Spread of macro F1 over tasks: quantiles of every method at every number of shots."""
    methods = grid.methods[:SHOWN_METHODS]
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
            chance_line(ax.axvline, grid, runs)
            ax.set_title(f"{shots}-shot")
            ax.set_xlabel("macro F1 of a task (%)")
            ax.set_yticks(range(len(methods)), methods, fontsize=8)
            grid_lines(ax, "x")
        axes[0].invert_yaxis()
        return finish(figure, f"tasks_{grid.key}", f"{grid.evaluation}: spread over tasks", (
            "Line: 5 to 95 % of tasks; bar: the middle half; tick: median; dotted: chance. One task is what one user "
            "with one set of support tiles would meet." + _first_of(SHOWN_METHODS, len(grid.methods), "methods")),
            f"Quantiles of macro F1 over tasks for {grid.evaluation}; the figures are in the table of every run.")


def confusion_of(grid, run):
    """Confusion matrix of one run of an evaluation, rows add to 100 %."""
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
        return finish(figure, f"confusion_{grid.key}", f"Confusion: {run.label}",
                      "Percent of the queries of a true class (row) that were given each label, over all tasks.",
                      f"Confusion matrix of {run.label}; its figures can be chosen in the table below.")


def _shares(run):
    counts = np.asarray(run.statistics["confusion"], dtype=float)
    return 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def ablation_figures(runs):
    """A figure for each number that was varied, a line for each series."""
    figures, every = [], ablations(runs)
    for keys, axis, title in ABLATED:
        known = [found for varied, _, found in every if varied == keys]
        series = known[:SHOWN_SERIES]
        if not series:
            continue
        with drawing(5.2, 3.2) as (figure, axes):
            for place, found in enumerate(series):
                _ablation_line(axes[0], keys, found, runs, COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)])
            axes[0].set_xscale("log")
            ticks = {value: ablated_words(run, keys) for found in series for run in found
                     if (value := ablated_value(run, keys))}
            axes[0].set_xticks(list(ticks), list(ticks.values()), fontsize=8, rotation=90 if len(keys) > 1 else 0)
            axes[0].minorticks_off()
            axes[0].set_xlabel(axis)
            axes[0].set_ylabel("macro F1 (%)")
            grid_lines(axes[0])
            legend_below(figure, *axes[0].get_legend_handles_labels(), columns=1)
            figures.append(finish(figure, f"ablation_{'_'.join(keys)}", f"Ablation: {title.lower()}", (
                f"Macro F1 where {'this number alone is' if len(keys) == 1 else 'both numbers are'} varied; bars are "
                "closed 95 % intervals (further tasks from these images), the dotted line is the same classifier "
                "without augmentation."
                + _first_of(SHOWN_SERIES, len(known), "series")),
                f"Line chart of macro F1 against {axis}; the figures are in the table of ablations."))
    return figures


def _ablation_line(ax, keys, found, runs, colour, marker):
    found = [run for run in found if ablated_value(run, keys)]  # none has no place on a logarithmic axis
    values = [ablated_value(run, keys) for run in found]
    mean = [100 * run.closed.mean for run in found]
    half = [100 * (run.closed.half or 0) for run in found]
    ax.errorbar(values, mean, yerr=half, color=colour, marker=marker, elinewidth=0.9, capsize=2,
                label=series_name(found[0], keys))
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
        ax.fill_between(ends, [v - MARGIN for v in ends], [v + MARGIN for v in ends], color=FAINT, alpha=0.25, lw=0)
        for family, colour in colours.items():
            for verdict, marker in ((EQUIVALENT, "o"), (OPEN, "|"), (DIFFERENT, "x")):
                chosen = [m for m in matches if m.run.family == family and m.verdict == verdict]
                if chosen:
                    ax.errorbar([m.table["mean_f1"] for m in chosen], [m.f1 for m in chosen],
                                yerr=[m.half or 0 for m in chosen], fmt=marker, color=colour, elinewidth=0.6,
                                markersize=4, label=f"{family.upper()}, {verdict}")
        ax.set_xlim(ends)
        ax.set_ylim(ends)
        ax.set_aspect("equal")
        ax.set_xlabel("published mean F1 (%)")
        ax.set_ylabel("mean F1 here (%)")
        grid_lines(ax, "both")
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=1, fontsize=8)
        return finish(figure, "published", "Published against reproduced", (
            f"Each mark is a published table that was run here; the band is ± {MARGIN:g} points around equality. Bars: "
            "95 % interval of the difference, from which the mark follows (the table says how). Names of settings "
            "match; whether data and encoders are the paper's, the table says as far as it is known."),
            f"Scatter of {len(matches)} published and reproduced mean F1; the figures are in the table.")


def draw_all(runs, grids, best, matches):
    """Every figure there is something for, by section: dict from section to list of Figure.

    best: the run of each grid whose confusion is shown, or None.
    """
    sections = {"shots": [f1_by_shots(grid, runs) for grid in grids], "gain": [gain_by_class(g, runs) for g in grids],
                "confusion": [confusion_of(grid, run) for grid, run in zip(grids, best, strict=True) if run],
                "tasks": [distribution(g, runs) for g in grids],
                "ablations": ablation_figures(runs), "published": [published_scatter(matches)]}
    return {name: [figure for figure in figures if figure is not None] for name, figures in sections.items()}
