"""Data augmentation: views of support tiles, alone and times latent augmentation, and the ablation's own commands."""

from pathlib import Path

import numpy as np
import pytest
from _world import DIM, make_world
from sklearn.linear_model import RidgeClassifier

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.evaluate import StoredView
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.legacy import read_arrays
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.settings import RunSettings, TaskPlan
from fewshot_wsi.meta_test.views import views_of
from lowshot.evaluation import with_views

TASK = "NCT_78_aug"
VIEWS = 5  # augmented ones


@pytest.fixture
def world(tmp_path):
    protocol, path = make_world(tmp_path)
    plan = TaskPlan(protocol, TASK, 2, 60, (2, 3))
    tasks, _ = make_tasks(plan)
    return protocol, path, tasks


def write_views(protocol, rows=None, count=VIEWS):
    """Write augmented views of the given rows, or of all; returns (count, N, D)."""
    features = np.load(protocol.features_file("enc", "base"))
    noise = np.random.default_rng(8).standard_normal((VIEWS, *features.shape)).astype(np.float32)
    views = features + 0.1 * noise
    views /= np.linalg.norm(views, axis=2, keepdims=True)
    folder, prefix = views_of(protocol, "enc", "base")
    folder.mkdir(parents=True)
    for k, view in enumerate(views[:count]):
        np.save(folder / f"{prefix}_{k}.npy", view if rows is None else view[rows])
    if rows is not None:
        np.save(folder / f"{prefix}_rows.npy", rows.astype(np.int32))
    return views


def settings(protocol, **changes):
    return RunSettings(**{"protocol": protocol, "task": TASK, "model": "enc", "num_shots": 2, "num_task": 60,
                       "novel": (2, 3), "solver": "sklearn", **changes})


@pytest.mark.parametrize("form", ["all rows", "rows of the tasks"])
def test_a_views_is_the_original_and_a_minus_one_augmented_ones(world, form):
    protocol, _, tasks = world
    views = write_views(protocol, None if form == "all rows" else np.unique(tasks.support))
    outcome, = run_all([settings(protocol, aug_times=4)], quiet=True)
    result = read_result(outcome.path)
    base, test = (np.load(protocol.features_file("enc", name)) for name in ("base", "test"))
    labels = np.load(protocol.labels_file("base"))
    for s, q, predicted in zip(result.supports, result.queries, result.predictions, strict=True):
        x = np.concatenate([base[s], *views[:3, s]])
        want = RidgeClassifier().fit(x, np.tile(labels[s], 4)).predict(test[q])
        assert (want == predicted).mean() > 0.99
    assert result.hashes["views"] and result.config["aug_times"] == 4


def test_views_lie_tile_by_tile_with_the_original_first(world):
    protocol, _, tasks = world
    views = write_views(protocol)
    base = np.load(protocol.features_file("enc", "base"))
    folder, prefix = views_of(protocol, "enc", "base")
    rows = tasks.support[:3]
    stored = [StoredView(str(folder), prefix, number) for number in range(2)]
    got = with_views(base[rows], rows, stored).reshape(3, rows.shape[1], 3, DIM)
    np.testing.assert_array_equal(got[:, :, 0], base[rows])
    np.testing.assert_array_equal(got[:, :, 2], views[1][rows])


def test_one_view_is_no_augmentation(world):
    protocol, *_ = world
    plain, single = (read_result(run_all([settings(protocol, aug_times=times)], quiet=True)[0].path)
                     for times in (0, 1))
    np.testing.assert_array_equal(plain.predictions, single.predictions)


def test_views_times_latent_shots_run_with_every_classifier(world):
    protocol, *_ = world
    write_views(protocol)
    runs = [settings(protocol, mode="latent_aug", clf=clf, aug_times=3, num_aug_shots=3, num_prototypes=4)
            for clf in ("Ridge", "nearest_centroid")]
    for outcome in run_all(runs, quiet=True):
        assert read_result(outcome.path).f1.mean() > 0.4


@pytest.mark.parametrize("count, rows, words", [
    (2, None, r"4 views a tile are the original and 3 augmented ones, but 2 of these are there, base_aug_2.npy is "
     r"missing; extract them with python wsi_workdir/extract.py .* --views 3 --rows .*9-way|4-way-2-shot_wo_23.npz"),
    (3, np.arange(60), r"base_aug_0.npy: \d+ of \d+ rows asked for have no view here")])
def test_missing_views_are_an_error_that_says_what_makes_them(world, count, rows, words):
    write_views(world[0], rows, count)
    with pytest.raises(UserError, match=words):
        run_all([settings(world[0], aug_times=4)], quiet=True)


def test_views_of_another_width_are_refused(world):
    protocol, *_ = world
    write_views(protocol)
    folder, prefix = views_of(protocol, "enc", "base")
    np.save(folder / f"{prefix}_1.npy", np.load(folder / f"{prefix}_1.npy")[:, :-1])
    with pytest.raises(UserError, match="base_aug_1.npy: made with other weights than the features of base"):
        run_all([settings(protocol, aug_times=3)], quiet=True)


def test_the_ablation_commands_run_to_the_end(world, run):
    protocol, path, tasks = world
    write_views(protocol)
    tool = "wsi_workdir/tools/generate_aug_NCT78_task.py"
    options = ("--num_shots", 2, "--num_task", 60, "--protocol", path)
    done = run(tool, "--task", "NCT78", *options)
    assert done.returncode == 0 and "60 tasks kept" in done.stdout, done.stderr
    done = run(tool, "--task", "NCT78_aug", "--aug_times", VIEWS, "--export_legacy", *options)
    assert done.returncode == 0 and f"{VIEWS} augmented views of their support tiles are there" in done.stdout
    xs, ys, _, _ = read_arrays(Path(protocol.workdir, "tasks", TASK, "task_7", f"4-way-2-shot_aug_{VIEWS}.npy"))
    assert xs.shape == (8, VIEWS + 1, DIM) and ys.shape == (8,)
    np.testing.assert_array_equal(xs[:, 0], np.load(protocol.features_file("enc", "base"))[tasks.support[7]])
    done = run(tool, "--task", "NCT78_aug", "--overwrite", *options)
    assert done.returncode == 2 and "--overwrite belongs to --task NCT78" in done.stderr
    done = run(tool, "--aug_times", VIEWS + 1, *options)
    assert done.returncode == 2 and "base_aug_5.npy is missing" in done.stderr
    for mode, more in (("linear", ("--aug_times", 4)), ("latent_aug", ("--aug_times", 2, "--num_aug_shots", 2))):
        done = run("wsi_workdir/distributed_meta_test_wt_aug.py", "--mode", mode, *more, "--model", "enc",
                   "--num_shots", 2, "--num_prototypes", 4, "--num_threads", 1, "--protocol", path)
        assert done.returncode == 0, done.stderr
        assert "task='NCT_78_aug'" in done.stdout and f"mode: {mode} clf: Ridge" in done.stdout
