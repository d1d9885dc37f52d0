"""A paired comparison as lines of a terminal."""

from lowshot.comparison import ALPHA
from lowshot.intervals import closed_interval
from lowshot.sign_flip import DRAWS, EXACT, FEW_TASKS, SADDLEPOINT, SAMPLED

WAYS = {EXACT: "exact", SADDLEPOINT: "saddlepoint approximation", SAMPLED: f"{DRAWS:,} seeded sign flips"}


def comparison_lines(a, b, result, unit):
    """Lines that say how result A compares with B. result: comparison.Comparison with both intervals; unit: str."""
    lines = [f"{name}  {_percent(closed_interval(r.f1.mean(1)))}  {r.path}" for name, r in (("A", a), ("B", b))]
    verdict = "no difference shown" if result.p >= ALPHA else \
        f"{'A' if result.closed.mean > 0 else 'B'} is better on these images"
    if result.p < ALPHA and result.open.half is not None:
        verdict += f"; for new {unit}s the difference is " + \
            ("not settled (the open interval holds 0)" if result.open.holds(0) else "shown too")
    tasks = len(a.f1)
    warnings = [f"notice         with {tasks} tasks p over tasks is too small where differences are skewed"
                ] if tasks <= FEW_TASKS else []
    if result.smallest >= ALPHA:
        warnings.append(f"notice         so few tasks differ that p over tasks cannot fall below {result.smallest:g}")
    return [f"{a.config['task']}, {a.config['num_shots']}-shot, {len(a.f1)} tasks (the same for both), macro F1 in %",
            *lines,
            f"A - B          {_percent(result.closed)}  closed 95 % interval: further tasks from these images",
            f"               {_percent(result.open)}  open 95 % interval: new {unit}s of the same source"
            + f" ({_made_by(result.open)})",
            f"tasks          A better in {100 * result.won:.1f} %, equal in {100 * result.tied:.1f} %",
            f"p              {result.p:.4g} (two-sided sign-flip permutation over tasks, {WAYS[result.way]})",
            *warnings, verdict]


def _made_by(interval):
    known = [f"by {interval.way}", f"p {interval.p:.4g}"] if interval.way else []
    return ", ".join([*known, *filter(None, [interval.note])])


def _percent(interval):
    half = "   –" if interval.half is None else f"{100 * interval.half:.2f}"
    return f"{100 * interval.mean:6.2f} ± {half}"
