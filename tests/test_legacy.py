"""The authors' task trees, both ways, and what a hostile one can do: nothing."""

import io
import os
import pickle
import pickletools
import subprocess
from pathlib import Path

import numpy as np
import pytest
from _world import DIM, make_world
from scipy import stats
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import f1_score

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test import legacy
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.settings import RunSettings, TaskPlan


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path)


def object_npy(path, value, protocol=4):
    """A `.npy` as numpy writes it for objects, with any pickle inside."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (4,)})
    path.write_bytes(header.getvalue() + pickle.dumps(value, protocol=protocol))


def ragged(*arrays):
    out = np.empty(len(arrays), dtype=object)
    out[:] = arrays
    return out


def published_block(folder, name, count):
    """What the published script prints for such a tree in linear mode, written out anew: numpy, scikit-learn, scipy."""
    scores = []
    for i in range(count):
        xs, ys, xq, yq = np.load(folder / f"task_{i}" / name, allow_pickle=True)
        scores.append(f1_score(yq, RidgeClassifier().fit(xs, ys).predict(xq), average=None))
    means, halves = np.mean(scores, 0), stats.sem(scores) * stats.t.ppf(0.975, count - 1)
    pairs = [*zip(means, halves, strict=True), (means.mean(), halves.mean())]
    return [f"{100 * m:.2f} {100 * h:.2f}" for m, h in pairs]


def test_exported_trees_score_the_same_lines(world, run):
    protocol, path = world
    options = ("--num_shots", 3, "--novel_class", 3, "--protocol", path)
    done = run("wsi_workdir/tools/generate_task.py", "--task", "near", "--num_task", 12, "--model", "enc_wo_3",
               "--export_legacy", *options)
    assert done.returncode == 0, done.stderr
    done = run("wsi_workdir/distributed_meta_test.py", "--task", "near", "--num_task", 12, "--model", "enc_wo_3",
               "--solver", "sklearn", "--quiet", *options)
    assert "are both there; the file is used" in done.stderr
    folder = Path(protocol.workdir, "tasks", "near")
    assert done.stdout.splitlines()[4:] == published_block(folder, "4-way-3-shot_wo_3_enc_wo_3.npy", 12)


@pytest.mark.parametrize("keep", ["rows", "features"])
def test_a_tree_without_a_task_file_gives_the_same_tasks(world, keep):
    protocol, _ = world
    plan = TaskPlan(protocol, "mix", 2, 10)
    tasks, _ = make_tasks(plan)
    legacy.export(plan, tasks, "enc", threads=2)
    settings = RunSettings(protocol, "mix", "enc", num_shots=2, num_task=10, solver="sklearn")
    first = read_result(run_all([settings], quiet=True)[0].path)
    plan.path.unlink()
    settings.result_file.unlink()
    for file in plan.path.parent.rglob("*_enc.npy" if keep == "rows" else "*_idxs.npy"):
        file.unlink()
    again = read_result(run_all([settings], quiet=True)[0].path)
    assert again.hashes == first.hashes
    np.testing.assert_array_equal(again.predictions, first.predictions)


@pytest.mark.parametrize("mode, rows", [("linear", True), ("linear", False), ("latent_aug", True)])
def test_a_tree_alone_is_scored_by_the_features_inside_it(world, run, mode, rows):
    protocol, path = world
    plan = TaskPlan(protocol, "near", 3, 12, (3,))
    tasks, _ = make_tasks(plan)
    legacy.export(plan, tasks, "enc_wo_3")
    settings = RunSettings(protocol, "near", "enc_wo_3", mode, num_shots=3, num_task=12, novel=(3,), solver="sklearn")
    first = read_result(run_all([settings], quiet=True)[0].path)
    settings.result_file.unlink()
    plan.path.unlink()
    folder, stored = plan.path.parent, Path(protocol.workdir, "extracted_feats")
    stored.rename(stored.with_name("elsewhere"))
    for file in folder.rglob("*_idxs.npy") if not rows else ():
        file.unlink()
    done = run("wsi_workdir/distributed_meta_test.py", "--task", "near", "--num_task", 12, "--model", "enc_wo_3",
               "--num_shots", 3, "--novel_class", 3, "--mode", mode, "--solver", "sklearn", "--num_prototypes", 4,
               "--quiet", "--protocol", path)
    assert done.returncode == 0, done.stderr
    again = read_result(settings.result_file)
    np.testing.assert_array_equal(again.predictions, first.predictions)
    assert (again.sets["support_list"] is None) == (not rows)
    if mode == "linear":
        assert done.stdout.splitlines()[4:] == published_block(folder, "4-way-3-shot_wo_3_enc_wo_3.npy", 12)


def test_a_tree_that_says_two_things_of_one_tile_is_refused(world):
    protocol, _ = world
    plan = TaskPlan(protocol, "mix", 2, 3)
    legacy.export(plan, make_tasks(plan)[0], "enc")
    plan.path.unlink()
    Path(protocol.workdir, "extracted_feats/base_labels.npy").unlink()
    file = plan.path.parent / "task_1" / "4-way-2-shot_enc.npy"
    arrays = legacy.read_arrays(file)
    again = plan.path.parent / "task_2"
    legacy.write_arrays(file, [arrays[0] + 1, *arrays[1:]])
    for name in ("4-way-2-shot_idxs.npy",):
        (again / name).write_bytes((file.parent / name).read_bytes())
    legacy.write_arrays(again / file.name, arrays)
    with pytest.raises(UserError, match="another feature or label here than in a task before"):
        run_all([RunSettings(protocol, "mix", "enc", num_shots=2, num_task=3)], quiet=True)


def test_a_tree_of_another_novel_class_or_rule_is_not_taken_for_this_one(world):
    protocol, _ = world
    plan = TaskPlan(protocol, "near", 1, 2, novel=(3,))
    for name in ("4-way-1-shot_wo_2_idxs.npy", "4-way-1-shot_wo_2_enc.npy", "4-way-1-shot_distinct_enc.npy"):
        path = plan.path.parent / "task_0" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert legacy.tree_stem(plan) is None
    (path.parent / "4-way-1-shot_wo_3_enc.npy").touch()
    assert legacy.tree_stem(plan) == "4-way-1-shot_wo_3"


def test_features_that_no_store_holds_are_refused(world):
    protocol, _ = world
    plan = TaskPlan(protocol, "mix", 2, 3)
    legacy.export(plan, make_tasks(plan)[0], "enc")
    plan.path.unlink()
    for file in plan.path.parent.rglob("*_idxs.npy"):
        file.unlink()
    features = protocol.features_file("enc", "base")
    np.save(features, -np.load(features))
    with pytest.raises(UserError, match="its features are not those of .*base.npy"):
        run_all([RunSettings(protocol, "mix", "enc", num_shots=2, num_task=3)], quiet=True)


def test_trees_of_other_data_are_refused(world):
    protocol, _ = world
    plan = TaskPlan(protocol, "mix", 2, 3)
    legacy.export(plan, make_tasks(plan)[0], "enc")
    plan.path.unlink()
    settings = RunSettings(protocol, "mix", "enc", num_shots=2, num_task=3)
    one = plan.path.parent / "task_1" / "4-way-2-shot_idxs.npy"
    support, query = legacy.read_arrays(one)
    for wrong, words in (([support[::-1], query], "takes row .* but its label is"),
                         ([support + 1000, query], "but the set has 120 rows"),
                         ([support[:-1], query], "of different sizes in one tree"),
                         ([support], "expected the rows of support and query")):
        legacy.write_arrays(one, wrong)
        with pytest.raises(UserError, match=words):
            run_all([settings], quiet=True)
    one.unlink()
    (one.parent / "4-way-2-shot_enc.npy").unlink()
    with pytest.raises(UserError, match="task_1/4-way-2-shot.npy: no such file of a task tree"):
        run_all([settings], quiet=True)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_numpy_wrote_is_read_whatever_the_pickle_protocol(tmp_path, protocol):
    features = np.random.default_rng(0).random((6, DIM), dtype=np.float32)
    arrays = [features, np.arange(6), np.ones((2, DIM)), np.arange(2)]
    object_npy(tmp_path / "t.npy", ragged(*arrays), protocol)
    for got, want in zip(legacy.read_arrays(tmp_path / "t.npy"), arrays, strict=True):
        np.testing.assert_array_equal(got, want)


def test_fortran_order_and_plain_arrays_are_read(tmp_path):
    turned = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    object_npy(tmp_path / "t.npy", ragged(turned, np.arange(3)))
    np.testing.assert_array_equal(legacy.read_arrays(tmp_path / "t.npy")[0], turned)
    np.save(tmp_path / "t.npy", np.arange(30).reshape(2, 15))  # as many shots as queries: numpy makes no object array
    assert [len(rows) for rows in legacy.read_arrays(tmp_path / "t.npy")] == [15, 15]


def test_files_are_written_under_names_that_old_numpy_knows(tmp_path):
    arrays = [np.ones((3, DIM), np.float32), np.arange(3), np.ones((5, DIM), np.float32), np.arange(5)]
    legacy.write_arrays(tmp_path / "t.npy", arrays)
    with open(tmp_path / "t.npy", "rb") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        names = {argument for opcode, argument, _ in pickletools.genops(stream.read()) if opcode.name == "GLOBAL"}
    assert names == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}
    for got, want in zip(np.load(tmp_path / "t.npy", allow_pickle=True), arrays, strict=True):
        np.testing.assert_array_equal(got, want)


class Runs:
    """Unpickled freely, it makes a file."""
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function, name", [(os.system, "posix.system"), (eval, "_*builtins?_*.eval"),
                                            (subprocess.Popen, r"\w+.Popen"), (np.load, "numpy.load")])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_anything_but_arrays_is_refused_by_name(tmp_path, function, name, protocol):
    path, trace = tmp_path / "t.npy", tmp_path / "trace"
    hostile = Runs(function, f"open({str(trace)!r}, 'w')" if function is eval else f"touch {trace}")
    object_npy(path, ragged(np.ones(2), hostile, np.ones(2), np.ones(2)), protocol)
    with pytest.raises(UserError, match=f"refused, a task file holds numpy arrays only, but it asks for {name}"):
        legacy.read_arrays(path)
    assert not trace.exists()


@pytest.mark.parametrize("value, words", [
    (ragged("text", np.ones(2)), "refused, a task file holds numpy arrays of numbers only, but here is str"),
    (ragged(ragged(np.ones(2), np.ones(3)), np.ones(2)), "numbers only, but here is object"),
    ({"a": 1}, "numbers only, but here is dict"), (ragged(np.array(["a"]), np.ones(2)), "but here is <U1")])
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, value, words):
    object_npy(tmp_path / "t.npy", value)
    with pytest.raises(UserError, match=words):
        legacy.read_arrays(tmp_path / "t.npy")


def test_truncated_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "t.npy"
    legacy.write_arrays(path, [np.ones((3, DIM)), np.arange(3)])
    whole = path.read_bytes()
    for broken in (whole[:-20], whole[:100], b"", b"not numpy at all"):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="t.npy: (not a readable task file|refused)"):
            legacy.read_arrays(path)
    with pytest.raises(UserError, match="absent.npy: no such file of a task tree"):
        legacy.read_arrays(tmp_path / "absent.npy")
