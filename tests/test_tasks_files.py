"""Task files and the commands that draw them."""

import json
import shlex
import sys
from dataclasses import replace

import numpy as np
import pytest
from _world import make_world

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.novel_classes import novel_of
from fewshot_wsi.meta_test.runs import parse_shard, runs_of, task_files_of
from fewshot_wsi.meta_test.settings import TaskPlan
from lowshot.tasks import load_tasks, make_task_set, save_tasks, task_stem


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path)


def test_a_task_file_reads_back_with_its_identity(tmp_path):
    rows = np.arange(24).reshape(2, 12)
    made = make_task_set(rows, rows + 5, 4, {"seed": 1})
    save_tasks(tmp_path / "t.npz", made)
    read = load_tasks(tmp_path / "t.npz")
    assert read.identity == made.identity and read.meta["seed"] == 1
    assert (read.num_tasks, read.ways, read.shots, read.queries) == (2, 4, 3, 3)
    assert read.first(1).identity != read.identity
    np.testing.assert_array_equal(read.support_labels, np.repeat(np.arange(4), 3))


def test_damaged_task_files_are_named(tmp_path):
    path = tmp_path / "t.npz"
    with pytest.raises(UserError, match="no such task file; make it with python MAKER"):
        load_tasks(path, "python MAKER")
    rows = np.arange(24).reshape(2, 12)
    save_tasks(path, make_task_set(rows, rows, 4, {}))
    whole = path.read_bytes()
    for broken in (whole[:len(whole) // 2], b"no zip", b""):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="not a readable task file"):
            load_tasks(path)
    save_tasks(path, replace(make_task_set(rows, rows, 4, {}), query=rows[:1]))
    with pytest.raises(UserError, match="its arrays do not fit together"):
        load_tasks(path)


def test_a_pickle_inside_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("ran",)
    np.savez(tmp_path / "t.npz", support=np.array([Evil()], dtype=object), meta="{}")
    with pytest.raises(UserError, match="not a readable task file"):
        load_tasks(tmp_path / "t.npz")


def test_names_of_task_files():
    assert task_stem(9, 5) == "9-way-5-shot"
    assert task_stem(9, 10, "78") == "9-way-10-shot_wo_78"
    assert task_stem(5, 1, None, "grouped") == "5-way-1-shot_grouped"


@pytest.mark.parametrize("sampling", ["published", "distinct", "grouped", "disjoint"])
def test_every_rule_draws_from_the_lists(world, sampling):
    protocol, _ = world
    tasks, how = make_tasks(TaskPlan(protocol, "mix", 2, 10, sampling=sampling))
    assert how == "written"
    labels = np.repeat(np.arange(4), 30)
    assert (labels[tasks.support] == tasks.support_labels).all() and (labels[tasks.query] == tasks.query_labels).all()
    if sampling == "grouped":  # groups.csv: originals are pairs of rows
        assert not any(set(s // 2) & set(q // 2) for s, q in zip(tasks.support, tasks.query, strict=True))
    assert tasks.meta["sampling"] == sampling and tasks.meta["classes"][3] == "tumour"


def test_slides_serve_as_groups_where_none_are_named(world):
    protocol, _ = world
    sets = {name: replace(one, groups=None) for name, one in protocol.sets.items()}
    tasks, _ = make_tasks(TaskPlan(replace(protocol, sets=sets), "mix", 2, 10, sampling="grouped"))
    slide = np.arange(120) % 6
    assert not any(set(slide[s]) & set(slide[q]) for s, q in zip(tasks.support, tasks.query, strict=True))


def test_homo_takes_slides_from_the_list(world):
    protocol, _ = world
    tasks, _ = make_tasks(TaskPlan(protocol, "out_homo", 2, 10))
    slide = np.arange(120) % 6
    assert all(len(set(row)) == 1 for row in slide[tasks.support])


def test_what_exists_stays_and_what_differs_is_not_replaced_unasked(world):
    protocol, _ = world
    plan = TaskPlan(protocol, "near", 3, 20, (3,))
    made, _ = make_tasks(plan)
    before = plan.path.read_bytes()
    assert make_tasks(plan)[1] == "kept"
    assert make_tasks(replace(plan, num_tasks=5))[1] == "kept"  # the first five of those
    with pytest.raises(UserError, match="they differ in seed.*--overwrite"):
        make_tasks(replace(plan, seed=1))
    with pytest.raises(UserError, match="20 tasks instead of 30"):
        make_tasks(replace(plan, num_tasks=30))
    assert plan.path.read_bytes() == before
    more, how = make_tasks(replace(plan, num_tasks=30), replace=True)
    assert how == "written" and more.first(20).identity == made.identity


def test_faults_of_the_data_are_named_before_anything_is_written(world):
    protocol, _ = world
    plan = TaskPlan(protocol, "out", 31, 5)
    with pytest.raises(UserError, match="class 'fat' has 30 tiles in base, but a task needs 31 support tiles"):
        make_tasks(plan)
    labels_file = protocol.labels_file("base")
    labels = np.load(labels_file)
    np.save(labels_file, np.where(labels == 2, 7, labels))
    with pytest.raises(UserError, match="label 7 is outside the 4 classes"):
        make_tasks(TaskPlan(protocol, "out", 2, 5))
    np.save(labels_file, labels[:-1])
    with pytest.raises(UserError, match="its 120 labels are not those of .*base_labels.npy"):
        make_tasks(TaskPlan(protocol, "out_homo", 2, 5))
    labels_file.unlink()
    make_tasks(TaskPlan(protocol, "out", 2, 5))  # the list has the same labels
    (protocol.labels_file("test")).unlink()
    test_list = protocol.sets["test"].list
    gone = replace(protocol, sets={**protocol.sets, "test": replace(protocol.sets["test"], list=test_list + "x")})
    with pytest.raises(UserError, match="test.txtx: no such list of the set test, nor its labels .*; make it with "
                                        "python tools/prepare_data/folder.py"):
        make_tasks(TaskPlan(gone, "out", 2, 5))
    assert not TaskPlan(protocol, "out", 31, 5).path.exists()


def test_a_row_without_a_group_is_an_error(world, tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-3]) + "\n")
    with pytest.raises(UserError, match="3 of 120 images have no group"):
        make_tasks(TaskPlan(world[0], "mix", 2, 5, sampling="grouped"))


@pytest.mark.parametrize("options, words", [
    (["--task", "near", "--num_shots", "2", "--novel_class", "9"], "novel class '9': the classes are 0 … 3"),
    (["--task", "mix", "--novel_class", "1"], "task 'mix' of .* has no novel classes"),
    (["--task", "mixx"], "no task 'mixx'; did you mean 'mix'"),
    (["--task", "mix", "--num_shots", "0"], "--num_shots is 0; give a whole number from 1"),
    (["--task", "mix", "--mode", "homo"], "no task 'mix_homo'")])
def test_wrong_options_are_one_line_and_exit_2(world, run, options, words):
    done = run("wsi_workdir/tools/generate_task.py", *options, "--protocol", world[1])
    assert done.returncode == 2 and "Traceback" not in done.stderr
    line, = done.stderr.splitlines()
    assert __import__("re").search(words, line)


def test_the_command_draws_the_same_file_in_any_process(world, run):
    protocol, path = world
    done = run("wsi_workdir/tools/generate_task.py", "--task", "out", "--mode", "homo", "--num_shots", "2",
               "--num_task", "7", "--protocol", path)
    assert done.returncode == 0, done.stderr
    plan = TaskPlan(protocol, "out_homo", 2, 7, seed=protocol.seed)
    assert str(plan.path) in done.stdout
    before = plan.path.read_bytes()
    make_tasks(plan, replace=True)
    assert plan.path.read_bytes() == before


def test_runs_and_task_files_of_the_published_protocol(run):
    code = ("import sys, json; from fewshot_wsi.meta_test.protocol import *; "
            "from fewshot_wsi.meta_test.runs import *; p = load_protocol(); "
            "print(json.dumps([[r.task, r.model, r.name, str(r.result_file)] for r in runs_of(p)])); "
            "print(json.dumps([str(t.path) for t in task_files_of(p)]))")
    done = run(sys.executable, "-c", code)
    runs, files = map(json.loads, done.stdout.splitlines())
    count = {task: sum(r[0] == task for r in runs) for task, *_ in runs}
    assert count == {"near": 270, "mixture": 30, "out": 15, "out_homo": 12, "NCT_78_aug": 2}
    assert len({r[3] for r in runs}) == len(runs)
    assert runs[0][1:] == ["fsp_wo_0", "1shot_linear_Ridge_wo_0",
                           "wsi_workdir/workdir/results/near/fsp_wo_0/1shot_linear_Ridge_wo_0.json"]
    assert len(files) == 27 + 3 + 5 + 4 + 3  # the ablation's 1 and 10 shots have no runs
    assert {f"wsi_workdir/workdir/tasks/NCT_78_aug/9-way-{shots}-shot_wo_78.npz" for shots in (1, 5, 10)} < set(files)


def test_the_command_that_makes_a_task_file_makes_that_one(world, tmp_path, run):
    protocol, _ = world
    plan = TaskPlan(protocol, "mix", 2, 5, (), "grouped", 8, str(tmp_path / "groups.csv"), str(tmp_path / "my tasks"))
    done = run(sys.executable, *shlex.split(plan.command)[1:])
    assert done.returncode == 0, done.stderr
    assert make_tasks(plan)[1] == "kept" and plan.path.parent.parent.name == "my tasks"


def test_shards_share_all_runs(world):
    protocol, _ = world
    every = runs_of(protocol)
    shards = [runs_of(protocol, shard=(i, 3)) for i in (1, 2, 3)]
    assert sorted(r.name + r.task for shard in shards for r in shard) == sorted(r.name + r.task for r in every)
    assert [r.task for r in runs_of(protocol, only="mix")] == ["mix"] * 3
    assert {plan.task for plan in task_files_of(protocol, only=["mix", "out"])} == {"mix", "out"}
    assert parse_shard("2/8") == (2, 8)
    for wrong in ("0/3", "4/3", "a/b", "3"):
        with pytest.raises(UserError, match="give i/n"):
            parse_shard(wrong)


def test_the_novel_class_is_asked_for_or_clear(world):
    protocol, _ = world
    assert novel_of(protocol, "near") == (3,)
    assert novel_of(protocol, "mix") == ()
    two = replace(protocol, tasks={**protocol.tasks, "near": replace(protocol.tasks["near"], novel_classes=(1, 3))})
    assert novel_of(two, "near", "enc_wo_3") == (3,)
    assert novel_of(two, "near", "enc_wo_3", (2,)) == (2,)
    with pytest.raises(UserError, match="give --novel_class, one of 1, 3"):
        novel_of(two, "near", "enc")
