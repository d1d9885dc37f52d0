"""Data sets drawn from a known source: slides, patients or originals move the features of their tiles, and every slide
holds every class. Two encoders see the same tiles and are equally good, so that the truth of their difference is 0.
"""

from dataclasses import dataclass

import numpy as np

from fewshot_wsi.foundation.seeds import generator
from lowshot.influence import build_units, macro_influence
from lowshot.intervals import bootstrap_interval, open_interval
from lowshot.prediction import predict
from lowshot.resampling import Bootstrap, Design, Rules, resample
from lowshot.sampling import Pool, draw_tasks
from lowshot.statistics import f1_scores

WAYS, QUERIES, DIM, ENCODERS = 3, 15, 8, 2
DISTANCE = 2.2    # of a class mean from the origin; the noise of a tile has standard deviation 1
UNIT, UNIT_CLASS = 0.5, 0.5  # standard deviation of a unit's effect on all its tiles, and on those of each class
COMMON = 0.5      # share of every variance that both encoders have in common
RESAMPLES = 100


@dataclass(frozen=True)
class Row:
    """One design of `coverage.py`: a source of data sets, and how tasks are drawn from each and scored."""
    shots: int = 5
    tasks: int = 100
    support: int = 15          # units of the supports
    query: int = 35            # units of the queries
    both: bool = False         # patients on both sides: supports and queries come from one set
    tiles: int = 20            # of each class in each unit
    unequal: bool = False      # sizes of units are log-normal
    originals: int = 0         # instead of slides: so many originals a class, each with `tiles` copies, on both sides
    rule: str = "published"
    homo: bool = False         # all supports of a task come from one unit
    clf: str = "nearest_centroid"
    open: str = "formula"

    @property
    def fewest(self):
        """Units of the side that has fewest."""
        return self.originals or (self.support if self.both else min(self.support, self.query))


@dataclass(frozen=True, eq=False)
class World:
    """One data set: pools as `lowshot.sampling` has them, and what each encoder makes of their tiles."""
    design: Design
    features: tuple  # of each encoder: (supports (N, DIM), queries (M, DIM)) float32


def draw_world(row, number, purpose="world"):
    """World `number` of a Row; other purposes are other worlds."""
    rng = generator(0, f"coverage/{purpose}", repr(row), number)
    sides = [_draw_set(rng, row, row.support)]
    if not (row.both or row.originals):
        sides.append(_draw_set(rng, row, row.query))
    pools, units, start, first = [], [], 0, 0
    for labels, owners, _ in sides:
        images = np.arange(len(labels)) + start
        slides = owners if row.homo else None
        pools.append(Pool("the drawn set", labels, images, owners + first, slides))
        units.append(owners + first)
        start, first = start + len(labels), first + owners.max() + 1
    rules = Rules([f"class {c}" for c in range(WAYS)], row.shots, QUERIES, row.tasks, row.rule, False, row.homo, number,
                  repr(row), "slide", {})
    features = tuple((sides[0][2][e], sides[-1][2][e]) for e in range(ENCODERS))
    return World(Design(pools[0], pools[-1], units[0], units[-1], rules), features)


def _draw_set(rng, row, count):
    """(labels (N,), units (N,), [features (N, DIM) of each encoder]) of a set of `count` units."""
    if row.originals:
        count = WAYS * row.originals
        sizes = np.zeros((count, WAYS), dtype=int)
        sizes[np.arange(count), np.arange(count) % WAYS] = row.tiles
    else:
        spread = rng.lognormal(-0.32, 0.8, (count, 1)) if row.unequal else np.ones((count, 1))
        sizes = np.maximum(2, np.round(row.tiles * spread)).astype(int) * np.ones((1, WAYS), dtype=int)
    labels = np.concatenate([np.repeat(np.arange(WAYS), size) for size in sizes])
    owners = np.repeat(np.arange(count), sizes.sum(axis=1))
    means = np.zeros((WAYS, DIM))
    means[np.arange(WAYS), np.arange(WAYS)] = DISTANCE
    unit, unit_class, tile = (_both(rng, (count, DIM)), _both(rng, (count, WAYS, DIM)), _both(rng, (len(labels), DIM)))
    features = [(means[labels] + UNIT * unit[e][owners] + UNIT_CLASS * unit_class[e][owners, labels]
                 + tile[e]).astype(np.float32) for e in range(ENCODERS)]
    return labels, owners, features


def _both(rng, shape):
    """Standard normal numbers of each encoder, the share COMMON of whose variance is common."""
    common = np.sqrt(COMMON) * rng.standard_normal(shape)
    return [common + np.sqrt(1 - COMMON) * rng.standard_normal(shape) for _ in range(ENCODERS)]


def draw(world, row, tasks=None):
    """(supports (T, n), queries (T, Q)) rows of tasks of a world."""
    rules = world.design.rules
    drawn = draw_tasks(world.design.support, world.design.query, rules.classes, shots=row.shots, queries=QUERIES,
                       num_tasks=tasks or row.tasks, rule=row.rule, seed=rules.seed, setting=rules.setting,
                       same_slide=row.homo)
    return drawn.support, drawn.query


def score(world, row, encoder, support, query):
    """(predictions (T, Q), labels of the queries (Q,), macro F1 (T,))."""
    supports, queries = world.features[encoder]
    labels, asked = (np.repeat(np.arange(WAYS), count) for count in (row.shots, QUERIES))
    predictions = predict(row.clf, supports[support], labels, queries[query])
    return predictions, asked, f1_scores(asked, predictions, WAYS).mean(1)


def intervals(world, row):
    """(open Interval of the first encoder, open Interval of its difference to the second) of one world."""
    support, query = draw(world, row)
    scored = [score(world, row, encoder, support, query) for encoder in range(ENCODERS)]
    macro = [found[2] for found in scored]
    if row.open == "bootstrap":
        resampled = [Bootstrap(means, {}, "slide", world.design.count, world.design.shared, 0, "")
                     for means in _bootstrap(world, row)]
        return (bootstrap_interval(macro[0].mean(), resampled[0]),
                bootstrap_interval((macro[0] - macro[1]).mean(), resampled[0] - resampled[1]))
    units = build_units(world.design.support_units[support], world.design.query_units[query],
                        np.repeat(np.arange(WAYS), row.shots), scored[0][1], "slide", query)
    influences = [units.influence(f1, macro_influence(predictions, asked, WAYS))
                  for predictions, asked, f1 in scored]
    return (open_interval(macro[0], influences[0], units),
            open_interval(macro[0] - macro[1], influences[0] - influences[1], units))


def _bootstrap(world, row):
    """(ENCODERS, RESAMPLES) mean macro F1."""
    means = []
    for number in range(RESAMPLES):
        support, query, _ = resample(world.design, number)
        means.append([score(world, row, encoder, support, query)[2].mean() for encoder in range(ENCODERS)])
    return np.array(means).T


def true_mean(row, numbers, tasks=25):
    """Mean macro F1 of each of other worlds of the same source, from few tasks each: (len(numbers),)."""
    found = []
    for number in numbers:
        world = draw_world(row, number, "truth")
        support, query = draw(world, row, min(tasks, row.tasks))
        found.append(np.mean([score(world, row, encoder, support, query)[2].mean() for encoder in range(ENCODERS)]))
    return np.array(found)
