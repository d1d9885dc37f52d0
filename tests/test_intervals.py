"""Closed and open intervals: against scipy, a dense derivation and a cluster bootstrap. Whether they hold the truth of
drawn data sets is for test_coverage.py."""
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from lowshot.influence import Influence, build_units, f1_influence
from lowshot.intervals import (
    OUT_OF_REACH,
    UNKNOWN,
    bootstrap_interval,
    bootstrap_tasks_for,
    closed_interval,
    open_interval,
    tasks_for,
    unit_variance,
)
from lowshot.resampling import Bootstrap

LABELS = np.repeat(np.arange(3), 5)


def _units(support, query, name="slide"):
    ways = 3
    return build_units(support, query, np.repeat(np.arange(ways), support.shape[1] // ways), LABELS, name)


def _apart(tasks, shots=2):
    """Units of tasks that share none: every draw is its own unit."""
    size = 3 * shots + len(LABELS)
    every = np.arange(tasks * size).reshape(tasks, size)
    return _units(every[:, :3 * shots], every[:, 3 * shots:])


def test_closed_interval_is_scipys_t_interval():
    scores = np.random.default_rng(0).normal(0.6, 0.1, 40)
    low, high = stats.t.interval(0.95, 39, scores.mean(), stats.sem(scores))
    found = closed_interval(scores)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_one_task_has_a_mean_and_no_half_width():
    found = closed_interval([0.5])
    assert found.half is None and "one task" in found.note and found.low is None


def test_influence_is_the_derivative_of_f1_by_query_weights():
    rng = np.random.default_rng(1)
    predictions = np.where(rng.random((1, 15)) < 0.6, LABELS, rng.integers(3, size=(1, 15)))
    found = f1_influence(predictions, LABELS, np.full((1, 3), 1 / 3))[0]

    def macro(weights):
        totals = np.bincount(LABELS, weights)  # a class keeps its total
        return f1_score(LABELS, predictions[0], average="macro", sample_weight=weights * 5 / totals[LABELS])

    for query in range(15):
        step = np.eye(15)[query] * 1e-5
        slope = (macro(1 + step) - macro(1 - step)) / 2e-5
        assert found[query] == pytest.approx(slope, abs=1e-8)


def _open(scores, units, queries=None):
    """Open interval of scores whose queries have these derivatives, none by default."""
    queries = np.zeros(units.query.shape) if queries is None else queries
    return open_interval(scores, units.influence(scores, queries), units)


def _random_tasks(rng, tasks, shots, slides=(6, 9)):
    """Units of tasks drawn at random from slides, which are others on each side."""
    return _units(rng.integers(slides[0], size=(tasks, 3 * shots)),
                  slides[0] + rng.integers(slides[1], size=(tasks, len(LABELS))))


@pytest.mark.parametrize("shared", [False, True])
def test_sums_over_tasks_are_those_of_the_dense_matrix(shared):
    rng = np.random.default_rng(20)
    support, query = rng.integers(6, size=(40, 9)), rng.integers(8, size=(40, 15)) + (0 if shared else 6)
    units, scores, queries = _units(support, query), rng.normal(size=40), rng.normal(size=(40, 15))
    influence = units.influence(scores, queries)
    counts, weights = np.zeros((2, 40, 14))
    for task in range(40):
        counts[task] = np.bincount(support[task], minlength=14)
        weights[task] = np.bincount(query[task], queries[task], minlength=14)
    x = (counts - counts.mean(0)) * influence.residual[:, None] + weights
    x = x[:, np.unique(np.concatenate([support.ravel(), query.ravel()]))]
    for found, expected in zip(influence.of_units(units.pairs), (x.sum(0), (x**2).sum(0), (x**4).sum(0)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert units.shared == shared


@pytest.mark.parametrize("shots", [1, 20])
def test_where_no_slide_matters_the_mean_excess_is_zero(shots):
    """Scores that have nothing to do with the slides: what is taken for the slides' part is 0 on average."""
    rng = np.random.default_rng(21)
    units = _random_tasks(rng, 60, shots)
    found = np.array([[excess for excess, _ in unit_variance(units.influence(scores, np.zeros((60, 15))), units)]
                      for scores in rng.normal(0.7, 0.1, (400, 60))])[:, 0]
    assert abs(found.mean()) <= 3 * found.std() / np.sqrt(len(found))


def test_noise_is_the_standard_error_of_the_excess():
    rng = np.random.default_rng(22)
    units = _random_tasks(rng, 60, 10)
    found = np.array([unit_variance(units.influence(scores, np.zeros((60, 15))), units)[0]
                      for scores in rng.normal(0.7, 0.1, (400, 60))])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.15)


def test_what_the_difficulty_of_queries_explains_is_left_out_of_the_residuals():
    rng = np.random.default_rng(23)
    difficulty, images = rng.normal(size=60), rng.integers(60, size=(400, 15))
    units = build_units(rng.integers(9, size=(400, 6)), 100 + images // 6, np.repeat([0, 1, 2], 2), LABELS, "slide",
                        images)
    queries = difficulty[images] - difficulty[images].reshape(400, 3, 5).mean(2).repeat(5, axis=1)
    scores = 0.01 * queries.sum(1) + 0.02 * difficulty[images].sum(1) + rng.normal(0, 0.01, 400)
    left = units.influence(scores, 0.02 * queries).residual
    assert left.std() < 0.3 * scores.std()
    assert units.influence(scores, rng.normal(size=(400, 15))).residual.std() > 0.95 * scores.std()


def test_difference_of_equal_scores_has_no_influence():
    rng = np.random.default_rng(24)
    units, scores, queries = _random_tasks(rng, 30, 2), rng.random(30), rng.normal(size=(30, 15))
    none = units.influence(scores, queries) - units.influence(scores, queries)
    assert isinstance(none, Influence) and not none.residual.any() and not none.query.any()


def test_tasks_that_share_no_unit_have_the_t_interval_as_open_one():
    scores = np.random.default_rng(2).normal(0.5, 0.1, 400)
    found = _open(scores, _apart(400), 1e-3 * np.random.default_rng(3).normal(size=(400, 15)))
    assert found.half == pytest.approx(closed_interval(scores).half, rel=0.05)


def test_one_slide_a_task_is_the_cluster_bootstrap_over_slides():
    rng = np.random.default_rng(4)
    slides = np.arange(300) % 15
    scores = rng.normal(0, 0.08, 15)[slides] + rng.normal(0.6, 0.03, 300)
    support = np.repeat(slides[:, None], 6, axis=1)
    query = 1000 + np.arange(300 * 15).reshape(300, 15)  # each its own unit
    units = _units(support, query)
    assert units.one_draw and units.count == 15
    found = _open(scores, units)
    means = np.array([scores[slides == s].mean() for s in range(15)])
    bootstrap = stats.bootstrap((means,), np.mean, n_resamples=20_000, rng=np.random.default_rng(0))
    expected = stats.t.ppf(0.975, 14) * bootstrap.standard_error * np.sqrt(15 / 14)
    assert expected <= found.half * 1.02 and found.half == pytest.approx(expected, rel=0.15)
    assert found.half > 3 * closed_interval(scores).half


def test_fifteen_slides_keep_the_open_interval_wide_however_many_tasks():
    halves = []
    for tasks in (150, 3000):
        rng = np.random.default_rng(5)
        effect = rng.normal(0, 0.08, 15)
        slides = np.arange(tasks) % 15
        scores = effect[slides] + rng.normal(0.6, 0.03, tasks)
        units = _units(np.repeat(slides[:, None], 6, axis=1), 1000 + np.arange(tasks * 15).reshape(tasks, 15))
        halves.append((closed_interval(scores).half, _open(scores, units).half))
    assert halves[1][0] < halves[0][0] / 3
    assert halves[1][1] > 0.85 * halves[0][1]


@pytest.mark.parametrize("slides, why", [(1, "one slide only"), (2, "two slides only"), (3, "")])
def test_a_class_from_fewer_than_three_slides_has_no_open_interval_and_says_why(slides, why):
    rng = np.random.default_rng(7)
    units = _random_tasks(rng, 60, 2, (slides, slides))
    found = _open(rng.normal(size=60), units)
    assert (found.half is None) == bool(why) and why in found.note
    resampled = Bootstrap(rng.normal(size=20), {}, "slide", slides, False, 0, "")
    found = bootstrap_interval(0.5, resampled)
    assert (found.half is None) == bool(why) and why in found.note


def test_bootstrap_interval_is_t_times_the_spread_of_the_resamples():
    means = np.random.default_rng(8).normal(0.6, 0.05, 100)
    found = bootstrap_interval(0.61, Bootstrap(means, {"novel": means / 2}, "slide", 15, False, 0, ""))
    assert found.half == pytest.approx(stats.t.ppf(0.975, 14) * means.std(ddof=1) * np.sqrt(15 / 14))
    assert (found.mean, found.n, found.way) == (0.61, 15, "bootstrap")
    group = bootstrap_interval(0.3, Bootstrap(means, {"novel": means / 2}, "slide", 15, False, 0, ""), "novel")
    assert group.half == pytest.approx(found.half / 2)


def test_p_for_new_units_is_below_the_level_exactly_where_the_interval_leaves_out_zero():
    rng = np.random.default_rng(9)
    for shift in np.linspace(0, 0.2, 15):
        scores = rng.normal(shift, 0.1, 60)
        found = _open(scores, _random_tasks(rng, 60, 2))
        assert (found.p < 0.05) == (not found.holds(0))


def test_number_of_tasks_reaches_the_target_and_one_fewer_does_not():
    scores = np.random.default_rng(8).normal(0.6, 0.1, 50)
    n = tasks_for(0.01, scores)

    def half(count):
        return stats.t.ppf(0.975, count - 1) * scores.std(ddof=1) / np.sqrt(count)
    assert half(n) <= 0.01 < half(n - 1)


def test_no_number_of_tasks_reaches_what_the_slides_do_not_allow():
    slides = np.arange(300) % 5
    scores = np.array([0.1, 0.3, 0.5, 0.7, 0.9])[slides] + np.random.default_rng(9).normal(0, 0.01, 300)
    units = _units(np.repeat(slides[:, None], 6, axis=1), 100 + np.arange(300 * 15).reshape(300, 15))
    influence = units.influence(scores, np.zeros((300, 15)))
    assert unit_variance(influence, units)[0][0] > 0
    assert tasks_for(0.01, scores, influence, units) == OUT_OF_REACH
    assert tasks_for(0.01, scores) > 2


def _homo(rng, slides, tasks, effect, spread):
    """Scores of tasks whose shots come from one slide each, their influence and units; queries weigh nothing."""
    chosen = np.arange(tasks) % slides
    scores = rng.normal(0, effect, slides)[chosen] + rng.normal(0.6, spread, tasks)
    units = _units(np.repeat(chosen[:, None], 6, axis=1), 1000 + np.arange(tasks * 15).reshape(tasks, 15))
    return scores, units.influence(scores, np.zeros((tasks, 15))), units


@pytest.mark.parametrize("spread", [0.02, 0.08])
def test_targets_are_rarely_called_out_of_reach_where_slides_do_not_matter(spread):
    rng = np.random.default_rng(11)
    found = [tasks_for(0.005, *_homo(rng, 15, 30, 0, spread)) for _ in range(200)]
    numbers = [n for n in found if not isinstance(n, str)]
    assert found.count(OUT_OF_REACH) <= 0.08 * 200 and len(numbers) >= 0.4 * 200
    least = (2.14 * spread / 0.005) ** 2  # t of 14 degrees of freedom, and slides that do not matter at all
    assert 0.95 * least <= np.median(numbers) <= 1.5 * least


def test_number_of_tasks_for_the_open_interval_is_what_so_many_tasks_have():
    rng = np.random.default_rng(12)
    wanted = np.median([tasks_for(0.02, *_homo(rng, 15, 150, 0.02, 0.08)) for _ in range(40)])
    halves = [open_interval(*_homo(rng, 15, int(wanted), 0.02, 0.08)).half for _ in range(40)]
    assert np.median(halves) == pytest.approx(0.02, rel=0.15)


def test_one_task_or_one_slide_cannot_tell_how_many_are_needed():
    assert tasks_for(0.01, [0.5]) == UNKNOWN
    assert tasks_for(0.01, *_homo(np.random.default_rng(13), 1, 30, 0, 0.1)) == UNKNOWN


def test_tasks_for_a_bootstrap_interval_take_the_variance_over_tasks_out():
    rng = np.random.default_rng(14)
    scores = rng.normal(0.6, 0.1, 100)
    spread = scores.std(ddof=1) / 10

    def needed(units_spread, target):
        means = 0.6 + np.hypot(spread, units_spread) * stats.norm.ppf((np.arange(400) + 0.5) / 400)
        return bootstrap_tasks_for(target, scores, Bootstrap(means, {}, "slide", 400, False, 0, ""))

    assert needed(0.05, 0.02) == OUT_OF_REACH
    n = needed(0.005, 0.015)
    half = stats.t.ppf(0.975, n - 1) * np.hypot(scores.std(ddof=1) / np.sqrt(n), 0.005)
    assert half == pytest.approx(0.015, rel=0.05)
    assert bootstrap_tasks_for(0.01, [0.5], Bootstrap(np.ones(9), {}, "slide", 9, False, 0, "")) == UNKNOWN
