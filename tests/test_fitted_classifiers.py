"""What a fitted classifier is worth and how sure it is: leave-one-group-out estimates, intervals, conformal sets."""

import numpy as np
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestCentroid

from fewshot_wsi.foundation.errors import InputError
from lowshot import evaluate, sample_tasks
from lowshot.classifiers import _REGISTRY, Classifier, shown
from lowshot.conformal import fewest, hold_out, nonconformity, rank, threshold
from lowshot.fitting import fit
from lowshot.intervals import score_interval
from lowshot.leave_out import folds_of, leave_groups_out, too_few_groups


def draw(rng, count, spread=1.2, ways=3, dim=6):
    """(features (count·ways, dim), labels) of classes with means on the axes."""
    labels = np.repeat(np.arange(ways), count)
    return (np.eye(dim)[labels] * 2 + spread * rng.normal(size=(len(labels), dim))).astype(np.float32), labels


def ridge_on(x, y):
    return lambda rows, fold: fit("Ridge", x[rows], y[rows])


def test_leave_one_out_is_scikit_learns_with_one_tile_of_each_class_left_out():
    x, y = draw(np.random.default_rng(0), 6)
    folds = folds_of(y, np.arange(18))
    assert all(sorted(y[folds == fold]) == [0, 1, 2] for fold in range(6))
    predicted = np.empty(18, dtype=int)
    for fold in range(6):
        model = RidgeClassifier().fit(x[folds != fold], y[folds != fold])
        predicted[folds == fold] = model.predict(x[folds == fold])
    found = leave_groups_out(ridge_on(x, y), x, y, np.arange(18))
    assert found.macro == pytest.approx(f1_score(y, predicted, average="macro")) and found.folds == 6


@pytest.mark.parametrize("count, per_group", [(6, 1), (6, 3), (80, 1), (160, 2)])
def test_no_group_is_split_and_no_class_is_lost_in_any_fold(count, per_group):
    y = np.repeat([0, 1], count)
    groups = np.arange(2 * count) // per_group
    folds = folds_of(y, groups)
    assert all(np.unique(folds[groups == group]).size == 1 for group in np.unique(groups))
    assert folds.max() < 50 and all({0, 1} <= set(y[folds != fold]) for fold in np.unique(folds))
    mixed = np.array([0, 0, 1, 1])  # every group holds both classes
    assert set(folds_of(np.array([0, 1, 0, 1]), mixed)) == {0, 1}


def test_a_class_of_one_group_has_no_estimate():
    assert too_few_groups(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])) == 0
    assert too_few_groups(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3])) is None


def test_labels_that_mean_nothing_are_estimated_at_chance():
    """Leaving out one tile of one class alone would give about 0."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, y = (0.01 * rng.normal(size=(12, 6)) + 1).astype(np.float32), np.repeat(np.arange(3), 4)
        found.append(leave_groups_out(ridge_on(x, y), x, y, np.arange(12)).macro)
    assert 0.2 < np.mean(found) < 0.4


@pytest.mark.parametrize("count, spread", [(5, 1.2), (5, 0.3), (15, 1.2)])
def test_the_interval_holds_the_truth(count, spread):
    """Truth: mean macro F1, on many queries, of classifiers of as many supports."""
    query, truth = draw(np.random.default_rng(99), 300, spread)
    real = np.mean([f1_score(truth, fit("Ridge", *draw(np.random.default_rng(1000 + i), count, spread))(query)[0],
                             average="macro") for i in range(40)])
    held = 0
    for seed in range(100):
        x, y = draw(np.random.default_rng(seed), count, spread)
        found = leave_groups_out(ridge_on(x, y), x, y, np.arange(len(y)))
        held += found.low <= real <= found.high
    assert held >= 89  # of 100; fewer come by chance in one of 100 tries where 95 are held on average


def test_wilsons_interval_is_scipys_where_the_variance_is_that_of_single_tiles():
    """With Student's t as the normal quantile: many units."""
    for hits, n in ((9000, 10000), (10000, 10000), (1, 10000)):
        share = hits / n
        expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
        found = score_interval(share, share * (1 - share) / n, n)
        assert found == pytest.approx((expected.low, expected.high), abs=2e-6)
    low, high = score_interval(1.0, 0.0, 12)
    assert high == 1 and 0.65 < low < 0.85  # never a certainty from twelve tiles
    assert score_interval(0.5, 0.0, 1) == (0, 1)


