"""What an open interval is made of, and so what would narrow it: more tasks, more units, or more tiles of each unit.

The variance of the mean over tasks that comes from which units were sampled holds two effects: that of the unit, and
that of the tiles which stand for it. With w the share of the supports (or queries) that one unit, or one image, has,
random effects u of units and e of images within them give, in expectation, for sums of squared influences

    by units   C = u^2 sum_units w^2 + e^2 sum_images w^2        `intervals.unit_variance` of the units
    by images  I = (u^2 + e^2) sum_images w^2                    the same of the images

so that the part of the units is (C - I) / (1 - r), r = sum_images w^2 / sum_units w^2, and C less that is the part of
the tiles. The first shrinks with the number of units alone, the second also with the tiles of each.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lowshot.influence import Units
from lowshot.intervals import LEVEL, half_width, open_variance, unit_variance

if TYPE_CHECKING:
    from lowshot.influence import Influence

BOTH = "both sides"


@dataclass(frozen=True)
class VarianceComponents:
    """Parts of the variance of an open interval by the formula; they add up to it. Unit: squared scores."""
    tasks: float        # which tasks were sampled, and what few of them leave unknown; shrinks with their number
    sides: tuple        # of (side, part of the units, part of their tiles): 'support' and 'query', or BOTH in one
    unit: str           # what a unit is
    count: int          # smallest number of units of a class
    num_tasks: int

    @property
    def units(self) -> float:
        return sum(units for _, units, _ in self.sides)

    @property
    def tiles(self) -> float:
        return sum(tiles for _, _, tiles in self.sides)

    def half(self, tasks: int = 1, units: int = 1, tiles: int = 1, level: float = LEVEL) -> float:
        """Half-width with so many times as many tasks, units, and tiles of each unit."""
        variance = self.tasks / tasks + (self.units + self.tiles / tiles) / units
        return half_width(variance, min(self.count * units, self.num_tasks * tasks) - 1, level)


def variance_components(scores: np.ndarray, influence: "Influence", units: Units, image_influence: "Influence",
                        images: Units) -> VarianceComponents | None:
    """VarianceComponents of `intervals.open_interval(scores, influence, units)`; None where that has no half-width.

    scores: (T,); image_influence: `images.influence(…)` of the same scores; images: Units in which each image is one.
    """
    if len(scores) < 2 or units.unknown:
        return None
    found = unit_variance(influence, units)
    by_units = [max(excess, 0.0) for excess, _ in found]
    tasks = open_variance(scores, found) - sum(by_units)
    by_images = [excess for excess, _ in unit_variance(image_influence, images)]
    names, ratios = ["support", "query"], _ratios(units, images)
    if units.shared:
        names, by_images, ratios = [BOTH], [sum(by_images)], [float(np.mean(ratios))]
    sides = []
    for name, whole, single, ratio in zip(names, by_units, by_images, ratios, strict=True):
        of_units = whole if ratio > 1 - 1e-9 else min(max((whole - single) / (1 - ratio), 0.0), whole)
        if units.name == "image":
            of_units = 0.0
        sides.append((name, of_units, whole - of_units))
    return VarianceComponents(tasks, tuple(sides), units.name, units.count, len(scores))


def _ratios(units, images):
    """r of the module's docstring, of the supports and of the queries."""
    return [_concentration(of_images) / _concentration(of_units)
            for of_units, of_images in ((units.support, images.support), (units.query, images.query))]


def _concentration(numbers):
    """Sum of the squared shares of the distinct values."""
    counts = np.unique(numbers, return_counts=True)[1]
    return math.fsum((counts / numbers.size) ** 2)
