"""The first thing that the page shows: F1 against shots, a panel and a sentence for each evaluation."""

from collections import Counter

from fewshot_wsi.report.contrasts import sentences_of
from fewshot_wsi.report.figures import chance_line, first_run, shots_line, without_classifier
from fewshot_wsi.report.selection import place_of, place_of_classifier
from fewshot_wsi.report.style import MARKERS, colours_of, drawing, finish, grid_lines, legend_below
from lowshot.classifiers import shown

LINES = 8  # in a panel: more are not told apart; the table and the figure below it have them all


def first_figures(main, runs):
    """list of `style.Figure`, one for each evaluation with two shots or more; its caption are its sentences.

    main: [(Grid, {shots: Standing})]. All panels have one range of F1 and the same colour for the same encoder.
    """
    main = [(grid, stands) for grid, stands in main if len(grid.shots) > 1]
    chosen = [lines_of(grid, runs) for grid, _ in main]
    families = {first_run(grid, method, runs).family for (grid, _), methods in zip(main, chosen, strict=True)
                for method in methods}
    means = [place_of(numbers, runs).mean for grid, _ in main for numbers in grid.cells.values()]
    highest = 100 * max(means, default=0)
    return [_panel(grid, " ".join(sentences_of(grid, stands, runs)), methods, runs, colours_of(families), highest)
            for (grid, stands), methods in zip(main, chosen, strict=True)]


def lines_of(grid, runs):
    """Methods of the classifier that most methods of `grid` have, the highest LINES of them at the most shots.

    Where several classifiers have as many, the first in the order of `lowshot.classifiers` is taken.
    """
    first = {method: first_run(grid, method, runs) for method in grid.methods}
    count = Counter(run.config["clf"] for run in first.values())
    clf = min(count, key=lambda name: (-count[name], place_of_classifier(name)))
    own = [method for method in grid.methods if first[method].config["clf"] == clf]
    reached = {method: max((shots, place_of(numbers, runs).mean) for (m, shots), numbers in grid.cells.items()
                           if m == method) for method in own}
    highest = sorted(own, key=reached.get, reverse=True)[:LINES]
    return [method for method in own if method in highest]


def _panel(grid, sentences, methods, runs, colours, highest):
    with drawing(4.2, 3.6) as (figure, (ax,)):
        handles = {}
        for place, method in enumerate(methods):
            run = first_run(grid, method, runs)
            handles[without_classifier(method, run)] = shots_line(
                ax, grid, method, run, runs, colours[run.family], MARKERS[place % len(MARKERS)], bands=())
        handles["chance"] = chance_line(ax.axhline, grid, runs)
        ax.set_title(f"{grid.evaluation}, {shown(first_run(grid, methods[0], runs).config['clf'])[0]}")
        ax.set_xscale("log")
        ax.set_xticks(grid.shots, [str(s) for s in grid.shots])
        ax.minorticks_off()
        ax.set_ylim(0, min(100, 1.08 * highest))
        ax.set_xlabel("labelled tiles a class")
        ax.set_ylabel("macro F1 (%)")
        grid_lines(ax)
        legend_below(figure, list(handles.values()), list(handles), columns=3)
        return finish(figure, f"first_{grid.key}", grid.evaluation, sentences,
                      f"Line chart of macro F1 against labelled tiles a class for {grid.evaluation}. {sentences}")
