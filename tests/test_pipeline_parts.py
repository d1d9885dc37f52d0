"""Parts of the pipeline alone: records, lists from folders, what a plan needs, the table."""
import contextlib
import os
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT

from fewshot_wsi.commands import run_protocol
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import read_list, write_list
from fewshot_wsi.meta_test.novel_classes import parse_novel
from fewshot_wsi.meta_test.protocol import ModelEntry, build_protocol, load_protocol
from fewshot_wsi.pipeline import summary
from fewshot_wsi.pipeline.data import make_data
from fewshot_wsi.pipeline.listing import list_folder, write_if_other, write_without_classes
from fewshot_wsi.pipeline.plan import Plan
from fewshot_wsi.pipeline.pretraining import Pretraining
from fewshot_wsi.pipeline.records import ImageHashes, Records, Step

PAPER = str(ROOT / "configs/protocols/paper.py")


def step(folder, inputs, **more):
    return Step("make", "thing", lambda again: None, lambda: inputs, (folder / "out.txt",), **more)


def test_a_step_is_finished_while_inputs_and_outputs_are_what_they_were(tmp_path):
    records = Records(tmp_path / "records")
    (tmp_path / "out.txt").write_text("right")
    one = step(tmp_path, {"list": "a", "config": "b"})
    assert records.unfinished(one, one.inputs()) == "no record of it"
    records.save(one, one.inputs())
    assert records.unfinished(one, one.inputs()) == ""
    assert records.unfinished(one, {"list": "c", "config": "b", "new": 1}) == "list, new changed"
    os.utime(tmp_path / "out.txt", (0, 0))
    assert records.unfinished(one, one.inputs()) == ""
    (tmp_path / "out.txt").write_text("other")
    assert "is not what it was" in records.unfinished(one, one.inputs())
    (tmp_path / "out.txt").unlink()
    assert "is missing" in records.unfinished(one, one.inputs())


def test_a_fresh_start_forgets_a_step_and_clears_its_unfinished_work(tmp_path):
    records = Records(tmp_path / "records")
    (tmp_path / "out.txt").write_text("right")
    (tmp_path / "scratch").mkdir()
    one = step(tmp_path, {}, clear=(tmp_path / "scratch").rmdir)
    records.save(one, {})
    records.forget(one)
    assert not records.made(one) and records.unfinished(one, {}) == "no record of it"
    assert not (tmp_path / "scratch").exists() and (tmp_path / "out.txt").exists()  # replaced by the step itself


