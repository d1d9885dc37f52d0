"""The paper's figures: the data file against the reference, and which runs match which table."""
import json
import math

import numpy as np
import pytest
from scipy import stats

from fewshot_wsi.report.published import (
    DIFFERENT,
    EQUIVALENT,
    MARGIN,
    OPEN,
    PublishedMatch,
    match_published,
    published,
    setting_key,
    summarise,
    tables_by_setting,
    tables_of,
    verdict_of,
)
from lowshot.statistics import t_interval

CONFIG = {"task": "mixture", "model": "fsp", "novel_class": None, "num_shots": 1, "mode": "linear", "clf": "Ridge",
          "num_prototypes": 16, "num_aug_shots": 100, "aug_times": 0, "sampling": "published"}


def _statistics(class_f1, half=1.0, macro=0.5):
    """The part of a run's statistics that matters here. class_f1 and half-widths in percent."""
    return {"class_f1": [{"mean": f / 100} for f in class_f1],
            "macro_f1": {"mean": sum(class_f1) / len(class_f1) / 100, "ci95": None if macro is None else macro / 100},
            "published_last_line": {"mean_of_class_half_widths": None if half is None else half / 100}}


def _table(**wanted):
    return next(t for t in published()["tables"] if all(t[key] == value for key, value in wanted.items()))


def test_every_published_figure_is_carried_with_its_source(reference):
    expected = json.loads((reference / "published_results.json").read_text())
    assert published()["tables"] == expected and len(expected) == 349
    assert "ICLR 2022" in published()["source"]


def test_every_table_can_be_found_by_its_setting_and_one_stands_twice():
    assert sum(len(tables) for tables in tables_by_setting().values()) == 349
    twice = [key for key, tables in tables_by_setting().items() if len(tables) > 1]
    assert twice == [("NCT_78_aug", "clp", "78", 5, "latent_aug", "Ridge", 16, 100)]


def test_near_runs_match_by_novel_class_whether_number_or_text():
    a = setting_key("near", "clp_wo_7", 7, 5, "linear", "Ridge", 16, 100)
    assert a == setting_key("near", "clp_wo_7", "7", 5, "linear", "Ridge", 4, 1)  # no augmentation: K says nothing
    assert a != setting_key("near", "clp_wo_6", "6", 5, "linear", "Ridge", 16, 100)


def test_other_numbers_of_classes_draws_views_or_sampling_are_not_matched():
    assert len(tables_of(CONFIG, 5)) == 1
    assert tables_of(CONFIG, 3) == []
    assert tables_of({**CONFIG, "aug_times": 4}, 5) == []
    assert tables_of({**CONFIG, "mode": "latent_aug", "num_aug_shots": 50}, 5) == []
    assert tables_of({**CONFIG, "sampling": "disjoint"}, 5) == []


def test_agreement_is_the_interval_of_the_difference_of_two_macro_f1():
    table = _table(task="mixture", model="fsp", shots=1, mode="linear", classifier="Ridge")
    half = math.hypot(0.5, 0.5 * table["mean_ci95"])  # the run's macro half-width is half of its class half-widths
    for shift in (0.0, 0.5 * half, 3 * half):
        found, = match_published(CONFIG, _statistics([f + shift for f in table["class_f1"]]))
        mean = sum(table["class_f1"]) / 5 - table["mean_f1"]  # rounding of the published mean
        assert found.half == pytest.approx(half) and found.difference == pytest.approx(shift + mean)
    assert found.verdict == DIFFERENT
    single, = match_published(CONFIG, _statistics(table["class_f1"], None, None))
    assert single.half is None and single.verdict == OPEN


@pytest.mark.parametrize("difference, half, verdict", [
    (0.0, 1.0, EQUIVALENT), (1.1, 1.0, EQUIVALENT), (1.5, 0.5, EQUIVALENT),  # shown to differ, but by little
    (1.2, 1.0, DIFFERENT), (0.0, 2.5, OPEN), (2.0, 2.5, OPEN), (2.6, 2.5, DIFFERENT), (2.5, 0.1, DIFFERENT)])
