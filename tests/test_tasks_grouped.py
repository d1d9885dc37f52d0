"""The rule 'grouped': over tasks each group is asked as often as its weight says; what tiles do not permit is said."""
import numpy as np
import pytest
from _world import make_world
from scipy import stats

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.inputs import Inputs
from fewshot_wsi.meta_test.settings import RunSettings, TaskPlan
from lowshot import sample_tasks
from lowshot.grouped import NoSplit, Splits, group_table, use_of_groups
from lowshot.tasks import load_tasks, save_tasks

LARGE_SLIDES = [200] * 3 + [33] * 12      # three of 15 slides hold 60 % of the tiles
LARGE_PATIENT = [600, 100, 100, 100, 100]  # one of five patients holds 60 %


def data(sizes, classes, shared):
    """(labels, groups): each group has `size` tiles of every class, or of one class alone."""
    rows = [(label, group) for group, size in enumerate(sizes) for label in range(classes)
            if shared or group % classes == label for _ in range(size)]
    return np.array(rows).T


def shares(tasks, groups, label, count):
    """(T, G): the share of each group in the queries of a class, task by task."""
    asked = groups[tasks.query[:, tasks.query_labels == label]]
    return np.stack([(asked == group).mean(axis=1) for group in range(count)], axis=1)


def chi_square_p(per_task, target):
    """p of Pearson's test of mean shares against `target`, with the covariance over tasks (Hotelling)."""
    kept = np.flatnonzero(target > 0)[:-1]
    off = (per_task.mean(axis=0) - target)[kept]
    covariance = np.cov(per_task[:, kept].T) / len(per_task)
    return stats.chi2.sf(off @ np.linalg.solve(covariance, off), len(kept))


@pytest.mark.parametrize("sizes", [LARGE_SLIDES, LARGE_PATIENT])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("weight", ["tiles", "equal"])
def test_each_group_is_asked_in_proportion_to_its_weight(sizes, shared, weight):
    sizes = sizes if shared else sizes * 3
    labels, groups = data(sizes, 3, shared)
    tasks = sample_tasks(labels, shots=5, queries=15, num_tasks=1500, groups=groups, rule="grouped",
                         group_weight=weight)
    for label in range(3):
        counts = np.bincount(groups[labels == label], minlength=len(sizes)).astype(float)
        target = counts / counts.sum() if weight == "tiles" else (counts > 0) / (counts > 0).sum()
        assert chi_square_p(shares(tasks, groups, label, len(sizes)), target) > 1e-3
    assert not any(set(groups[a]) & set(groups[b]) for a, b in zip(tasks.support, tasks.query, strict=True))


def test_retries_change_no_share():
    """Splits that leave too few supports are drawn again: here one group of four must always support."""
    labels, groups = data([40, 8, 8, 8, 3], 2, True)
    tasks = sample_tasks(labels, shots=12, queries=6, num_tasks=1500, groups=groups, rule="grouped",
                         group_weight="equal")
    found = shares(tasks, groups, 0, 5).mean(axis=0)
    table = group_table(groups, groups, (labels, np.arange(len(labels))), (labels, np.arange(len(labels))), 2, "equal")
    splits = Splits(table, 12, 6, np.random.default_rng(1))
    # two independent samples of splits: each has the noise of its 1,000 splits
    np.testing.assert_allclose(found, splits.shares[:, 0], atol=0.03)
    assert found.max() < 0.3


def test_what_tiles_do_not_permit_is_said(caplog):
    labels, groups = data([100, 100, 2], 2, True)  # the third may be asked about twice a task at most
    tasks = sample_tasks(labels, shots=2, queries=15, num_tasks=600, groups=groups, rule="grouped",
                         group_weight="equal")
    found = shares(tasks, groups, 0, 3).mean(axis=0)
    assert found[2] <= 2 / 15 and found[:2] == pytest.approx((1 - found[2]) / 2, abs=0.03)
    assert "% of the queries of class '0' fall to other groups than their weights ask for" in caplog.text
    caplog.clear()
    sample_tasks(labels, shots=2, queries=15, num_tasks=20, groups=groups, rule="grouped")
    assert not caplog.text


