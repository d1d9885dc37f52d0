"""Closed and open intervals: against scipy, against a cluster bootstrap, and against repeated worlds."""
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from lowshot.intervals import (
    OUT_OF_REACH,
    UNKNOWN,
    build_units,
    closed_interval,
    f1_influence,
    open_interval,
    tasks_for,
    unit_variance,
)
from lowshot.statistics import f1_scores

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


def test_tasks_that_share_no_unit_have_the_t_interval_as_open_one():
    scores = np.random.default_rng(2).normal(0.5, 0.1, 30)
    units = _apart(30)
    influence = np.random.default_rng(3).normal(size=(30, 15))
    found = open_interval(scores, units.moves(scores, influence), units)
    assert found.half == pytest.approx(closed_interval(scores).half, rel=1e-9)


def test_one_slide_a_task_is_the_cluster_bootstrap_over_slides():
    rng = np.random.default_rng(4)
    slides = np.arange(300) % 15
    scores = rng.normal(0, 0.08, 15)[slides] + rng.normal(0.6, 0.03, 300)
    support = np.repeat(slides[:, None], 6, axis=1)
    query = 1000 + np.arange(300 * 15).reshape(300, 15)  # each its own unit
    units = _units(support, query)
    assert units.one_draw and units.count == 15
    found = open_interval(scores, units.moves(scores, np.zeros((300, 15))), units)
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
        halves.append((closed_interval(scores).half, open_interval(scores, units.moves(
            scores, np.zeros((tasks, 15))), units).half))
    assert halves[1][0] < halves[0][0] / 3
    assert halves[1][1] > 0.85 * halves[0][1]


def _world(rng, slides, tasks, shots=3, homo=False):
    """Tasks of one data set: nearest centroid on points whose slide moves them. Returns scores, predictions, units."""
    centres = np.array([[0, 0], [2, 0], [0, 2.0]])
    sets = [centres[:, None, None] + rng.normal(0, 1, (3, slides, 1, 2)) + rng.normal(0, 1, (3, slides, 20, 2))
            for _ in range(2)]
    classes = np.arange(3)[:, None]
    chosen = rng.integers(slides, size=(tasks, 1, 1)) + np.zeros((1, 3, shots), int) if homo else \
        rng.integers(slides, size=(tasks, 3, shots))
    asked = rng.integers(slides, size=(tasks, 3, 5))
    support = sets[0][classes, chosen, rng.integers(20, size=chosen.shape)]
    query = sets[1][classes, asked, rng.integers(20, size=asked.shape)].reshape(tasks, 15, 1, 2)
    predictions = ((query - support.mean(axis=2)[:, None]) ** 2).sum(-1).argmin(-1)
    scores = f1_scores(LABELS, predictions, 3).mean(axis=1)
    names = chosen if homo else chosen + classes * slides
    units = _units(names.reshape(tasks, -1), 10_000 + (asked + classes * slides).reshape(tasks, -1))
    return scores, predictions, units


@pytest.mark.parametrize("homo", [False, True], ids=["hetero", "homo"])
def test_open_interval_covers_what_new_slides_give_and_the_closed_one_does_not(homo):
    rng = np.random.default_rng(6)
    found = []
    for _ in range(120):
        scores, predictions, units = _world(rng, slides=12, tasks=100, homo=homo)
        influence = f1_influence(predictions, LABELS, np.full((100, 3), 1 / 3))
        found.append((scores.mean(), closed_interval(scores).half,
                      open_interval(scores, units.moves(scores, influence), units).half))
    mean, closed, opened = np.array(found).T
    truth = mean.mean()
    assert (np.abs(mean - truth) <= opened).mean() >= 0.88
    assert (np.abs(mean - truth) <= closed).mean() <= 0.7
    assert opened.mean() < 2 * 1.96 * mean.std()  # honest, not merely wide


def test_a_class_from_one_slide_has_no_open_interval_and_says_why():
    support = np.zeros((20, 6), int)
    units = _units(support, np.ones((20, 15), int))
    scores = np.random.default_rng(7).normal(size=20)
    found = open_interval(scores, units.moves(scores, np.zeros((20, 15))), units)
    assert found.half is None and "one slide only" in found.note


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
    moves = units.moves(scores, np.zeros((300, 15)))
    assert unit_variance(moves, units)[0] > 0
    assert tasks_for(0.01, scores, moves, units) == OUT_OF_REACH
    assert tasks_for(0.01, scores) > 2


def _homo(rng, slides, tasks, effect, spread):
    """Scores of tasks whose shots come from one slide each, their moves and units; queries weigh nothing."""
    chosen = np.arange(tasks) % slides
    scores = rng.normal(0, effect, slides)[chosen] + rng.normal(0.6, spread, tasks)
    units = _units(np.repeat(chosen[:, None], 6, axis=1), 1000 + np.arange(tasks * 15).reshape(tasks, 15))
    return scores, units.moves(scores, np.zeros((tasks, 15))), units


@pytest.mark.parametrize("spread", [0.02, 0.08])
def test_targets_are_rarely_called_out_of_reach_where_slides_do_not_matter(spread):
    rng = np.random.default_rng(11)
    found = [tasks_for(0.005, *_homo(rng, 15, 30, 0, spread)) for _ in range(200)]
    numbers = [n for n in found if not isinstance(n, str)]
    assert found.count(OUT_OF_REACH) <= 0.08 * 200 and len(numbers) >= 0.5 * 200
    assert np.median(numbers) == pytest.approx((2.14 * spread / 0.005) ** 2, rel=0.3)  # t of 14 degrees of freedom


def test_number_of_tasks_for_the_open_interval_is_what_so_many_tasks_have():
    rng = np.random.default_rng(12)
    wanted = np.median([tasks_for(0.02, *_homo(rng, 15, 150, 0.02, 0.08)) for _ in range(40)])
    halves = [open_interval(*_homo(rng, 15, int(wanted), 0.02, 0.08)).half for _ in range(40)]
    assert np.median(halves) == pytest.approx(0.02, rel=0.15)


def test_one_task_or_one_slide_cannot_tell_how_many_are_needed():
    assert tasks_for(0.01, [0.5]) == UNKNOWN
    assert tasks_for(0.01, *_homo(np.random.default_rng(13), 1, 30, 0, 0.1)) == UNKNOWN


def test_moves_of_a_difference_are_the_difference_of_moves():
    rng = np.random.default_rng(10)
    scores, _, units = _world(rng, 8, 30)
    other, a, b = rng.random(30), rng.normal(size=(30, 15)), rng.normal(size=(30, 15))
    together = units.moves(scores - other, a - b)
    assert together == pytest.approx(units.moves(scores, a) - units.moves(other, b))
