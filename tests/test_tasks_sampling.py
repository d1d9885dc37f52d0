"""Properties of the sampling rules, on pools of any size and any layout of groups."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fewshot_wsi.foundation.errors import UserError
from lowshot.sampling import NoSlideLeft, Pool, draw_tasks

CLASSES = ("fat", "gland", "muscle")


@st.composite
def pools(draw, same=None):
    """(support, query) pools; one set or two; some images repeat; groups and slides at random."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    same = draw(st.booleans()) if same is None else same
    made, start = [], 0
    for name in ("one",) if same else ("one", "two"):
        labels = rng.permutation(np.repeat(np.arange(3), rng.integers(4, 40, 3)))
        images = start + rng.integers(0, 10 * len(labels), len(labels))
        start += 0 if draw(st.booleans()) else 10 * len(labels)  # two sets may share images
        groups = rng.integers(0, draw(st.integers(1, 20)), len(labels))
        made.append(Pool(name, labels, images, groups, groups.astype(str)))
    return made[0], made[-1]


def drawn(support, query, **options):
    try:
        return draw_tasks(support, query, CLASSES, **options)
    except UserError:
        assume(False)


shape = {"shots": st.integers(1, 4), "queries": st.integers(1, 5), "seed": st.integers(0, 99)}
RULES = ("published", "distinct", "grouped", "disjoint")


@pytest.mark.parametrize("rule", RULES)
@given(pools(), st.fixed_dictionaries(shape))
@settings(max_examples=40, deadline=None)
def test_rows_have_the_labels_of_their_place(rule, pair, options):
    support, query = pair
    tasks = drawn(support, query, rule=rule, num_tasks=3, **options)
    for pool, rows, count in ((support, tasks.support, options["shots"]), (query, tasks.query, options["queries"])):
        want = np.repeat(np.arange(3), count)
        np.testing.assert_array_equal(pool.labels[rows], np.tile(want, (len(rows), 1)))
        assert rows.dtype == np.int32


@pytest.mark.parametrize("rule", ["distinct", "grouped", "disjoint"])
@given(pools(), st.fixed_dictionaries(shape))
@settings(max_examples=40, deadline=None)
def test_no_image_twice_within_support_and_within_query(rule, pair, options):
    support, query = pair
    tasks = drawn(support, query, rule=rule, num_tasks=3, **options)
    for s, q in zip(support.images[tasks.support], query.images[tasks.query], strict=True):
        assert len(set(s)) == len(s) and len(set(q)) == len(q)
        if rule != "grouped":
            assert not set(s) & set(q)


@given(pools(), st.fixed_dictionaries(shape))
@settings(max_examples=60, deadline=None)
def test_grouped_tasks_share_no_group_between_support_and_query(pair, options):
    support, query = pair
    tasks = drawn(support, query, rule="grouped", num_tasks=3, **options)
    for s, q in zip(tasks.support, tasks.query, strict=True):
        assert not set(support.groups[s]) & set(query.groups[q])


@given(pools(), st.fixed_dictionaries(shape))
@settings(max_examples=40, deadline=None)
def test_disjoint_tasks_share_no_image(pair, options):
    support, query = pair
    tasks = drawn(support, query, rule="disjoint", num_tasks=50, **options)
    seen = np.concatenate([support.images[tasks.support].ravel(), query.images[tasks.query].ravel()])
    assert len(np.unique(seen)) == len(seen)


def test_disjoint_draws_as_many_tasks_as_the_images_allow():
    labels = np.repeat([0, 1, 2], [40, 30, 21])
    pool = Pool("set", labels, np.arange(len(labels)))
    tasks = draw_tasks(pool, pool, CLASSES, shots=2, queries=5, num_tasks=1000, rule="disjoint")
    assert len(tasks.support) == 21 // 7