def test_two_sets_that_share_no_group_are_asked_in_full():
    labels, groups = data(LARGE_PATIENT, 2, True)
    tasks = sample_tasks(labels, shots=3, num_tasks=800, query_y=labels, groups=groups, query_groups=groups + 100,
                         rule="grouped")
    target = np.array(LARGE_PATIENT) / sum(LARGE_PATIENT)
    found = shares(tasks, groups, 1, 5)
    np.testing.assert_allclose(found.mean(axis=0), target, atol=1e-2)
    assert found.std(axis=0).max() < 0.04  # every task asks all of them: nothing had to be split


def test_systematic_sampling_gives_the_expected_number_within_one():
    labels, groups = data(LARGE_PATIENT, 1, True)
    table = group_table(groups, groups, (labels, np.arange(len(labels))), (labels, np.arange(len(labels))), 1)
    splits, rng = Splits(table, 5, 15, np.random.default_rng(0)), np.random.default_rng(1)
    asked = np.array([True, True, False, False, True])
    expected = 15 * np.array([600, 100, 0, 0, 100]) / 800
    for _ in range(50):
        found = np.zeros(5)
        where, counts = splits.counts(rng, asked, 0)
        found[where] = counts
        assert found.sum() == 15 and (np.abs(found - expected) < 1).all()


def test_no_split_is_an_error_that_names_the_hardest_class():
    table = group_table(*[np.array([0, 1, 2, 2])] * 2, *[(np.array([0, 0, 1, 1]), np.arange(4))] * 2, 2)
    with pytest.raises(NoSplit) as raised:
        Splits(table, 1, 1, np.random.default_rng(0))
    assert raised.value.args == (1,)


def test_use_of_groups():
    assert use_of_groups([[0, 0], [1, 2]]) == {"groups": 3, "effective": pytest.approx(1 / 0.375), "largest": 0.5}


def test_task_files_say_how_often_each_group_is_used_and_earlier_versions_are_refused(tmp_path):
    protocol, _ = make_world(tmp_path)
    plan = TaskPlan(protocol, "mix", 2, 60, sampling="grouped")
    tasks, _ = make_tasks(plan)
    use = tasks.meta["group_use"]
    assert sum(support for support, _ in use["tiles"].values()) == tasks.support.size
    assert use["query"]["groups"] == 60 and use["query"]["largest"] < 0.03
    settings = RunSettings(protocol, "mix", "enc", num_shots=2, sampling="grouped")
    assert Inputs().prepare(settings).head["tasks"]["group_use"] == use
    old = load_tasks(plan.path)
    del old.meta["sampling_version"]
    save_tasks(plan.path, old)
    with pytest.raises(UserError, match="sampled by an earlier version of the rule 'grouped'.*generate_task.py"):
        Inputs().prepare(settings)


def test_another_weight_has_files_and_results_of_its_own(tmp_path):
    protocol, path = make_world(tmp_path)
    path.write_text(path.read_text() + "group_weight = 'equal'\n")
    from fewshot_wsi.meta_test.protocol import load_protocol
    equal = load_protocol(path)
    plans = [TaskPlan(one, "mix", 2, 20, sampling="grouped") for one in (protocol, equal)]
    assert [plan.stem for plan in plans] == ["4-way-2-shot_grouped", "4-way-2-shot_grouped_equal"]
    assert make_tasks(plans[0])[0].setting != make_tasks(plans[1])[0].setting == plans[1].setting
    run = RunSettings(equal, "mix", "enc", num_shots=2, sampling="grouped")
    assert run.result_file.stem == "2shot_linear_Ridge_grouped_equal" and run.config["group_weight"] == "equal"
    assert "group_weight" not in RunSettings(equal, "mix", "enc", num_shots=2).config