def test_image_hashes_follow_contents_and_names_not_dates(tmp_path):
    (tmp_path / "a.png").write_bytes(b"1")
    (tmp_path / "b.png").write_bytes(b"2")

    def now(names=("a.png", "b.png")):
        return ImageHashes(tmp_path / "cache").of(tmp_path, names)

    before = now()
    os.utime(tmp_path / "a.png", (1, 1))
    assert now() == before and now(("b.png", "a.png")) == before
    stat = (tmp_path / "a.png").stat()
    (tmp_path / "a.png").write_bytes(b"3")
    os.utime(tmp_path / "a.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same date
    assert now() != before
    assert now(("a.png",)) != now(("b.png",))


def make_folders(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_folders_become_lists_by_class_name_or_number(tmp_path):
    make_folders(tmp_path, ["s2/1/b.jpg", "s1/0/a.PNG", "s1/1/with space.tif", "s1/0/notes.txt", "loose.png"])
    names, labels = list_folder(tmp_path, ("benign", "tumour"))
    assert names == ["s1/0/a.PNG", "s1/1/with space.tif", "s2/1/b.jpg"] and labels.tolist() == [0, 1, 1]
    make_folders(tmp_path / "more", ["train/tumour/1.png", "train/benign/1.png"])
    assert list_folder(tmp_path / "more", ("benign", "tumour"))[1].tolist() == [0, 1]


def test_class_names_go_before_numbers(tmp_path):
    make_folders(tmp_path, ["benign/0/a.png", "benign/1/b.png", "tumour/0/c.png", "tumour/1/d.png"])  # slides by number
    assert list_folder(tmp_path, ("benign", "tumour"))[1].tolist() == [0, 0, 1, 1]
    make_folders(tmp_path / "n", ["1/a.png", "2/b.png", "3/c.png"])
    assert list_folder(tmp_path / "n", ("1", "2", "3"))[0] == ["1/a.png", "2/b.png", "3/c.png"]


def test_a_missing_class_or_folder_is_named(tmp_path):
    make_folders(tmp_path, ["benign/1.png"])
    with pytest.raises(UserError, match="no images of class 'tumour'"):
        list_folder(tmp_path, ("benign", "tumour"))
    with pytest.raises(UserError, match="absent: no such folder"):
        list_folder(tmp_path / "absent", ("benign",))


def test_lists_are_written_only_when_they_differ(tmp_path):
    path = tmp_path / "list.txt"
    write_if_other(path, ["a b.png", "c.png"], np.array([0, 1]))
    inode = path.stat().st_ino
    write_if_other(path, ["a b.png", "c.png"], np.array([0, 1]))
    assert path.stat().st_ino == inode
    write_without_classes(path, (1,), tmp_path / "wo_1.txt")
    assert read_list(tmp_path / "wo_1.txt", labeled=True).names == ("a b.png",)


def test_the_paper_needs_features_of_every_model_and_dictionaries_of_those_that_augment():
    plan = Plan(load_protocol(PAPER), only=("near",))
    assert len(plan.features) == 18 and plan.features["clp_wo_7"] == ("NCT_train", "NCT_test")
    assert len(plan.dictionaries) == 18 and ("fsp_wo_0", "0", 16) in plan.dictionaries
    out = Plan(load_protocol(PAPER), only=("out",))
    assert out.features == {"fsp": ("PAIP_train", "PAIP_test"), "clp": ("PAIP_train", "PAIP_test", "NCT_train")}


def test_shards_share_all_runs_and_all_models():
    whole = Plan(load_protocol(PAPER))
    shards = [replace(whole, shard=(i, 4)) for i in (1, 2, 3, 4)]
    assert sorted(d for shard in shards for d in shard.dictionaries) == sorted(whole.dictionaries)
    names = [run.result_file for shard in shards for run in shard.runs]
    assert sorted(names) == sorted(run.result_file for run in whole.all_runs) and len(set(names)) == len(names)
    assert sorted(m for shard in shards for m in shard.models) == sorted(whole.models)


def test_the_ablation_has_the_published_settings():
    plan = Plan(load_protocol(PAPER), only=("NCT_78_aug",), ablation="full")
    runs = plan.all_runs
    assert {run.num_prototypes for run in runs if run.num_aug_shots == 100 and run.mode == "latent_aug"} == {
        2, 4, 8, 16, 32, 64, 128, 256}
    squares = {i**2 for i in range(2, 17)}
    assert squares <= {run.num_aug_shots for run in runs if run.mode == "latent_aug" and run.aug_times == 0}
    assert {run.aug_times for run in runs if run.mode == "linear"} == squares | {0}
    assert {(run.aug_times, run.num_aug_shots) for run in runs if run.aug_times and run.mode == "latent_aug"} == {
        (i, i) for i in range(2, 17)}
    assert plan.views["clp_wo_78", "NCT_train"][0] == 255
    short = replace(plan, ablation="short")
    assert not short.views and {run.name for run in short.all_runs} == {r.name for r in runs if r.aug_times == 0}


def test_a_variation_with_an_unknown_setting_is_refused():
    data = load_protocol(PAPER)
    family = replace(data.tasks["NCT_78_aug"], variations=(("clp_wo_{novel}", "linear", "Ridge", {"num_shot": 3}),))
    plain = asdict(replace(data, tasks={**data.tasks, "NCT_78_aug": family}))
    plain.pop("path")
    with pytest.raises(UserError, match="no varied setting 'num_shot'"):
        build_protocol(plain)


def slides_protocol(folder, names):
    write_list(folder / "list.txt", names, [int(name.split("/")[1]) for name in names])
    make_folders(folder, names)
    image_set = dict(list=str(folder / "list.txt"), root=str(folder), classes="organ", config="none.py", slide=0)
    return build_protocol(dict(
        name="slides", workdir=str(folder / "workdir"), classes=dict(organ=["a", "b"]), sets=dict(tiles=image_set),
        models=dict(mean_rgb=dict(encoder="mean_rgb")), dictionary=dict(set="tiles", prefix="T"),
        tasks=dict(homo=dict(support="tiles", query="tiles", shots=[1], same_slide=True,
                             methods=[["mean_rgb", "linear", "Ridge"]]),
                   hetero=dict(support="tiles", query="tiles", shots=[1], methods=[["mean_rgb", "linear", "Ridge"]]))))


def test_homo_tasks_without_a_whole_slide_are_left_out_or_refused_when_asked_for(tmp_path, capsys):
    protocol = slides_protocol(tmp_path, ["s1/0/a.png", "s2/1/b.png"])
    assert Plan(protocol).tasks == ("hetero",)
    assert "homo is left out: none of the 2 slides" in capsys.readouterr().err
    with pytest.raises(UserError, match="homo: none of the 2 slides"):
        make_data(Plan(protocol, only=("homo",)))
    assert summary.as_text(Plan(protocol), 200).splitlines()[5].split()[-2:] == ["–", "–"]
    whole = slides_protocol(tmp_path, ["s1/0/a.png", "s2/1/b.png", "s2/0/c.png"])
    assert Plan(whole).tasks == ("homo", "hetero")


def test_homo_shots_that_no_slide_has_tiles_for_are_left_out_and_so_is_a_task_that_keeps_none(tmp_path, capsys):
    small = slides_protocol(tmp_path, ["s1/0/a.png", "s1/1/b.png", "s1/1/c.png"])

    def plan(*shots, only=()):
        return Plan(replace(small, tasks={"homo": replace(small.tasks["homo"], shots=shots)}), only=only)

    assert [run.num_shots for run in plan(1, 2, 3).all_runs] == [one.num_shots for one in plan(1, 2).task_files] == [1]
    assert "homo, 2, 3 shots, is left out: no slide on" in capsys.readouterr().err
    assert plan(2).tasks == ()
    with pytest.raises(UserError, match="homo: no slide .* holds more than 1 tiles of every class"):
        make_data(plan(2, only=("homo",)))


@pytest.mark.parametrize("shots, prototypes, said", [
    (2, 3, "class 'a' has 1 tiles in tiles, but a task needs 2"), (1, 4, "4 prototypes are asked for, but tiles has 3"),
    (1, 3, "")])
def test_too_few_images_are_said_before_anything_is_trained(tmp_path, shots, prototypes, said):
    small = slides_protocol(tmp_path, ["s1/0/a.png", "s1/1/b.png", "s1/1/c.png"])
    family = replace(small.tasks["hetero"], shots=(1, shots), methods=(("mean_rgb", "latent_aug", "Ridge"),))
    plan = Plan(replace(small, tasks={"hetero": family}, dictionary=replace(small.dictionary,
                                                                            num_prototypes=prototypes)))
    with pytest.raises(UserError, match=said) if said else contextlib.nullcontext():
        make_data(plan)


def test_expected_augmentation_leaves_out_what_has_no_closed_form(capsys):
    plan = Plan(load_protocol(PAPER), only=("mixture",), changes={"latent": "expected"})
    methods = {(run.mode, run.clf) for run in plan.all_runs}
    assert methods == {("linear", "Ridge"), ("latent_aug", "Ridge"), ("linear", "logistic_regression"),
                       ("linear", "nearest_centroid")}
    assert capsys.readouterr().err.count("\n") == 1


def test_the_table_is_of_the_setting_asked_for_and_has_one_of_variations(tmp_path, monkeypatch):
    protocol = replace(load_protocol(PAPER), workdir=str(tmp_path))
    plan = Plan(protocol, only=("NCT_78_aug",), ablation="full", changes={"solver": "sklearn"})
    for run in (Plan(protocol, only=("NCT_78_aug",)).all_runs[0], plan.all_runs[1], plan.varied[0][1]):
        run.result_file.parent.mkdir(parents=True, exist_ok=True)
        run.result_file.touch()
    line = {"mean": 0.5, "mean_of_class_half_widths": 0.01}
    monkeypatch.setattr(summary, "read_result", lambda path: SimpleNamespace(statistics={"published_last_line": line}))
    methods, variations = summary.tables(plan)
    assert methods[0] == "Results of the protocol paper with solver sklearn" and len(methods[1].columns) == 16
    column = ("NCT_78_aug", 5)
    assert set(methods[1].cells) == {(("clp", "latent_aug", "Ridge"), column)}  # not the batched one
    assert len(variations[1].rows) == 53
    assert set(variations[1].cells) == {(("clp", "latent_aug", "Ridge", setting), column) for setting in (
        "num_prototypes=2", "num_prototypes=16", "num_aug_shots=100")}  # the last two are the usual ones


def test_missing_images_are_counted_and_named(tmp_path):
    protocol = slides_protocol(tmp_path, ["s1/0/a.png", "s1/1/b.png", "s1/1/c.png"])
    for name in ("b", "c"):
        (tmp_path / f"s1/1/{name}.png").unlink()
    with pytest.raises(UserError, match="2 of 3 images are missing .* s1/1/b.png, s1/1/c.png"):
        make_data(Plan(protocol))


def command(capsys, *options):
    """(exit code, last output on stderr) of run_protocol.py, in this process."""
    code = run_protocol.main([str(option) for option in options])
    return code, capsys.readouterr().err


def test_a_missing_list_names_the_command_that_makes_it(run, tmp_path):
    done = run("wsi_workdir/run_protocol.py", "--only", "mixture", "--workdir", tmp_path)
    assert done.returncode == 2
    assert "data/LC25000/meta/img_list_labeled.txt" in done.stderr and "tools/prepare_data/lc25000.py" in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("options, said", [
    (["--stages", "meta-tst"], "no stage 'meta_tst'"), (["--only", "naer"], "did you mean 'near'"),
    (["--shard", "3/2"], "give i/n"), (["--shard", "1/2", "--stages", "tasks,meta_test"], "--shard shares the models"),
    (["--log", "configs"], "configs: a folder, where a file is needed"),
    (["--workdir", "README.md", "--protocol", "configs/protocols/quickstart.py"], "README.md: "),
    (["--protocol", "absent.py"], "no such protocol"),
    (["--tiles", "x"], "--tiles has no place"), (["--protocol", "configs/protocols/tiles.py"], "--tiles DIR")])
def test_wrong_options_are_one_line_and_code_2(capsys, monkeypatch, options, said):
    monkeypatch.chdir(ROOT)
    code, error = command(capsys, *options)
    assert code == 2 and said in error and error.count("\n") == 1


def test_a_tiles_folder_that_lacks_a_class_is_refused_before_anything_is_written(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    make_folders(tmp_path / "tiles/CRC5/data/train", [f"{name}/1.jpg" for name in ("AC", "H", "S", "T")])
    code, error = command(capsys, "--protocol", "configs/protocols/tiles.py", "--tiles", tmp_path / "tiles",
                          "--workdir", tmp_path / "work", "--stages", "data")
    assert code == 2 and "no images of class 'V'" in error
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["protocol.json"]


@pytest.mark.parametrize("name, tiles", [("quickstart", None), ("tiles", "T")])
def test_another_workdir_holds_all_that_a_protocol_makes(name, tiles):
    protocol = load_protocol(str(ROOT / f"configs/protocols/{name}.py"), tiles, "elsewhere")
    written = repr(replace(protocol, path=""))
    assert "wsi_workdir" not in written and "{workdir}" not in written and "elsewhere/meta" in written


def test_a_dry_run_writes_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    code, _ = command(capsys, "--protocol", "configs/protocols/quickstart.py", "--workdir", tmp_path / "w", "--dry_run")
    assert code == 0 and not (tmp_path / "w").exists()


def test_a_fresh_start_of_pretraining_sets_its_checkpoints_aside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    protocol = replace(load_protocol(PAPER), models={"mine": ModelEntry(config="mine.py")})
    training = Pretraining(protocol, "mine", None)
    assert training.work_dir == Path("work_dirs/mine")
    make_folders(training.work_dir, ["latest.pth"])
    make_folders(training.weights.parent, ["mine.pth"])
    training.step().clear()
    assert not training.work_dir.exists() and not training.weights.exists()
    assert Path("work_dirs/mine.old/latest.pth").is_file()


def test_a_dictionary_that_several_tasks_read_is_made_once():
    """Near asks for the dictionary without the novel class, mixture for that of the same model: one and the same."""
    plan = Plan(load_protocol(ROOT / "configs/protocols/quickstart.py"))
    folders = [(plan.protocol.dictionary_folder(model, parse_novel(tag, 9) if tag else ()), count)
               for model, tag, count in plan.dictionaries]
    assert {run.task for run in plan.all_runs if run.uses_dictionary} >= {"near", "mixture"}
    assert len(folders) == len(set(folders)) == 2
