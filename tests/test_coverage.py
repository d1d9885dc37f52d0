"""Open intervals hold the truth: data sets drawn anew from a known source, a part of `benchmarks/coverage.py`.

The truth comes from other data sets of the same source, every slide holds every class, and the bars are those of the
benchmark. The code that did not centre the counts fails these.
"""
import joblib
import pytest

from benchmarks._worlds import Row
from benchmarks.coverage import PATIENTS, ROWS, describe, measure, missed

PART = [(Row(), 300), (Row(shots=50, tasks=1000), 100), (Row(unequal=True, tiles=40), 300),
        (Row(support=3, query=3), 300), (Row(**PATIENTS), 300), (Row(homo=True, support=5, shots=1), 300),
        (Row(originals=50), 300), (Row(**PATIENTS, rule="grouped", shots=1, open="bootstrap"), 12)]


@pytest.mark.parametrize("row, worlds", PART, ids=[describe(row) for row, _ in PART])
def test_intervals_cover_and_are_not_merely_wide(row, worlds):
    found = measure(row, worlds, min(2, joblib.cpu_count()), truth_worlds=300)
    assert missed(row, found) == [], found
    assert found["coverage"][0] >= 0.9


def test_the_rows_of_the_benchmark_hold_every_level():
    def levels(name):
        return {getattr(row, name) for row in ROWS}

    assert levels("shots") == {1, 5, 50, 100} and levels("tasks") == {100, 1000} and levels("unequal") == {False, True}
    assert levels("rule") == {"published", "distinct", "grouped", "disjoint"} and levels("originals") == {0, 50, 250}
    assert {3, 5, 10, 15} <= {row.fewest for row in ROWS} and any(row.both for row in ROWS)
