"""The paper's figures: the data file against the reference, and which runs match which table."""
import json
import math

import pytest

from lowshot.published import match_published, published, setting_key, summarise, tables_by_setting, tables_of

CONFIG = {"task": "mixture", "model": "fsp", "novel_class": None, "num_shots": 1, "mode": "linear", "clf": "Ridge",
          "num_prototypes": 16, "num_aug_shots": 100, "aug_times": 0}


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


def test_other_numbers_of_classes_draws_or_views_are_not_matched():
    assert len(tables_of(CONFIG, 5)) == 1
    assert tables_of(CONFIG, 3) == []
    assert tables_of({**CONFIG, "aug_times": 4}, 5) == []
    assert tables_of({**CONFIG, "mode": "latent_aug", "num_aug_shots": 50}, 5) == []


def test_agreement_is_the_joint_interval_of_two_independent_sets():
    table = _table(task="mixture", model="fsp", shots=1, mode="linear", classifier="Ridge")
    half = 0.01
    joint = math.hypot(1.0, table["mean_ci95"])
    for shift, inside in ((0.99 * joint, True), (1.01 * joint, False)):
        class_f1 = [(f + shift) / 100 for f in table["class_f1"]]
        found, = match_published(CONFIG, class_f1, [half] * 5)
        mean = sum(table["class_f1"]) / 5 - table["mean_f1"]  # rounding of the published mean
        assert found.joint == pytest.approx(joint) and found.difference == pytest.approx(shift + mean)
        assert found.agrees == inside


def test_sets_of_another_size_are_said_to_be_other_data():
    figures = [0.5] * 5, [0.01] * 5
    sizes = ({"support": 25000, "query": 25000}, {"support": 2423, "query": 2423}, {}, {"support": 25000})
    assert [match_published(CONFIG, *figures, rows)[0].same_size for rows in sizes] == [True, False, None, True]


def test_summary_counts_a_table_once_and_agrees_only_where_all_its_runs_do():
    table = _table(task="mixture", model="fsp", shots=1, mode="linear", classifier="Ridge")
    right = match_published(CONFIG, [f / 100 for f in table["class_f1"]], [0.01] * 5)
    wrong = match_published(CONFIG, [0.0] * 5, [0.01] * 5)
    assert (summarise(right)["matched"], summarise(right)["agree"]) == (1, 1)
    assert (summarise(right + wrong)["matched"], summarise(right + wrong)["agree"]) == (1, 0)
    assert summarise([]) == {"published": 349, "matched": 0, "agree": 0, "matched_on_sets_of_the_published_size": 0,
                             "agree_on_sets_of_the_published_size": 0}
