import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from lowshot import statistics as s


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_f1_equals_scikit_learn_with_absent_classes(classes, tasks, queries, seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, classes, (2, tasks, queries))
    want = [metrics.f1_score(t, p, average=None, labels=range(classes), zero_division=0)
            for t, p in zip(truth, predicted, strict=True)]
    np.testing.assert_array_equal(s.f1_scores(truth, predicted, classes), want)


def test_one_truth_serves_all_tasks():
    rng = np.random.default_rng(0)
    truth, predicted = np.repeat([0, 1, 2], 5), rng.integers(0, 3, (7, 15))
    np.testing.assert_array_equal(s.f1_scores(truth, predicted, 3), s.f1_scores(np.tile(truth, (7, 1)), predicted, 3))


def test_labels_outside_the_classes_are_refused():
    with pytest.raises(ValueError, match="predictions outside the classes 0 … 2"):
        s.confusion([0, 1], [[0, 3]], 3)


def test_balanced_accuracy_equals_scikit_learn():
    rng = np.random.default_rng(1)
    truth, predicted = rng.integers(0, 4, (2, 20, 15))
    want = [metrics.balanced_accuracy_score(t, p) for t, p in zip(truth, predicted, strict=True)
            if set(p) <= set(t)]
    got = [value for value, t, p in zip(s.balanced_accuracy(s.confusion(truth, predicted, 4)), truth, predicted,
                                        strict=True) if set(p) <= set(t)]
    np.testing.assert_allclose(got, want)


def test_interval_equals_scipy():
    scores = np.random.default_rng(2).random((40, 3))
    mean, half = s.t_interval(scores)
    low, high = stats.t.interval(0.95, 39, loc=scores.mean(0), scale=stats.sem(scores))
    np.testing.assert_allclose([mean - half, mean + half], [low, high])


def test_a_single_task_has_no_interval():
    assert np.isnan(s.t_interval(np.ones((1, 2)))[1]).all()
    f1, facts = s.run_statistics(np.array([[0, 1]]), np.array([0, 1]), 2, {}, np.zeros((1, 2)), np.zeros((1, 2)))
    assert facts["macro_f1"]["ci95"] is None and facts["published_last_line"]["mean_of_class_half_widths"] is None


def test_published_last_line_averages_the_half_widths_of_classes():
    f1 = np.random.default_rng(3).random((30, 4))
    half = stats.t.ppf(0.975, 29) * f1.std(0, ddof=1) / np.sqrt(30)
    block = s.published_block(f1)
    np.testing.assert_allclose(block[:-1], np.column_stack([f1.mean(0), half]))
    np.testing.assert_allclose(block[-1], [f1.mean(), half.mean()])


@given(st.lists(st.lists(st.just(0.0) | st.floats(1e-9, 1), min_size=2, max_size=2), min_size=1, max_size=6))
def test_harmonic_mean_of_two_is_2ab_over_a_plus_b(pairs):
    want = [2 * a * b / (a + b) if a and b else 0 for a, b in pairs]
    np.testing.assert_allclose(s.harmonic_mean(pairs), want, atol=1e-12)


def test_groups_are_taken_per_task_and_then_averaged():
    rng = np.random.default_rng(4)
    truth, predicted = np.repeat(np.arange(5), 3), rng.integers(0, 5, (25, 15))
    f1, facts = s.run_statistics(predicted, truth, 5, {"colon": [0, 1], "lung": [2, 3, 4]}, predicted, predicted)
    colon, lung = f1[:, :2].mean(1), f1[:, 2:].mean(1)
    per_task = [2 * a * b / (a + b) if a * b else 0 for a, b in zip(colon, lung, strict=True)]
    assert facts["groups"]["colon"]["mean"] == pytest.approx(colon.mean())
    assert facts["groups"]["harmonic_mean"]["mean"] == pytest.approx(np.mean(per_task))
    assert facts["accuracy"]["mean"] == pytest.approx((truth == predicted).mean())
    assert facts["macro_f1"]["quantiles"]["50"] == pytest.approx(np.median(f1.mean(1)))
    assert np.sum(facts["confusion"]) == predicted.size
