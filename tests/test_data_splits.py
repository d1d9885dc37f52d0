"""Splits: the share asked for, whole groups, the same on every run."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.prepare_data.splits import grouped_split, random_split, stratified_split

LABELS = np.repeat([0, 1, 2], [50, 30, 20])


def test_random_holds_out_the_published_number():
    assert random_split(100_000, 0.2, 0).sum() == 20_000


@given(st.lists(st.integers(2, 60), min_size=1, max_size=6), st.integers(0, 99), st.sampled_from([0.2, 0.3, 0.5]))
def test_stratified_holds_out_the_share_of_each_class(sizes, seed, share):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    if any(not 0 < round(share * size) < size for size in sizes):
        with pytest.raises(UserError, match="leaves one side of the split empty"):
            stratified_split(labels, share, seed)
    else:
        held = stratified_split(labels, share, seed)
        assert np.bincount(labels[held]).tolist() == [round(share * size) for size in sizes]


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_groups_stay_whole_and_classes_are_on_both_sides(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 12, 200)
    labels = np.where(rng.random(200) < 0.7, groups % 3, rng.integers(0, 3, 200))  # classes lean on groups
    held = grouped_split(labels, groups, 0.25, seed)
    assert not set(groups[held]) & set(groups[~held])
    assert set(labels[held]) == set(labels[~held]) == set(labels)


def test_grouped_is_as_good_as_the_best_of_all_choices():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(10), rng.integers(5, 40, 10))
    labels = rng.integers(0, 2, groups.size)
    totals = np.bincount(labels)

    def cost(held):
        return np.square(np.bincount(labels[held], minlength=2) / totals - 0.2).sum()
    every = [cost(np.isin(groups, [g for g in range(10) if bits >> g & 1])) for bits in range(1, 1023)]
    assert cost(grouped_split(labels, groups, 0.2, 0)) <= np.quantile(every, 0.01)


def test_many_small_groups_meet_the_share_closely():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 9, 20_000)
    held = grouped_split(labels, labels * 10_000 + rng.integers(0, 200, labels.size), 0.2, 0)
    assert np.abs([held[labels == label].mean() - 0.2 for label in range(9)]).max() < 0.01


@pytest.mark.parametrize("split", [lambda seed: random_split(100, 0.2, seed),
                                   lambda seed: stratified_split(LABELS, 0.2, seed),
                                   lambda seed: grouped_split(LABELS, np.arange(100) % 25, 0.2, seed)])
def test_a_split_is_that_of_its_seed(split):
    assert (split(3) == split(3)).all()
    assert (split(3) != split(4)).any()


def test_a_class_in_one_group_is_named():
    with pytest.raises(UserError, match="class 'MUC': all its images are in one group"):
        grouped_split([0, 0, 1, 1], [0, 1, 2, 2], 0.5, 0, names=["ADI", "MUC"])


@pytest.mark.parametrize("share", [0, 1, -0.2, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match="between 0 and 1"):
        random_split(10, share, 0)
