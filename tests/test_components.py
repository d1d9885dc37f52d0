"""What an open interval is made of: variance components against simulated effects whose sizes are known."""

import math

import numpy as np
import pytest

from lowshot.components import BOTH, variance_components
from lowshot.influence import build_units
from lowshot.intervals import open_interval

TASKS, QUERIES = 300, 20


def _world(rng, units, tiles, unit_effect, tile_effect, shared=False):
    """(scores, influence, Units, image influence, image Units) of tasks whose score is the mean effect of queries."""
    owner = np.repeat(np.arange(units), tiles)
    values = rng.normal(0, unit_effect, units)[owner] + rng.normal(0, tile_effect, len(owner))
    query = rng.integers(len(owner), size=(TASKS, QUERIES))
    support = rng.integers(len(owner), size=(TASKS, 4)) if shared else len(owner) + rng.integers(40, size=(TASKS, 4))
    owner = np.concatenate([owner, units + np.arange(40) // 4])
    scores = values[query].mean(axis=1)
    by_query = (values[query] - scores[:, None]) / QUERIES
    images = build_units(support, query, np.zeros(4, int), np.zeros(QUERIES, int))
    groups = build_units(owner[support], owner[query], np.zeros(4, int), np.zeros(QUERIES, int), "slide", query)
    return scores, groups.influence(scores, by_query), groups, images.influence(scores, by_query), images


@pytest.mark.parametrize(("units", "tiles", "unit_effect", "tile_effect"), [
    (20, 10, 1.0, 1.0), (20, 4, 0.5, 2.0), (30, 8, 1.0, 0.0), (40, 5, 0.0, 2.0)])
def test_parts_of_units_and_of_their_tiles_are_those_of_the_simulation(units, tiles, unit_effect, tile_effect):
    """New units of the same source vary the mean by u^2 / G + e^2 / (G m). Parts are never below 0, which shifts small
    ones upwards, here by less than a fifth of the sum."""
    found = [variance_components(*_world(np.random.default_rng([units, tiles, world]), units, tiles, unit_effect,
                                         tile_effect)) for world in range(60)]
    truth = unit_effect ** 2 / units, tile_effect ** 2 / (units * tiles)
    mean = [np.mean([{name: parts for name, *parts in one.sides}["query"][part] for one in found])
            for part in (0, 1)]
    assert sum(mean) == pytest.approx(sum(truth), rel=0.1)
    assert mean == pytest.approx(truth, abs=0.2 * sum(truth))


def test_parts_add_up_to_the_open_interval():
    for shared in (False, True):
        scores, influence, groups, image_influence, images = _world(np.random.default_rng(1), 15, 6, 1.0, 1.0, shared)
        parts = variance_components(scores, influence, groups, image_influence, images)
        assert parts.half() == pytest.approx(open_interval(scores, influence, groups).half)
        assert [name for name, *_ in parts.sides] == ([BOTH] if shared else ["support", "query"])
        assert min(parts.tasks, parts.units, parts.tiles) >= 0


def test_more_of_what_matters_narrows_and_more_of_the_rest_does_not():
    parts = variance_components(*_world(np.random.default_rng(2), 15, 50, 1.0, 0.0))
    assert parts.half(units=4) < 0.55 * parts.half()
    assert parts.half(tiles=4) > 0.97 * parts.half()
    parts = variance_components(*_world(np.random.default_rng(3), 15, 3, 0.0, 3.0))
    assert parts.half(tiles=4) < 0.75 * parts.half()


def test_a_single_image_a_unit_leaves_nothing_to_tell_apart():
    parts = variance_components(*_world(np.random.default_rng(4), 30, 1, 1.0, 1.0))
    name, of_units, of_tiles = parts.sides[1]
    assert of_units > 0 and of_tiles == 0
    scores, _, _, influence, images = _world(np.random.default_rng(4), 30, 5, 1.0, 1.0)
    single = variance_components(scores, influence, images, influence, images)
    assert single.units == 0 and single.tiles > 0 and math.isclose(
        single.half(), open_interval(scores, influence, images).half)


def test_without_an_open_interval_there_is_nothing_to_take_apart():
    assert variance_components(*_world(np.random.default_rng(5), 2, 50, 1.0, 1.0)) is None
