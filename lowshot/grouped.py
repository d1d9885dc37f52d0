"""The rule 'grouped': the groups of a task are split first, then each side is sampled from its own part.

Split. Groups (slides, patients) that are on both sides and hold the same classes form a stratum; of each stratum a part
is asked about, the rest serves as support. The part is drawn as Lahiri (1951) and Midzuno (1952) do: its first group
with a probability in proportion to its weight, the others at random. So a part of weight w(B) has a probability in
proportion to w(B), and a group that gets the share w_g / w(B) of the queries wherever it is in B is asked

    sum over B with g of P(B) w_g / w(B) = w_g / sum_h w_h

of all queries: in proportion to its weight, although half of the groups sit out each task.

Weights. w_g of a class is the number of tiles of the group ('tiles') or 1 ('equal'). Splits that leave a side too few
tiles are drawn again, classes that share groups share one split, and a group cannot be asked about more tiles than it
has; factors on the weights, found once by iterative proportional fitting over many splits, correct what that changes of
the shares. What they cannot correct is the shortfall.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GROUP_WEIGHTS = ("tiles", "equal")
VERSION = 2      # of this rule; task files name it
SPLITS = 1000    # that the factors are found from
FITTING = 40     # steps, at most
PARTS = (1 / 2, 1 / 3, 2 / 3, 1 / 4, 3 / 4, 1 / 8, 7 / 8, 1 / 16, 15 / 16)  # of the groups that are asked about
NOISE = 4        # standard errors within which a share over SPLITS splits counts as right
OFTEN = 0.1      # share of splits that leave both sides enough tiles; with less, another part is tried


@dataclass(frozen=True, eq=False)
class GroupTable:
    """How many different images each group has of each class, on both sides. G groups, C classes.

    Attributes
    ----------
    support, query : (G, C) int64
        Different images of the support and of the query pool.
    weights : (G, C) float64
        Of the groups in the queries of each class; each column sums to 1.
    """
    support: np.ndarray
    query: np.ndarray
    weights: np.ndarray

    @property
    def both(self) -> np.ndarray:
        """(G,) bool: groups that are on both sides, and so have to be split."""
        return np.logical_and(self.support.any(axis=1), self.query.any(axis=1))


def group_table(support_groups: np.ndarray, query_groups: np.ndarray, support_tiles: tuple[np.ndarray, np.ndarray],
                query_tiles: tuple[np.ndarray, np.ndarray], num_classes: int,
                group_weight: str = "tiles") -> GroupTable:
    """GroupTable of two pools.

    support_groups, query_groups: (N,) and (M,) numbers from 0; support_tiles, query_tiles: (labels, images) of each.
    """
    size = 1 + int(max(support_groups.max(), query_groups.max()))
    support = _images(support_groups, support_tiles, size, num_classes)
    query = _images(query_groups, query_tiles, size, num_classes)
    rows = np.zeros((size, num_classes))
    np.add.at(rows, (query_groups, query_tiles[0]), 1)
    # in a resample a group may be there several times: it then weighs as much more
    weights = rows if group_weight == "tiles" else np.divide(rows, query, out=np.zeros_like(rows), where=query > 0)
    return GroupTable(support, query, weights / weights.sum(axis=0))


def _images(groups, tiles, size, num_classes):
    """(size, C): different images of each group and class."""
    counts = np.zeros((size, num_classes), dtype=np.int64)
    distinct = np.unique(np.stack([groups, *tiles]), axis=1)
    np.add.at(counts, (distinct[0], distinct[1]), 1)
    return counts


class NoSplit(ValueError):
    """No split leaves both sides enough tiles; its argument is the class that is hardest to split."""


class Splits:
    """Random splits of the groups, and what is asked of each group in a split.

    Attributes
    ----------
    shares : (G, C) float64
        The share of the queries of each class that each group has over many tasks.
    """

    def __init__(self, table: GroupTable, shots: int, queries: int, rng: np.random.Generator,
                 fixed: np.ndarray | None = None) -> None:
        """fixed: (R, G) bool, the only splits there are (groups asked about), all equally likely; None: random ones.

        NoSplit where none leaves `shots` support and `queries` query images of every class.
        """
        self.table, self.shots, self.queries = table, shots, queries
        self.strata = [np.flatnonzero(table.both & (code == one)) for code in [_signatures(table)]
                       for one in np.unique(code[table.both])]
        if fixed is None:
            self.part, asked = self._choose_part(rng)
        else:
            asked = fixed[self.feasible(fixed, supports=False)]
        if not len(asked):
            raise NoSplit(self._hardest_class(rng, fixed))
        self.factors, self.shares = _fit(table, asked, queries)

    def propose(self, rng: np.random.Generator, count: int, part: float) -> np.ndarray:
        """(count, G) bool: random splits, True for groups that are asked about."""
        asked = np.zeros((count, len(self.table.query)), dtype=bool)
        asked[:, self.table.query.any(axis=1) & ~self.table.both] = True
        for groups in self.strata:
            order = rng.random((count, len(groups)))
            weights = self.table.weights[groups]
            weights = np.divide(weights, weights.sum(axis=0), out=np.zeros_like(weights), where=weights.sum(axis=0) > 0)
            first = rng.choice(len(groups), count, p=weights.sum(axis=1) / weights.sum())
            order[np.arange(count), first] = -1
            size = np.floor(part * len(groups) + rng.random(count)).astype(np.int64)
            asked[:, groups] = np.argsort(np.argsort(order, axis=1), axis=1) < size[:, None]
        return asked

    def feasible(self, asked: np.ndarray, supports: bool = True) -> np.ndarray:
        """(R,) bool: splits (R, G) that leave both sides enough images of every class."""
        return self._feasible_by_class(asked, supports).all(axis=1)

    def _feasible_by_class(self, asked, supports):
        """(R, C) bool."""
        enough = asked @ self.table.query >= self.queries
        return enough & (~asked @ self.table.support >= self.shots) if supports else enough

    def _hardest_class(self, rng, fixed):
        """The class for which the fewest splits do."""
        asked = np.concatenate([self.propose(rng, SPLITS, part) for part in PARTS]) if fixed is None else fixed
        return int(np.argmin(self._feasible_by_class(asked, fixed is None).sum(axis=0)))

    def draw(self, rng: np.random.Generator) -> np.ndarray | None:
        """(G,) bool: one split that leaves both sides enough, or None where none was found."""
        for count in (16, *[SPLITS] * 16):
            asked = self.propose(rng, count, self.part)
            found = np.flatnonzero(self.feasible(asked))
            if found.size:
                return asked[found[0]]
        return None

    def counts(self, rng: np.random.Generator, asked: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        """(groups, queries of each) of class `label` in a split: expected numbers, rounded by systematic sampling."""
        expected = _allocate(self.factors[:, label] * asked, self.table.query[:, label], self.queries)
        groups = rng.permutation(np.flatnonzero(expected > 0))
        ends = np.cumsum(expected[groups])
        ends[-1] = self.queries
        return groups, np.diff(np.floor(ends + rng.random()).astype(np.int64), prepend=0)

    def _choose_part(self, rng):
        """(share of the groups to ask about, (R, G) splits that leave both sides enough) of the first good share."""
        best = None
        for part in PARTS:
            asked = self.propose(rng, SPLITS, part)
            asked = asked[self.feasible(asked)]
            if best is None or len(asked) > len(best[1]):
                best = part, asked
            if len(asked) >= OFTEN * SPLITS:
                break
        return best


def _signatures(table):
    """(G,) a number for each group, equal where groups hold the same classes."""
    return np.unique((table.support > 0) | (table.query > 0), axis=0, return_inverse=True)[1].ravel()


def _allocate(weights, room, count):
    """Expected queries (…, G), `count` in all, in proportion to `weights` (…, G) and at most `room` (G,) of a group."""
    given, open_ = np.zeros(weights.shape), weights > 0
    while open_.any():
        left = count - given.sum(axis=-1, keepdims=True)
        total = np.where(open_, weights, 0).sum(axis=-1, keepdims=True)
        share = np.divide(left * weights, total, out=np.zeros(weights.shape), where=open_)
        full = open_ & (share >= room)
        if not full.any():
            return np.where(open_, share, given)
        given = np.where(full, room, given)
        open_ = open_ & ~full
    return given


def _fit(table, asked, queries):
    """(factors, shares), both (G, C): weights within a split with which the shares over the splits `asked` (R, G) come
    as near to the table's weights as the splits permit."""
    factors, shares = table.weights.copy(), np.zeros(table.weights.shape)
    for label, target in enumerate(table.weights.T):
        for step in range(FITTING):
            given = _allocate(factors[:, label] * asked, table.query[:, label], queries) / queries
            shares[:, label] = share = given.mean(axis=0)
            if step == 0 and (np.abs(share - target) <= NOISE * given.std(axis=0) / np.sqrt(len(asked)) + 1e-9).all():
                shares[:, label] = target  # as the design promises; the rest is the noise of these splits
                break
            if (np.abs(share - target) <= 1e-4).all():
                break
            factors[:, label] *= np.divide(target, share, out=np.ones(len(target)), where=share > 0)
            factors[:, label] /= factors[:, label].max()
    return factors, shares


def shortfall(shares: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(C,) the share of each class's queries that falls to other groups than the weights (G, C) ask for; 0 below 0.5 %.
    """
    missing = np.maximum(weights - shares, 0).sum(axis=0)
    return np.where(missing < 0.005, 0.0, missing)


def use_of_groups(groups: Sequence) -> dict:
    """How often groups are used: groups is the group of every support, or query, of all tasks, of any shape.

    Returns dict: groups (how many), effective (1 / sum of squared shares), largest (the largest share).
    """
    shares = np.unique(np.asarray(groups), return_counts=True)[1] / np.asarray(groups).size
    return {"groups": len(shares), "effective": float(1 / (shares ** 2).sum()), "largest": float(shares.max())}
