"""The first screen: a panel and a sentence for each evaluation, lines that end where the main table ends."""
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from benchmarks.report import draw_result
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.report import first
from fewshot_wsi.report.evidence import read_evidence
from fewshot_wsi.report.selection import Standing, grids
from fewshot_wsi.report.writing import write_report

MODELS = ("fsp", "clp", "color_histogram", "random")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    for task, shift in (("mixture", 0.0), ("out", -0.3)):
        for model in MODELS:
            for shots in (1, 5, 10):
                for mode in ("linear", "latent_aug"):
                    draw_result(folder, model=model, num_shots=shots, mode=mode, tasks=20, task=task,
                                skill=0.8 + 0.02 * shots + shift)
    draw_result(folder, model="fsp", num_shots=5, clf="nearest_centroid", tasks=20, task="mixture")
    return folder


def test_every_evaluation_is_a_panel_with_its_sentence_and_no_sentence_stands_twice(results, tmp_path):
    page, content = write_report([results], tmp_path)
    shown = content.figures["first"]
    assert [figure.title for figure in shown] == ["mixture", "out"]
    for figure in shown:
        own = [line for line in content.in_short if line in figure.caption]
        assert " ".join(own) == figure.caption and own[0].startswith(f"{figure.title}, 10-shot: ")
    text = page.read_text()
    for figure in shown:
        head = figure.caption.split(" is highest")[0]
        assert len(re.findall(rf"(?:</strong> |<li>){re.escape(head)}", text)) == 1
    assert text.index('id="figure-first_mixture"') < text.index('id="figure-shots_mixture"')


def test_lines_are_the_means_of_one_classifier(results, monkeypatch):
    evidence = read_evidence([results], Sources())
    grid = grids(evidence.runs)[0]
    axes = []
    monkeypatch.setattr(first, "finish", lambda figure, *words: axes.append(
        [(line.get_xdata(), line.get_ydata()) for line in figure.axes[0].lines]))
    first.first_figures([(grid, {shots: Standing(None, {}) for shots in grid.shots})], evidence.runs)
    plt.close("all")
    wanted = {(run.config["model"], run.config["mode"]): [] for run in evidence.runs if run.config["clf"] == "Ridge"}
    for run in sorted(evidence.runs, key=lambda one: one.shots):
        if run.evaluation == "mixture" and run.config["clf"] == "Ridge":
            wanted[run.config["model"], run.config["mode"]].append(100 * run.closed.mean)
    drawn = sorted(tuple(np.round(y, 9)) for x, y in axes[0][:-1])  # the last is chance
    assert drawn == sorted(tuple(np.round(y, 9)) for y in wanted.values())


def test_no_more_lines_than_are_told_apart(results, monkeypatch):
    evidence = read_evidence([results], Sources())
    grid = grids(evidence.runs)[0]
    monkeypatch.setattr(first, "LINES", 3)
    kept = first.lines_of(grid, evidence.runs)
    top = {run.method: run.closed.mean for run in evidence.runs
           if run.evaluation == "mixture" and run.shots == 10 and run.config["clf"] == "Ridge"}
    assert set(kept) == set(sorted(top, key=top.get)[-3:])
