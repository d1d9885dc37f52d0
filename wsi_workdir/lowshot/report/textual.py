"""A paired comparison as lines of a terminal."""

from lowshot.comparison import ALPHA, DRAWS
from lowshot.intervals import closed_interval


def comparison_lines(a, b, result, unit):
    """Lines that say how result A compares with B. result: comparison.Comparison with both intervals; unit: str."""
    lines = [f"{name}  {_percent(closed_interval(r.f1.mean(1)))}  {r.path}" for name, r in (("A", a), ("B", b))]
    how = "exact" if result.exact else f"{DRAWS:,} seeded sign flips"
    verdict = "no difference shown" if result.p >= ALPHA else \
        f"{'A' if result.closed.mean > 0 else 'B'} is better on these images"
    if result.p < ALPHA and result.open.half is not None:
        verdict += f"; for new {unit}s the difference is " + \
            ("not settled (the open interval holds 0)" if result.open.holds(0) else "shown too")
    return [f"{a.config['task']}, {a.config['num_shots']}-shot, {len(a.f1)} tasks (the same for both), macro F1 in %",
            *lines,
            f"A - B          {_percent(result.closed)}  closed 95 % interval: further tasks from these images",
            f"               {_percent(result.open)}  open 95 % interval: new {unit}s of the same source"
            + (f" ({result.open.note})" if result.open.note else ""),
            f"tasks          A better in {100 * result.won:.1f} %, equal in {100 * result.tied:.1f} %",
            f"p              {result.p:.4g} (two-sided sign-flip permutation over tasks, {how})", verdict]


def _percent(interval):
    half = "   –" if interval.half is None else f"{100 * interval.half:.2f}"
    return f"{100 * interval.mean:6.2f} ± {half}"