def test_two_one_sided_tests_against_a_margin_of_two_points(difference, half, verdict):
    for sign in (1, -1):
        assert verdict_of(sign * difference, half) == verdict
    # the same by two t tests with many degrees of freedom
    error = half / 1.96
    p = max(stats.norm.sf((MARGIN + difference) / error), stats.norm.sf((MARGIN - difference) / error))
    assert (p <= 0.05) == (verdict == EQUIVALENT)


def test_two_figures_that_lie_apart_by_the_margin_are_rarely_called_equivalent():
    """Size of the test: at most 5 % where the truth lies on the margin."""
    rng = np.random.default_rng(0)
    found = rng.normal(MARGIN, 0.8, 20000)
    half = 1.96 * 0.8
    share = np.mean([verdict_of(one, half) == EQUIVALENT for one in found])
    assert 0.04 < share <= 0.055


@pytest.mark.parametrize("model, novel, tables", [("fsp_wo_4", "4", 1), ("fsp", "4", 0), ("fsp_wo_7", "4", 0)])
def test_a_model_that_saw_the_novel_class_matches_no_published_table(model, novel, tables):
    assert len(tables_of({**CONFIG, "task": "near", "model": model, "novel_class": novel}, 9)) == tables


def test_interval_of_the_difference_covers_two_evaluations_of_the_same_method():
    """Two independent sets of tasks, classes that are hard and easy alone: 95 % of differences lie inside."""
    rng, wide, inside = np.random.default_rng(0), [], []
    for _ in range(400):
        ours, theirs = (rng.normal(0.6, 0.1, (100, 5)) for _ in range(2))
        (half, macro), (their_half, _) = ([100 * np.mean(t_interval(scores)[1]) for scores in (f1, f1.mean(1))]
                                          for f1 in (ours, theirs))
        table = {"mean_f1": 100 * theirs.mean(), "mean_ci95": their_half}
        match = PublishedMatch(table, None, 100 * ours.mean(), half, macro, None)
        inside.append(abs(match.difference) <= match.half)
        wide.append(math.hypot(half, their_half) / match.half)
    assert 0.92 <= np.mean(inside) <= 0.98
    assert np.mean(wide) == pytest.approx(math.sqrt(5), rel=0.05)  # what class half-widths would make of it


def test_sets_of_another_size_are_said_to_be_other_data():
    sizes = {True: [{"support": 25000, "query": 25000}], None: [{}, None, {"support": 25000}, {"query": 25000}],
             False: [{"support": 2423, "query": 2423}, {"query": 2423}, {"support": 25000, "query": 1}]}
    for said, every in sizes.items():
        assert {match_published(CONFIG, _statistics([50] * 5), rows)[0].same_size for rows in every} == {said}


def test_summary_counts_a_table_once_by_the_worst_of_its_runs_and_only_on_sets_of_the_published_size():
    table = _table(task="mixture", model="fsp", shots=1, mode="linear", classifier="Ridge")
    size = {"support": 25000, "query": 25000}
    right = match_published(CONFIG, _statistics(table["class_f1"]), size)
    wrong = match_published(CONFIG, _statistics([0.0] * 5), size)
    small = match_published(CONFIG, _statistics(table["class_f1"]), {"support": 100, "query": 100})
    counts = [(s["matched"], s["comparable"], s["equivalent"], s["different"]) for s in map(
        summarise, (right, right + wrong, small, []))]
    assert counts == [(1, 1, 1, 0), (1, 1, 0, 1), (1, 0, 0, 0), (0, 0, 0, 0)]


def test_agreement_by_chance_counts_the_other_tables_of_the_task():
    table = _table(task="mixture", model="fsp", shots=1, mode="linear", classifier="Ridge")
    found, = match_published(CONFIG, _statistics(table["class_f1"]), {"support": 25000, "query": 25000})
    others = [t for t in published()["tables"] if t["task"] == "mixture" and t is not table]
    near = sum(abs(found.f1 - t["mean_f1"]) + found.half * 1.6449 / 1.96 <= MARGIN for t in others) / len(others)
    assert summarise([found])["by_chance"] == pytest.approx(near, abs=0.1)
    assert summarise([])["by_chance"] == 0