def test_nonconformity_is_the_largest_other_output_less_the_own():
    outputs = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [1.0, 1.0, 1.0]])
    expected = [[max(np.delete(row, way)) - row[way] for way in range(3)] for row in outputs]
    np.testing.assert_allclose(nonconformity(outputs), expected)


@pytest.mark.parametrize("coverage, n", [(0.9, 9), (0.95, 19), (0.8, 4), (0.5, 1), (0.99, 99)])
def test_the_fewest_held_out_supports_are_those_of_the_rule(coverage, n):
    assert fewest(coverage) == n == round(1 / (1 - coverage) - 1)
    assert threshold(np.arange(n)[::-1], coverage) == rank(n, coverage) - 1 == n - 1
    if n > 1:
        with pytest.raises(InputError, match=f"{n - 1} held-out supports are too few .* needs {n}"):
            threshold(np.arange(n - 1), coverage)


@pytest.mark.parametrize("slides", [False, True], ids=["tiles", "slides of 4 tiles"])
def test_sets_hold_the_class_as_often_as_asked_for(slides):
    """New data sets, each with new queries; tiles of a slide look alike, and queries are of new slides."""
    inside = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x, y = draw(rng, 8 if not slides else 32)
        groups = np.arange(len(y)) // (4 if slides else 1)
        if slides:
            x += np.repeat(rng.normal(size=(len(y) // 4, 6)), 4, axis=0)
        rows, held = hold_out(y, groups, seed)
        assert not set(groups[rows]) & set(groups[held]) and np.unique(groups[held]).size == len(held) == 12
        fitted = fit("Ridge", x[rows], y[rows])
        limit = threshold(nonconformity(fitted(x[held])[1])[np.arange(len(held)), y[held]], 0.8)
        query, truth = draw(rng, 20)
        if slides:
            query += rng.normal(size=query.shape)
        inside.append((nonconformity(fitted(query)[1])[np.arange(60), truth] <= limit).mean())
    assert 0.8 - 0.02 < np.mean(inside) < 0.8 + 1 / 13 + 0.02


class MajorityOfQueries(ClassifierMixin, BaseEstimator):
    """Gives all queries the class that nearest centroids find most often among them."""

    def fit(self, X, y):
        self.nearest_, self.classes_ = NearestCentroid().fit(X, y), np.unique(y)
        return self

    def predict(self, X):
        found = self.nearest_.predict(X)
        return np.full(len(X), np.bincount(found).argmax())


def test_a_transductive_classifier_sees_all_queries_of_a_task_is_named_so_and_is_not_kept(monkeypatch):
    own = Classifier("majority", MajorityOfQueries(), label="Majority", transductive=True)
    x, y = draw(np.random.default_rng(0), 60)
    tasks = sample_tasks(y, shots=3, queries=4, num_tasks=5)
    found = evaluate(own, x, y, tasks).predictions
    for task in range(5):
        alone = MajorityOfQueries().fit(x[tasks.support[task]], tasks.support_labels).predict(x[tasks.query[task]])
        assert found[task].tolist() == alone.tolist()
    monkeypatch.setitem(_REGISTRY._entries, "majority", own)
    assert shown("majority") == ("Majority, transductive", "Majority, transductive")
    with pytest.raises(ValueError, match="majority is transductive"):
        fit("majority", x[:9], np.arange(9) % 3)
