"""Paired comparisons: the permutation test against scipy, its size by simulation, and what is refused."""
import numpy as np
import pytest
from scipy import stats

from benchmarks.report import draw_result
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.report.evidence import check
from fewshot_wsi.report.paired import compare_results
from lowshot import comparison
from lowshot.comparison import compare_many, compare_scores, holm
from lowshot.sign_flip import EXACT, SADDLEPOINT, SAMPLED, sign_flip_p, smallest_p


@pytest.mark.parametrize("count", [2, 5, 11, 16])
def test_few_tasks_give_scipys_exact_permutation_p(count):
    difference = np.random.default_rng(count).normal(0.3, 1, count)
    expected = stats.permutation_test((difference,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    (p,), (way,) = sign_flip_p([difference])
    assert way == EXACT and p == pytest.approx(expected, abs=1e-12)


def test_many_tasks_give_scipys_p_within_the_error_of_the_draws():
    difference = np.random.default_rng(0).normal(0.05, 1, 400)
    expected = stats.permutation_test((difference,), np.mean, permutation_type="samples", n_resamples=20_000,
                                      rng=np.random.default_rng(1)).pvalue
    (p,), (way,) = sign_flip_p([difference])
    error = np.sqrt(expected * (1 - expected) * (1 / 10_000 + 1 / 20_000))
    assert way == SAMPLED and p == pytest.approx(expected, abs=4 * error)


def _enumerated(difference):
    """Two-sided p over every sign pattern."""
    sums = np.zeros(1)
    for value in difference:
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= abs(difference.sum()) - 1e-9).mean())


TAILS = {"normal": lambda rng, n: rng.normal(1, 1, n),
         "equal steps": lambda rng, n: np.where(rng.random(n) < 0.95, 1.0, -1.0),
         "skewed": lambda rng, n: rng.exponential(1, n) - 0.15,
         "one outlier": lambda rng, n: np.r_[rng.normal(1, 0.5, n - 1), 6]}


@pytest.mark.parametrize("kind", TAILS)
def test_saddlepoint_is_near_the_p_of_every_sign_pattern(kind):
    rng = np.random.default_rng(11)
    seen = 0
    for _ in range(12):
        difference = TAILS[kind](rng, 20)
        (p,), (way,) = sign_flip_p([difference])
        if way == SADDLEPOINT:
            seen += 1
            assert 0.55 <= p / _enumerated(difference) <= 1.8
    assert seen >= 5


def test_a_clear_difference_is_rejected_among_any_number_of_comparisons():
    """33 encoders are 528 comparisons; one of them by 70 points, the others by nothing."""
    rng = np.random.default_rng(12)
    differences = rng.normal(0, 0.1, (528, 100))
    differences[0] += 0.7
    p, _ = sign_flip_p(differences)
    adjusted = holm(p)
    assert adjusted[0] < 1e-6 and (adjusted[1:] > 0.05).all()


def test_no_p_is_below_what_so_many_tasks_allow():
    for count in (5, 17, 40, 2000):
        (p,), _ = sign_flip_p([np.full(count, 0.1)])
        assert p == smallest_p(np.full(count, 0.1)) > 0
    zeros = np.r_[np.full(6, 0.2), np.zeros(50)]
    assert sign_flip_p([zeros])[0] == smallest_p(zeros) == 2 ** -5


def test_tasks_without_a_difference_change_nothing():
    difference = np.random.default_rng(13).normal(0.2, 1, 12)
    assert sign_flip_p([np.r_[difference, np.zeros(100)]])[0] == pytest.approx(sign_flip_p([difference])[0])


def test_rows_together_give_what_each_gives_alone():
    rows = np.random.default_rng(2).normal(0.1, 1, (7, 60))
    assert sign_flip_p(rows)[0] == pytest.approx([sign_flip_p([row])[0][0] for row in rows])


def test_p_does_not_depend_on_the_sign_or_scale_and_is_seeded():
    difference = np.random.default_rng(3).normal(0.1, 1, (1, 50))
    assert sign_flip_p(difference)[0] == sign_flip_p(-1000 * difference)[0] == sign_flip_p(difference, seed=0)[0]
    assert sign_flip_p(difference, seed=1)[0] != sign_flip_p(difference, seed=0)[0]


def test_equal_methods_have_p_of_one():
    assert sign_flip_p(np.zeros((1, 10)))[0] == 1 and sign_flip_p(np.zeros((1, 100)))[0] == 1


@pytest.mark.parametrize("count", [40, 300])
def test_without_a_difference_five_percent_of_p_lie_below_five_percent(count):
    rng = np.random.default_rng(count)
    a = rng.beta(8, 4, (4000, count))
    ease = rng.normal(0, 0.1, (4000, count))  # tasks are easy or hard for both methods
    differences = (a + ease) - (rng.beta(8, 4, (4000, count)) + ease)
    p = np.concatenate([sign_flip_p(differences[i:i + 500], seed=i)[0] for i in range(0, 4000, 500)])
    assert 0.04 <= (p < 0.05).mean() <= 0.06


def test_comparison_says_mean_interval_and_share_won():
    a, b = np.array([0.5, 0.6, 0.7, 0.4]), np.array([0.4, 0.6, 0.5, 0.5])
    found = compare_scores(a, b)
    assert found.closed.mean == pytest.approx(0.05)
    assert found.closed.half == pytest.approx(stats.t.ppf(0.975, 3) * stats.sem(a - b))
    assert (found.won, found.tied, found.open) == (0.5, 0.25, None)


def test_holm_is_the_step_down_rule():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    order, adjusted, running = np.argsort(p), np.empty(4), 0.0
    for rank, place in enumerate(order):
        running = max(running, min(1, (4 - rank) * p[place]))
        adjusted[place] = running
    assert holm(p) == pytest.approx(adjusted)
    assert holm([]).size == 0 and compare_many([]) == []


def test_results_of_the_same_tasks_are_compared_and_of_other_tasks_refused(tmp_path):
    a, b = (read_result(draw_result(tmp_path, model=m, skill=skill)) for m, skill in (("clp", 0.7), ("fsp", 0.6)))
    found = compare_results(check(a), check(b), Sources().units(a))
    assert found.closed.mean == pytest.approx(a.f1.mean() - b.f1.mean())
    assert found.open.half >= found.closed.half and found.p < 0.001
    other = read_result(draw_result(tmp_path, model="fsp", num_shots=1))
    with pytest.raises(UserError, match="scored on different tasks"):
        compare_results(a, other)


def test_command_prints_the_comparison(tmp_path, run):
    a, b = draw_result(tmp_path, model="clp", skill=0.7), draw_result(tmp_path, model="fsp")
    done = run("wsi_workdir/compare.py", a, b)
    assert done.returncode == 0, done.stderr
    assert "A - B" in done.stdout and "closed 95 % interval" in done.stdout and "A is better" in done.stdout
    refused = run("wsi_workdir/compare.py", a, draw_result(tmp_path, model="fsp", num_shots=1))
    assert refused.returncode == 2 and "different tasks" in refused.stderr and "Traceback" not in refused.stderr


def test_many_pairs_are_compared_as_each_alone(monkeypatch):
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(9, 60))
    pairs = [(scores[i], scores[j] + 0.1 * i) for i in range(9) for j in range(i)]
    whole = compare_many(pairs)
    monkeypatch.setattr(comparison, "AT_ONCE", 5)
    assert compare_many(pairs) == whole
    assert [compare_scores(a, b).p for a, b in pairs] == pytest.approx([one.p for one in whole], rel=1e-9)
    assert compare_many([]) == []