@pytest.mark.parametrize("rule", ["published", "distinct", "grouped"])
def test_a_task_is_the_same_alone_or_among_many(rule):
    labels = np.repeat([0, 1, 2], 50)
    pool = Pool("set", labels, np.arange(150), np.arange(150) // 3)
    options = dict(shots=3, queries=4, rule=rule, seed=7, setting="x")
    few, many = (draw_tasks(pool, pool, CLASSES, num_tasks=n, **options) for n in (4, 9))
    np.testing.assert_array_equal(few.support, many.support[:4])
    np.testing.assert_array_equal(few.query, many.query[:4])


def test_seed_and_setting_change_the_draws():
    pool = Pool("set", np.repeat([0, 1, 2], 500), np.arange(1500))
    base = dict(shots=3, queries=4, num_tasks=5)
    first, *others = (draw_tasks(pool, pool, CLASSES, **base, seed=seed, setting=setting).support
                      for seed, setting in ((0, "a"), (1, "a"), (0, "b")))
    assert not any((first == other).all() for other in others)


def test_published_repeats_queries_and_near_support_but_not_other_support():
    pool = Pool("set", np.repeat([0, 1, 2], 6), np.arange(18))
    plain = draw_tasks(pool, pool, CLASSES, shots=5, queries=15, num_tasks=20)
    near = draw_tasks(pool, pool, CLASSES, shots=5, queries=15, num_tasks=20, repeat_support=True)
    assert all(len(set(row)) == 15 for row in plain.support)
    assert any(len(set(row)) < 15 for row in near.support)
    assert all(len(set(row)) <= 18 for row in plain.query)


def test_every_tile_is_drawn_equally_often():
    pool = Pool("set", np.repeat([0, 1, 2], 20), np.arange(60), np.arange(60) // 2)
    for rule in ("published", "distinct", "grouped"):
        tasks = draw_tasks(pool, pool, CLASSES, shots=4, queries=5, num_tasks=3000, rule=rule)
        for rows, expected in ((tasks.support, 600), (tasks.query, 750)):
            counts = np.bincount(rows.ravel(), minlength=60)
            assert abs(counts - expected).max() < 6 * np.sqrt(expected)


def slides_pool():
    """Slides a and b hold all classes, c lacks muscle, d has one tile of fat."""
    slides = np.repeat(["a", "b", "c", "d"], 12)
    labels = np.tile(np.repeat([0, 1, 2], 4), 4)
    labels[24:36] = np.repeat([0, 1], 6)
    labels[36:48] = [0, *[1] * 5, *[2] * 6]
    return Pool("set", labels, np.arange(48), None, slides)


@pytest.mark.parametrize("rule", ["published", "distinct", "disjoint"])
def test_homo_mode_takes_all_shots_from_one_usable_slide(rule):
    pool = slides_pool()
    query = Pool("other", np.repeat([0, 1, 2], 200), np.arange(100, 700))
    tasks = draw_tasks(pool, query, CLASSES, shots=2, queries=5, num_tasks=20, rule=rule, same_slide=True)
    used = pool.slides[tasks.support]
    assert all(len(set(row)) == 1 for row in used) and set(used.ravel()) == {"a", "b"}
    assert tasks.left_out == [{"slide": "c", "reason": "no 'muscle'"},
                              {"slide": "d", "reason": "1 tiles of class 'fat', 2 shots are asked for"}]
    assert len(tasks.support) == (4 if rule == "disjoint" else 20)


def test_homo_mode_without_any_usable_slide_is_an_error():
    with pytest.raises(NoSlideLeft, match="no slide of set holds 5 tiles of every class"):
        draw_tasks(slides_pool(), slides_pool(), CLASSES, shots=5, queries=5, num_tasks=1, same_slide=True)


@pytest.mark.parametrize("rule, shots, queries, words", [
    ("published", 4, 1, "class 'gland' has 3 tiles in one, but a task needs 4 support tiles"),
    ("distinct", 1, 6, "class 'gland' has 3 tiles in one, but a task needs 6 query tiles"),
    ("distinct", 2, 2, "class 'gland': too few tiles for 2 support and 2 query tiles that all differ"),
    ("grouped", 1, 1, "class 'gland': no split of the groups found"),
    ("disjoint", 2, 2, "not one task can be sampled by the rule 'disjoint'")])
def test_too_few_tiles_are_an_error_that_says_which(rule, shots, queries, words):
    labels = np.repeat([0, 1, 2], [20, 3, 20])
    pool = Pool("one", labels, np.arange(43), np.where(labels == 1, 0, np.arange(43)))
    with pytest.raises(UserError, match=words):
        draw_tasks(pool, pool, CLASSES, shots=shots, queries=queries, num_tasks=1, rule=rule)


def test_grouped_needs_groups():
    pool = Pool("one", np.repeat([0, 1, 2], 20), np.arange(60))
    with pytest.raises(UserError, match="needs the groups of set one"):
        draw_tasks(pool, pool, CLASSES, shots=1, queries=1, num_tasks=1, rule="grouped")


def test_grouped_splits_few_large_groups():
    """Four slides hold everything: support tiles from all of them would leave no query."""
    labels = np.tile([0, 1, 2], 40)
    pool = Pool("one", labels, np.arange(120), np.arange(120) // 30)
    tasks = draw_tasks(pool, pool, CLASSES, shots=8, queries=8, num_tasks=10, rule="grouped")
    for s, q in zip(pool.groups[tasks.support], pool.groups[tasks.query], strict=True):
        assert not set(s) & set(q)
