"""A whole protocol on tiny drawn tiles, as a user runs it: from nothing to the table, again, changed, interrupted."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from tiny_protocol import STAGES, contents, write_protocol
from torchvision.models import resnet18

from fewshot_wsi.foundation.files import file_sha256
from fewshot_wsi.foundation.lists import read_list, write_list
from fewshot_wsi.meta_test.results import find_results, read_result


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(protocol file, workdir, output) after one run of everything."""
    folder = tmp_path_factory.mktemp("pipeline")
    path = write_protocol(folder)
    done = subprocess.run([sys.executable, "wsi_workdir/run_protocol.py", "--protocol", str(path), "--workers", "2",
                           "--log", str(folder / "log.txt")], cwd=ROOT, text=True, capture_output=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return path, folder / "workdir", done.stdout


def again(run, path, *options, code=0):
    done = run("wsi_workdir/run_protocol.py", "--protocol", path, *options)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_one_command_goes_from_nothing_to_a_table_with_every_method(finished):
    path, workdir, output = finished
    results = {p.relative_to(workdir / "results").as_posix() for p in find_results(workdir / "results")}
    assert results == {
        "near/fsp_wo_8/1shot_linear_Ridge_wo_8.json", "near/fsp_wo_8/1shot_latent_aug_Ridge_wo_8.json",
        "near/fsp_wo_8/2shot_linear_Ridge_wo_8.json", "near/fsp_wo_8/2shot_latent_aug_Ridge_wo_8.json",
        "mixture/clp/1shot_linear_logistic_regression.json", "mixture/clp/1shot_latent_aug_logistic_regression.json",
        "mixture/mean_rgb/1shot_linear_nearest_centroid.json", "out_homo/clp/3shot_linear_Ridge.json"}
    last = read_result(workdir / "results/out_homo/clp/3shot_linear_Ridge.json").statistics["published_last_line"]
    shown = f"{100 * last['mean']:.1f} ± {100 * last['mean_of_class_half_widths']:.1f}"
    assert any(line.startswith("clp linear Ridge") and shown in line for line in output.splitlines())
    assert "time of each stage" in output
    assert f"{100 * last['mean']:.2f}" in (workdir / "results/summary.md").read_text()


def test_the_log_holds_what_the_terminal_showed(finished):
    path, _, output = finished
    log = (path.parent / "log.txt").read_text()
    lines = iter(log.splitlines())  # with notices and bars between them
    assert all(line in lines for line in output.splitlines())
    assert "epoch" in log.lower()  # of the training command, a child of a child


def test_novel_classes_are_absent_from_the_training_list_alone(finished):
    path, workdir, _ = finished
    whole = read_list(path.parent / "tiles/NCT/meta/train_labeled.txt", labeled=True)
    without = read_list(workdir / "meta/wo_8_NCT_train.txt", labeled=True)
    assert set(whole.labels) - set(without.labels) == {8}
    assert without.names == tuple(name for name, label in zip(whole.names, whole.labels, strict=True) if label != 8)


def test_a_second_run_does_nothing_and_changes_nothing(finished, run):
    path, workdir, _ = finished
    before = contents(workdir)
    done = again(run, path)
    assert "begins" not in done.stdout and "$ " not in done.stdout
    assert contents(workdir) == before


def test_dates_alone_do_not_make_anything_run_again(finished, run):
    path, workdir, _ = finished
    for file in (workdir / "pretrained_weights/clp.pth", path.parent / "tiles/NCT/meta/train_labeled.txt",
                 next((path.parent / "tiles/NCT/data/train/TUM").iterdir())):
        file.touch()
    assert "begins" not in again(run, path).stdout


def test_a_damaged_feature_file_is_made_again_and_is_the_same(finished, run):
    path, workdir, _ = finished
    file = workdir / "extracted_feats/clp/LC.npy"
    before = file_sha256(file)
    with open(file, "r+b") as stream:
        stream.seek(-4, 2)
        stream.write(np.float32(0.5).tobytes())
    done = again(run, path)
    assert "extract clp/LC: begins" in done.stdout and "pretrain" not in done.stdout.replace("== pretrain", "").split(
        "time of each stage")[0]
    assert file_sha256(file) == before


def test_one_stage_alone_says_which_command_makes_what_it_lacks(tmp_path, run):
    path = write_protocol(tmp_path / "new")
    done = again(run, path, "--stages", "meta_test", code=2)
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert "run_protocol.py" in done.stderr or "generate_task.py" in done.stderr or "extract.py" in done.stderr


@pytest.mark.parametrize("option", ["--workers", "--gpus"])
def test_no_processes_at_all_are_refused(run, option):
    done = run("wsi_workdir/run_protocol.py", option, 0, "--dry_run")
    assert done.returncode == 2 and f"{option} 0" in done.stderr


def test_dry_run_names_every_step_and_touches_nothing(tmp_path, run):
    path = write_protocol(tmp_path / "new")
    done = again(run, path, "--dry_run")
    for step in ("pretrain clp: to do", "extract clp/LC: to do", "tasks near/9-way-1-shot_wo_8: to do"):
        assert step in done.stdout
    assert sorted(p.name for p in path.parent.iterdir()) == ["clp.py", "extract.py", "fsp.py", "protocol.json"]


def test_another_list_makes_what_depends_on_it_again_and_nothing_else(finished, run):
    path, workdir, _ = finished
    protocol = json.loads(path.read_text())
    lists = Path(protocol["sets"]["LC"]["list"])
    images = read_list(lists, labeled=True)
    fewer = path.parent / "fewer.txt"
    write_list(fewer, images.names[:-1], images.labels[:-1])
    protocol["sets"]["LC"]["list"] = str(fewer)
    other = path.parent / "other.json"
    other.write_text(json.dumps(protocol))
    done = again(run, other, "--stages", "pretrain,extract,tasks")
    begun = {line.split(":")[0] for line in done.stdout.splitlines() if "begins" in line}
    assert begun == {"extract clp/LC", "extract mean_rgb/LC", "tasks mixture/5-way-1-shot"}
    assert len(np.load(workdir / "extracted_feats/clp/LC.npy")) == len(images) - 1
    again(run, path)  # back to the first state, for the other tests


def test_a_part_of_the_protocol_extracts_nothing_again(finished, run):
    path, _, _ = finished
    done = again(run, path, "--only", "out_homo", "--stages", "extract")
    assert "begins" not in done.stdout and "2 finished before" in done.stdout


def test_a_fresh_start_replaces_what_the_published_commands_left_and_an_error_says_so(tmp_path, run):
    path = write_protocol(tmp_path / "p")
    again(run, path, "--stages", "data")
    extract = run("wsi_workdir/extract.py", "--protocol", path, "--model", "mean_rgb", "--sets", "LC")
    assert extract.returncode == 0, extract.stderr
    protocol = json.loads(path.read_text())
    images = read_list(protocol["sets"]["LC"]["list"], labeled=True)
    protocol["sets"]["LC"]["list"] = str(tmp_path / "fewer.txt")
    write_list(tmp_path / "fewer.txt", images.names[:-1], images.labels[:-1])
    protocol["tasks"]["mixture"]["methods"] = protocol["tasks"]["mixture"]["methods"][2:]
    path.write_text(json.dumps(protocol))
    options = "--only", "mixture", "--stages", "extract"
    assert "--fresh --stages extract replaces it" in again(run, path, *options, code=2).stderr
    again(run, path, *options, "--fresh")
    assert len(np.load(path.parent / "workdir/extracted_feats/mean_rgb/LC.npy")) == len(images) - 1


def test_features_of_the_user_need_neither_weights_nor_images(finished, tmp_path, run):
    path, workdir, _ = finished
    protocol = json.loads(path.read_text())
    shutil.copytree(workdir / "extracted_feats", tmp_path / "own/extracted_feats")
    for provenance in (tmp_path / "own/extracted_feats").rglob("*.json"):
        provenance.unlink()
    protocol |= dict(workdir=str(tmp_path / "own"), images={})
    for image_set in protocol["sets"].values():
        image_set["root"] = str(tmp_path / "nowhere")
        image_set["list"] = str(tmp_path / "nowhere/list.txt")
    protocol["tasks"].pop("out_homo")  # slides are read from the lists
    own = tmp_path / "protocol.json"
    own.write_text(json.dumps(protocol))
    done = again(run, own, "--only", "mixture", "--stages", STAGES)
    assert "its features are user-provided" in done.stdout and "train.sh" not in done.stdout
    same = "results/mixture/clp/1shot_latent_aug_logistic_regression.json"
    assert np.array_equal(read_result(tmp_path / "own" / same).predictions, read_result(workdir / same).predictions)


def test_a_whole_protocol_with_an_encoder_from_disk(tmp_path, run):
    """From a preset and its weights file to results and a report, without training."""
    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), tmp_path / "r18.pth")
    preset = str(ROOT / "configs/encoders/imagenet_resnet18.py")
    methods = [["r18", "linear", "Ridge"], ["r18", "latent_aug", "Ridge"], ["r18", "linear", "nearest_centroid"]]
    path = write_protocol(tmp_path / "p", models=dict(r18=dict(encoder=preset, weights=str(tmp_path / "r18.pth"))))
    protocol = json.loads(path.read_text())
    protocol["tasks"] = dict(mixture={**protocol["tasks"]["mixture"], "methods": methods})
    path.write_text(json.dumps(protocol))
    done = again(run, path)
    assert "== pretrain" in done.stdout and "train.sh" not in done.stdout
    workdir = path.parent / "workdir"
    made = json.loads((workdir / "extracted_feats/r18/LC.json").read_text())
    assert made["weights_sha256"] == file_sha256(tmp_path / "r18.pth") and made["dim"] == 512
    results = [read_result(found) for found in find_results(workdir / "results")]
    assert len(results) == 3 and all(result.encoder["license"] for result in results)
    assert "ImageNet" in (workdir / "report/report.html").read_text()
    torch.save(resnet18(num_classes=5).state_dict(), tmp_path / "r18.pth")  # other weights: all of it is made again
    again_done = again(run, path, "--stages", "extract,dictionary,meta_test")
    assert "weights changed" in again_done.stdout


def test_weights_in_a_package_that_is_not_installed_are_one_line(tmp_path, run):
    preset = str(ROOT / "configs/encoders/imagenet_resnet18.py")
    models = dict(r18=dict(encoder=preset, weights="package:no_such_package/x.pth"))
    path = write_protocol(tmp_path / "p", models=models)
    protocol = json.loads(path.read_text())
    protocol["tasks"] = dict(mixture={**protocol["tasks"]["mixture"], "methods": [["r18", "linear", "Ridge"]]})
    path.write_text(json.dumps(protocol))
    done = again(run, path, "--stages", "data,extract", code=2)
    assert "error: package:no_such_package/x.pth: the package is not installed; install it with: pip install " \
           "no-such-package" in done.stderr
