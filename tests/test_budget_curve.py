"""F1 against labels a class: the curve is that of `evaluate`, and the answer to how many labels claims no more."""
import csv

import numpy as np
import pytest

from fewshot_wsi.commands.budget_curve import main
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.labelling.curve import answer
from lowshot import evaluate, sample_tasks
from lowshot.intervals import Interval
from lowshot.learning_curve import Point, labels_for, learning_curve


def data(per_class=40, classes=3, dim=6, spread=0.6, seed=0):
    """(x, y, slide of each row): tiles of one slide share a shift."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), per_class)
    slides = np.tile(np.arange(8), per_class * classes)[:len(y)]
    shift = rng.normal(scale=0.3, size=(8, dim))
    return (np.eye(dim)[y] + shift[slides] + rng.normal(scale=spread, size=(len(y), dim))).astype(np.float32), y, slides


def points(means, half=0.02, open_half=0.05):
    return [Point(10 * place, Interval(mean, half, 99), Interval(mean, open_half, 9), 99, "slide")
            for place, mean in enumerate(means, 1)]


def test_a_point_is_the_score_of_the_tasks_of_its_stream():
    x, y, _ = data()
    curve = list(learning_curve("Ridge", x, y, shots=(5, 1), queries=9, num_tasks=30, seed=4))
    assert [p.shots for p in curve] == [1, 5]
    tasks = sample_tasks(y, shots=5, queries=9, num_tasks=30, seed=4, setting="budget/5")
    scores = evaluate("Ridge", x, y, tasks)
    assert curve[1].closed == scores.closed and curve[1].open == scores.open


def test_with_groups_no_task_has_one_on_both_sides_and_open_intervals_are_wider():
    x, y, slides = data(per_class=80)
    curve = list(learning_curve("nearest_centroid", x, y, groups=slides, shots=(3,), queries=5, num_tasks=40,
                                resamples=12))
    tasks = sample_tasks(y, shots=3, queries=5, num_tasks=40, groups=slides, rule="grouped", setting="budget/3")
    for support, query in zip(tasks.support, tasks.query, strict=True):
        assert set(slides[support]).isdisjoint(slides[query])
    assert curve[0].f1 == evaluate("nearest_centroid", x, y, tasks).mean
    assert curve[0].open.half > curve[0].closed.half and curve[0].open.way == "bootstrap"


def test_the_curve_ends_where_the_tiles_end():
    x, y, _ = data(per_class=20)
    assert [p.shots for p in learning_curve("Ridge", x, y, shots=(1, 10, 11, 50), queries=10, num_tasks=5)] == [1, 10]
    with pytest.raises(UserError, match="class .0.: too few tiles for 15 support"):
        list(learning_curve("Ridge", x, y, shots=(15,), queries=10, num_tasks=5))


@pytest.mark.parametrize("means, target, mean, closed, opened", [
    ([0.5, 0.8, 0.89], 0.9, None, None, None),
    ([0.5, 0.91, 0.93, 0.96], 0.9, 20, 30, 40),
    ([0.5, 0.91, 0.85, 0.93], 0.9, 40, 40, None),  # falls below again at 30
    ([0.9, 0.9], 0.9, 10, None, None),
])
def test_labels_for_is_the_smallest_number_from_which_the_curve_stays_above(means, target, mean, closed, opened):
    found = labels_for(target, points(means))
    assert (found.mean, found.closed, found.open) == (mean, closed, opened)


def test_the_answer_says_where_the_curve_does_not_reach():
    line, = answer(labels_for(0.9, points([0.5, 0.83, 0.81])))
    assert "The curve does not reach it: F1 is 0.810 with 30 a class" in line and "highest: 0.830 with 20" in line
    lines = answer(labels_for(0.9, points([0.5, 0.91, 0.93])))
    assert lines[0].startswith("How many labels a class for F1 0.9? 20:")
    assert lines[1] == "With 95 % confidence for further tasks from these tiles: 30."
    assert lines[2].endswith("with 30 a class the interval begins at 0.880.")


@pytest.fixture
def world(tmp_path):
    x, y, slides = data(per_class=30)
    names = [f"{i}.png" for i in range(len(x))]
    np.save(tmp_path / "x.npy", x)
    write_list(tmp_path / "tiles.txt", names)
    with open(tmp_path / "labels.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "group"), *((name, "=abc"[label + 1], f"slide {slide}") for
                                      name, label, slide in zip(names, y, slides, strict=True))])
    return tmp_path


def test_command_writes_table_and_figure_and_answers(world, capsys):
    main([str(world / "x.npy"), "--list", str(world / "tiles.txt"), "--labeled", str(world / "labels.csv"), "--shots",
          "1", "4", "90", "--num_tasks", "20", "--queries", "4", "--resamples", "5", "--target", "0.99", "--out",
          str(world / "out")])
    out = capsys.readouterr().out
    assert "The curve does not reach it" in out and "more than 4 labels a class" in out
    with open(world / "out/budget_curve.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["labels_a_class"] for row in rows] == ["1", "4"] and rows[0]["unit"] == "group"
    for row in rows:
        assert float(row["open_low"]) < float(row["f1"]) < float(row["open_high"])
        assert f"{100 * float(row['f1']):.1f}" in out
    assert (world / "out/budget_curve.png").read_bytes().startswith(b"\x89PNG")
    assert "labels a class" in (world / "out/budget_curve.svg").read_text()


def test_one_class_and_half_a_column_of_groups_are_refused(world):
    call = [str(world / "x.npy"), "--list", str(world / "tiles.txt"), "--labeled", str(world / "few.csv"), "--out",
            str(world / "out")]
    for text, why in (("path,label\n0.png,a\n1.png,a\n", "holds 1 class"),
                      ("path,label,group\n0.png,a,s\n40.png,b,\n", "'40.png' has no group, others have"),
                      ("path,label\n0.png,a\n1.png,a\n40.png,b\n", "class 'b': too few tiles for 1 support")):
        (world / "few.csv").write_text(text)
        with pytest.raises(UserError, match=why):
            main(call)
    assert not (world / "out").exists()
