"""The paper's figures: the data file against the reference, and which runs match which table."""
import json
import math

import numpy as np
import pytest

from fewshot_wsi.report.published import (
    Match,
    match_published,
    published,
    setting_key,
    summarise,
    tables_by_setting,
    tables_of,
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
    for shift, inside in ((0.98 * half, True), (1.02 * half, False)):
        found, = match_published(CONFIG, _statistics([f + shift for f in table["class_f1"]]))
        mean = sum(table["class_f1"]) / 5 - table["mean_f1"]  # rounding of the published mean
        assert found.half == pytest.approx(half) and found.difference == pytest.approx(shift + mean)
        assert found.agrees == inside
    single, = match_published(CONFIG, _statistics(table["class_f1"], None, None))
    assert single.half is None and not single.agrees


def test_interval_of_the_difference_covers_two_evaluations_of_the_same_method():
    """Two independent sets of tasks, classes that are hard and easy alone: 95 % of differences lie inside."""
    rng, wide, inside = np.random.default_rng(0), [], []
    for _ in range(400):
        ours, theirs = (rng.normal(0.6, 0.1, (100, 5)) for _ in range(2))
        (half, macro), (their_half, _) = ([100 * np.mean(t_interval(scores)[1]) for scores in (f1, f1.mean(1))]
                                          for f1 in (ours, theirs))
        table = {"mean_f1": 100 * theirs.mean(), "mean_ci95": their_half}
        match = Match(table, None, 100 * ours.mean(), half, macro, None)
        inside.append(match.agrees)
        wide.append(math.hypot(half, their_half) / match.half)
    assert 0.92 <= np.mean(inside) <= 0.98
    assert np.mean(wide) == pytest.approx(math.sqrt(5), rel=0.05)  # what class half-widths would make of it


def test_sets_of_another_size_are_said_to_be_other_data():
    sizes = {True: [{"support": 25000, "query": 25000}], None: [{}, None, {"support": 25000}, {"query": 25000}],
             False: [{"support": 2423, "query": 2423}, {"query": 2423}, {"support": 25000, "query": 1}]}
    for said, every in sizes.items():
        assert {match_published(CONFIG, _statistics([50] * 5), rows)[0].same_size for rows in every} == {said}


def test_summary_counts_a_table_once_and_agrees_only_where_all_its_runs_do():
    table = _table(task="mixture", model="fsp", shots=1, mode="linear", classifier="Ridge")
    right = match_published(CONFIG, _statistics(table["class_f1"]))
    wrong = match_published(CONFIG, _statistics([0.0] * 5))
    assert (summarise(right)["matched"], summarise(right)["agree"]) == (1, 1)
    assert (summarise(right + wrong)["matched"], summarise(right + wrong)["agree"]) == (1, 0)
    assert summarise([]) == {"published": 349, "matched": 0, "agree": 0, "matched_on_sets_of_the_published_size": 0,
                             "agree_on_sets_of_the_published_size": 0}
