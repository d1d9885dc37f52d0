"""Does one method exceed another? Paired, task by task, on the same tasks.

Two questions, two p values. `p` of the sign-flip permutation over tasks speaks of further tasks from the same images
(closed). `open.p` speaks of new images, slides or patients: it counts units, not tasks, and belongs to the open
interval of the difference.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from statsmodels.stats.multitest import multipletests

from lowshot.intervals import Interval, bootstrap_interval, closed_interval, open_interval
from lowshot.sign_flip import EXACT, sign_flip_p, smallest_p

if TYPE_CHECKING:
    from lowshot.influence import Influence, Units
    from lowshot.resampling import Bootstrap

ALPHA = 0.05
AT_ONCE = 500  # pairs whose differences and sign patterns are held in memory


@dataclass(frozen=True)
class Comparison:
    """A minus B on the macro F1 of the same tasks, in fractions.

    closed: Interval of the mean difference for further tasks from the same rows; open: for new units (groups, or rows
    where no groups were given), None where nothing is known of them, with a p value of its own. p: two-sided, for
    further tasks, by sign-flip permutation: the one to report beside `closed`. won, tied: share of tasks. way,
    smallest: how p was found, and the least that it can be.
    """
    closed: Interval        # mean difference, t over tasks
    open: Interval | None   # for new units of the same source; None where no units were given
    won: float              # share of tasks where A has the higher score
    tied: float             # share of tasks with equal scores
    p: float                # sign-flip permutation, two-sided
    way: str                # how p was found: `sign_flip.EXACT`, SADDLEPOINT or SAMPLED
    smallest: float         # the p that no differences of so many tasks get below
    unit: str = "unit"      # what the open interval speaks of: group, slide, image

    @property
    def exact(self) -> bool:
        return self.way == EXACT

    def __repr__(self):
        return f"<Comparison: {self}>"

    def __str__(self):
        text = (f"{100 * self.closed.mean:+.1f} points of F1, {self.closed} for further tasks from these rows "
                f"(p {_p(self.p)})")
        if self.open is None:
            return text
        return f"{text}, {self.open} for new {self.unit}s" + ("" if self.open.p is None else f" (p {_p(self.open.p)})")


def _p(value):
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def compare_scores(a: np.ndarray, b: np.ndarray, seed: int = 0, units: "Units | None" = None,
                   influence: "Influence | None" = None, resampled: "Bootstrap | None" = None) -> "Comparison":
    """Comparison of two methods' scores on the same tasks. a, b: (T,) floats.

    units: `influence.Units` of the tasks, influence: A's `Influence` minus B's; both or neither. resampled: A's
    `resampling.Bootstrap` minus B's, or None.
    """
    return compare_many([(a, b)], seed, units, None if influence is None else [influence],
                        None if resampled is None else [resampled])[0]


def compare_many(pairs: Sequence[tuple[np.ndarray, np.ndarray]], seed: int = 0, units: "Units | None" = None,
                 influences: "Iterable[Influence] | None" = None,
                 resampled: "Sequence[Bootstrap | None] | None" = None) -> "list[Comparison]":
    """Comparisons of many pairs of scores on the same tasks, all against the same sign patterns.

    pairs: sequence of (a, b), each (T,) floats; influences: iterable of one per pair where `units` are given;
    resampled: one `resampling.Bootstrap` per pair, which then makes the open interval instead, or None. Returns list.
    """
    resampled = [None] * len(pairs) if resampled is None else resampled
    influences, found = iter(influences or ()), []
    for start in range(0, len(pairs), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        differences = np.array([np.subtract(a, b, dtype=np.float64) for a, b in pairs[part]])
        p_values, ways = sign_flip_p(differences, seed)
        for difference, bootstrap, p, way in zip(differences, resampled[part], p_values, ways, strict=True):
            opened = None if units is None else _opened(difference, next(influences), units, bootstrap)
            found.append(Comparison(closed_interval(difference), opened, float((difference > 0).mean()),
                                    float((difference == 0).mean()), float(p), way, smallest_p(difference),
                                    "unit" if units is None else units.name))
    return found


def _opened(difference, influence, units, bootstrap):
    if bootstrap is None:
        return open_interval(difference, influence, units)
    return bootstrap_interval(difference.mean(), bootstrap)


def holm(p_values: np.ndarray) -> np.ndarray:
    """p values adjusted for their number (Holm, through statsmodels): (n,) floats; empty stays empty."""
    return multipletests(p_values, method="holm")[1] if len(p_values) else np.empty(0)
