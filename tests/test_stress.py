"""A kill of each stage and a double start of each command; `benchmarks/stress.py` does many."""
import pytest

from benchmarks.stress import stress


@pytest.mark.slow
def test_nothing_is_lost_by_kills_and_double_starts():
    lines = []
    outcome = stress(kills=1, starts=1, show=lines.append)
    assert not lines and len(outcome) == 13
    assert all(trials == 1 and not faults for trials, faults in outcome.values())
