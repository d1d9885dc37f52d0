"""One result, whatever the number of workers, the order of work or the interruptions."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from _world import make_world_with_tasks
from conftest import ROOT
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestCentroid

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test import result_header
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.inputs import Inputs
from fewshot_wsi.meta_test.results import find_results, read_result
from fewshot_wsi.meta_test.runs import runs_of, task_files_of
from fewshot_wsi.meta_test.settings import RunSettings, TaskPlan
from fewshot_wsi.meta_test.unfinished import is_done
from lowshot import evaluation

META_TEST = "wsi_workdir/distributed_meta_test.py"


@pytest.fixture
def world(tmp_path):
    return make_world_with_tasks(tmp_path)


def small_chunks(monkeypatch, size=7):
    monkeypatch.setattr(evaluation, "CHUNK_TASKS", size)


def results_of(protocol):
    """Bytes of every result JSON, by name; times and host are in the .meta.json."""
    folder = Path(protocol.workdir, "results")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")
            if not path.name.endswith(".meta.json")}


@pytest.mark.parametrize("clf, estimator", [("Ridge", RidgeClassifier), ("nearest_centroid", NearestCentroid)])
def test_f1_equals_scikit_learn_task_by_task(world, clf, estimator):
    protocol, _ = world
    settings = RunSettings(protocol, "mix", "enc", clf=clf, num_shots=2, num_task=60, solver="sklearn")
    outcome, = run_all([settings], quiet=True)
    result = read_result(outcome.path)
    features = np.load(protocol.features_file("enc", "base"))
    labels = np.load(protocol.labels_file("base"))
    for s, q, f1 in zip(result.supports, result.queries, result.f1, strict=True):
        predicted = estimator().fit(features[s], labels[s]).predict(features[q])
        np.testing.assert_allclose(f1_score(labels[q], predicted, average=None, labels=range(4), zero_division=0), f1)
    assert result.statistics["macro_f1"]["mean"] == pytest.approx(result.f1.mean())
    assert result.class_groups == {"soft": [0, 1], "hard": [2, 3]}
    assert result.sets["support_groups"].endswith("groups.csv")


def test_the_device_stays_in_one_process_while_workers_do_the_rest(world, monkeypatch):
    many = pytest.importorskip("lowshot.solvers.many", reason="PyTorch is not installed")
    protocol, _ = world
    small_chunks(monkeypatch)
    calls, real = [], many.sampled
    monkeypatch.setattr(many, "sampled", lambda clf, support, *rest: calls.append(len(support)) or
                        real(clf, support, *rest))
    runs = runs_of(protocol, only="near")
    predictions = {}
    for device, workers in (("cpu", 1), ("torch-cpu", 2)):
        for run in runs:
            run.result_file.unlink(missing_ok=True)
        done = run_all([replace(run, device=device) for run in runs], workers=workers, quiet=True)
        found = [read_result(one.path) for one in done]
        predictions[device] = np.array([one.predictions for one in found])
        used = {one.config["mode"]: one.meta["device"] for one in found}
        assert used == {"linear": "cpu", "latent_aug": device}
    assert sum(calls) == sum(run.num_task for run in runs if run.mode == "latent_aug")  # all of them in this process
    assert (predictions["cpu"] == predictions["torch-cpu"]).mean() > 0.995


def test_any_number_of_workers_gives_the_same_bytes(world, monkeypatch):
    protocol, _ = world
    small_chunks(monkeypatch)
    kept = []
    for workers in (1, 2, 3):
        outcomes = run_all(runs_of(protocol, only=("near", "mix")), workers=workers, quiet=True)
        assert not any(outcome.kept for outcome in outcomes)
        kept.append(results_of(protocol))
        shutil.rmtree(Path(protocol.workdir, "results"))
    assert len(kept[0]) == 9 and kept[0] == kept[1] == kept[2]


def test_chunks_depend_on_the_run_alone():
    assert evaluation.chunk_bounds(120, 90, 512) == [(0, 50), (50, 100), (100, 120)]
    sizes = [stop - start for start, stop in evaluation.chunk_bounds(30, 45 * 256, 512)]
    assert max(sizes) * 45 * 256 * 512 * 4 <= evaluation.CHUNK_BYTES and sum(sizes) == 30
    assert evaluation.chunk_bounds(2, 10**9, 512) == [(0, 1), (1, 2)]


def test_finished_runs_are_kept_by_content_not_by_date(world):
    protocol, _ = world
    runs = runs_of(protocol, only="out")
    told = []
    assert [o.kept for o in run_all(runs, quiet=True, on_done=told.append)] == [False]
    first, path = results_of(protocol), runs[0].result_file
    for touched in (*Path(protocol.workdir).rglob("*.npy"), *Path(protocol.workdir).rglob("*.npz")):
        os.utime(touched)
    assert [o.kept for o in run_all(runs, quiet=True, on_done=told.append)] == [True]
    assert [o.kept for o in told] == [False, True]
    features = protocol.features_file("enc", "base")
    np.save(features, np.load(features)[:, ::-1].copy())
    assert [o.kept for o in run_all(runs, quiet=True)] == [False]
    assert results_of(protocol) != first
    path.write_bytes(first[str(path.relative_to(Path(protocol.workdir, "results")))][:1000])
    assert not is_done(Inputs().prepare(runs[0]))  # half a result is none


def test_a_new_rule_of_evaluation_does_finished_runs_again(world, monkeypatch):
    protocol, _ = world
    settings = [RunSettings(protocol, "mix", "enc", num_shots=2)]
    run_all(settings, quiet=True)
    assert run_all(settings, quiet=True)[0].kept
    monkeypatch.setattr(result_header, "EVALUATION", result_header.EVALUATION + 1)
    assert not run_all(settings, quiet=True)[0].kept
    assert run_all(settings, quiet=True)[0].kept


def test_expected_augmentation_by_scikit_learn_is_refused_before_anything_is_read(world):
    with pytest.raises(UserError, match="no scikit-learn form"):
        RunSettings(world[0], "mix", "enc", "latent_aug", num_shots=2, latent="expected", solver="sklearn")


def test_a_result_names_the_groups_that_its_tasks_were_drawn_by(world, tmp_path):
    protocol, _ = world
    table = tmp_path / "other.csv"
    table.write_bytes((tmp_path / "groups.csv").read_bytes())
    for groups, named in ((None, tmp_path / "groups.csv"), (str(table), table)):
        make_tasks(TaskPlan(protocol, "mix", 2, 60, sampling="grouped", groups=groups), replace=True)
        shutil.rmtree(Path(protocol.workdir, "results"), ignore_errors=True)
        outcome, = run_all([RunSettings(protocol, "mix", "enc", num_shots=2, sampling="grouped")], quiet=True)
        assert outcome.path.name == "2shot_linear_Ridge_grouped.json"
        assert read_result(outcome.path).sets["support_groups"] == str(named)


def test_options_without_effect_make_no_other_run(world):
    protocol, _ = world
    base = RunSettings(protocol, "mix", "enc", num_shots=2)
    same = dict(num_aug_shots=7, num_prototypes=9, latent="expected", seed=9, aug_times=1, dict_folder="d",
                task_folder=f"{protocol.workdir}/tasks")
    assert replace(base, **same) == base
    assert replace(base, **same, clf="logistic_regression").latent == "sampled"
    expected = replace(base, mode="latent_aug", latent="expected")
    assert replace(expected, seed=9) == expected
    near = RunSettings(protocol, "NCT_78_aug", "enc", num_shots=2, novel=(2, 3))
    assert replace(near, novel=(3, 2)) == near
    names = {replace(base, **change).name for change in (
        {}, {"mode": "latent_aug"}, {"mode": "latent_aug", "num_aug_shots": 9}, {"clf": "Ridge"}, {"num_task": 9},
        {"mode": "latent_aug", "latent": "expected"}, {"solver": "sklearn"}, {"aug_times": 4}, {"sampling": "distinct"},
        {"mode": "latent_aug", "seed": 9}, {"task_folder": "t"}, {"task_folder": "u"},
        {"mode": "latent_aug", "dict_folder": "t"},
        {"mode": "latent_aug", "num_prototypes": 2}, {"clf": "nearest_centroid"}, {"num_shots": 1})}
    assert len(names) == 15  # clf Ridge is the default


def chunks(protocol):
    return list(Path(protocol.workdir, "results").rglob(".*/*.npy"))


def wait_for(condition, process):
    while not condition():
        if process.poll() is not None:
            raise AssertionError(f"ended before it could be killed: {process.communicate()}")
        time.sleep(0.01)


def start(*options):
    return subprocess.Popen([sys.executable, META_TEST, *map(str, options)], cwd=ROOT, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT)})


def long_run(world):
    """Options of a run that takes many chunks, its RunSettings, and its bytes when nothing disturbs it."""
    protocol, path = world
    plan, = task_files_of(protocol, only="mix", num_tasks=900)
    make_tasks(plan, replace=True)
    settings = RunSettings(protocol, "mix", "enc", "latent_aug", "logistic_regression", num_shots=2, num_task=900,
                        num_aug_shots=5, num_prototypes=4, solver="sklearn", seed=protocol.seed)
    options = ["--task", "mix", "--model", "enc", "--mode", "latent_aug", "--clf", "logistic_regression", "--num_shots",
               2, "--num_task", 900, "--num_aug_shots", 5, "--num_prototypes", 4, "--solver", "sklearn", "--quiet",
               "--protocol", path]
    run_all([settings], quiet=True)
    whole = settings.result_file.read_bytes()
    settings.result_file.unlink()
    return options, settings, whole


def test_a_killed_run_goes_on_and_ends_the_same(world):
    options, settings, whole = long_run(world)
    process = start(*options, "--num_threads", 2)
    wait_for(lambda: len(chunks(world[0])) >= 2, process)
    process.kill()
    process.communicate()  # returns when the workers have ended too: they hold its standard output
    found = len(chunks(world[0]))
    assert not settings.result_file.exists() and found >= 2
    process = start(*options, "--num_threads", 1)
    wait_for(lambda: len(chunks(world[0])) >= found + 1, process)
    process.terminate()  # a polite stop keeps finished work too
    process.communicate()
    assert process.returncode == 143 and not settings.result_file.exists()
    process = start(*options)
    assert process.communicate()[0].count("\n") == 9 and process.returncode == 0
    assert settings.result_file.read_bytes() == whole
    assert read_result(settings.result_file).meta["tasks_kept_from_earlier"] >= 50 * (found + 1)
    assert not chunks(world[0]) and not list(settings.result_file.parent.glob(".*"))


@pytest.mark.skipif(joblib.cpu_count() < 2, reason="one core: no worker processes to kill")
def test_a_killed_worker_is_one_line_and_finished_work_is_kept(world):
    options, settings, _ = long_run(world)
    process = start(*options)
    wait_for(lambda: chunks(world[0]), process)
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in Path(
        f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}
    worker = next(int(pid) for pid, command in commands.items() if "popen_loky" in command)
    os.kill(worker, signal.SIGKILL)
    err = process.communicate()[1]
    assert process.returncode == 2 and "Traceback" not in err
    assert "a worker process was killed, perhaps for want of memory; finished work is kept" in err.splitlines()[-1]
    assert chunks(world[0]) and not settings.result_file.exists()


def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bytes(world, monkeypatch):
    distributed = pytest.importorskip("distributed")
    options, settings, whole = long_run(world)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        process = start(*options, "--backend", "dask", "--scheduler", cluster.scheduler_address)
        wait_for(lambda: len(chunks(world[0])) >= 2, process)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert settings.result_file.read_bytes() == whole
    assert read_result(settings.result_file).meta["backend"] == "dask"


def test_dask_without_a_scheduler_is_one_line(world, run):
    options = ("--task", "mix", "--model", "enc", "--num_shots", 2, "--protocol", world[1], "--backend", "dask")
    done = run(META_TEST, *options)
    assert done.returncode == 2 and "needs --scheduler ADDRESS" in done.stderr.splitlines()[-1]


def test_the_printed_block_is_as_published(world, run):
    done = run(META_TEST, "--task", "near", "--num_task", 60, "--num_shots", 3, "--mode", "latent_aug", "--model",
               "enc_wo_3", "--novel_class", 3, "--num_proto", 4, "--protocol", world[1], "--stats", "--quiet")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", lines[0])
    assert lines[1] == "configs:" and re.match(
        r" Namespace\(.*model='enc_wo_3'.*novel_class=3,.*\)$", lines[2])
    assert lines[3] == "model: enc_wo_3 num_shots: 3 num_task: 60 mode: latent_aug clf: Ridge"
    figures = np.array([line.split(" ") for line in lines[4:9]], dtype=float)
    assert all(re.fullmatch(r"\d+\.\d\d \d+\.\d\d", line) for line in lines[4:9])
    np.testing.assert_allclose(figures[:-1].mean(0), figures[-1], atol=0.011)
    table = "\n".join(lines[9:])
    assert all(words in table for words in ("F1 tumour", "macro F1", "harmonic mean", "F1 novel classes", "closed"))
    result, = find_results(Path(world[0].workdir, "results"))
    np.testing.assert_allclose(figures[:-1, 0], 100 * read_result(result).f1.mean(0), atol=0.0051)
