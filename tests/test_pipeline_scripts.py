"""The shell scripts: they parse under sh and bash, run under both, keep exit codes, and say the published things."""
import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from tiny_protocol import write_protocol

from fewshot_wsi.meta_test.results import find_results

SCRIPTS = sorted((ROOT / "wsi_workdir/scripts").glob("*.sh"))
PUBLISHED = {"extract_near_domain_feats", "extract_mixture_and_out_domain_feats", "extract_ablation_feats",
             "generate_near_domain_tasks", "generate_mixture_and_out_domain_tasks", "generate_ablation_tasks",
             "near_domain", "mixture_domain", "out_domain", "ablation", "ablation_short"}
SHELLS = [shell for shell in ("sh", "bash", "dash") if shutil.which(shell)]


def shell(name, *command, **environment):
    return subprocess.run([name, *map(str, command)], cwd=ROOT, text=True, capture_output=True, timeout=600,
                          env={**os.environ, "PYTHON": sys.executable, **environment})


def test_every_published_script_is_there():
    assert {script.stem for script in SCRIPTS} >= PUBLISHED | {"quickstart"}


@pytest.mark.parametrize("name", SHELLS)
def test_scripts_parse(name):
    for script in [*SCRIPTS, ROOT / "tests/run.sh", ROOT / ".ci/run"]:
        done = shell(name, "-n", script)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SHELLS)
def test_a_script_runs_its_stage_and_its_options_reach_it(name, tmp_path):
    protocol = write_protocol(tmp_path / "p")
    done = shell(name, "wsi_workdir/scripts/generate_near_domain_tasks.sh", "--dry_run", PROTOCOL=str(protocol))
    assert done.returncode == 0, done.stderr
    assert "tasks near/9-way-1-shot_wo_8: to do" in done.stdout and "mixture" not in done.stdout


def test_a_failing_stage_keeps_its_exit_code(tmp_path):
    protocol = write_protocol(tmp_path / "p")
    done = shell("sh", "wsi_workdir/scripts/near_domain.sh", PROTOCOL=str(protocol))
    assert done.returncode == 2 and "no such features" in done.stderr


def test_output_goes_to_a_log_unless_it_is_piped(tmp_path):
    for part in ("configs", "openselfsup", "fewshot_wsi", "lowshot", "wsi_workdir/run_protocol.py"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).symlink_to(ROOT / part)
    shutil.copytree(ROOT / "wsi_workdir/scripts", tmp_path / "wsi_workdir/scripts")
    command = ["sh", str(tmp_path / "wsi_workdir/scripts/generate_ablation_tasks.sh"), "--dry_run"]
    log = tmp_path / "wsi_workdir/logs/generate_ablation_tasks.txt"
    with open(tmp_path / "out.txt", "w") as stream:  # a file, as on a cluster
        subprocess.run(command, check=True, stdout=stream, stderr=subprocess.STDOUT,
                       env={**os.environ, "PYTHON": sys.executable})
    assert log.read_text() == (tmp_path / "out.txt").read_text() != ""
    log.unlink()
    shell(*command)
    assert not log.exists()


@pytest.mark.parametrize("script", ["wsi_workdir/scripts/quickstart.sh", "tests/run.sh"])
def test_an_environment_with_an_old_python_is_refused_before_anything_is_installed(script, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text("#!/bin/sh\necho \"$@\" >> \"$0.log\"; exit 1\n")
    (tmp_path / "bin/python").chmod(0o755)
    done = shell("sh", script, VIRTUAL_ENV=str(tmp_path))
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "Python 3.11 or newer is needed" in done.stderr
    assert "pip" not in (tmp_path / "bin/python.log").read_text()


@pytest.mark.parametrize("name", SHELLS)
def test_quickstart_finds_a_folder_of_tiles_from_where_the_user_stands(name, tmp_path):
    (tmp_path / "my tiles").mkdir()
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").symlink_to(sys.executable)
    with open(ROOT / "requirements.txt") as stream:  # as if installed before
        stamp = subprocess.run(["cksum"], stdin=stream, text=True, capture_output=True, check=True).stdout
    (environment / ".few-shot-wsi-requirements.txt").write_text(stamp)
    options = ["--tiles", "my tiles", "--log", tmp_path / "log.txt", "--workdir", tmp_path / "work"]
    done = subprocess.run([name, ROOT / "wsi_workdir/scripts/quickstart.sh", *options], cwd=tmp_path, text=True,
                          capture_output=True, timeout=600,
                          env={**os.environ, "VIRTUAL_ENV": str(environment), "PYTHONPATH": os.pathsep.join(
                              path for path in sys.path if path.endswith("site-packages"))})
    assert done.returncode == 2
    assert f"{tmp_path}/my tiles/CRC5/data/train: no such folder" in done.stderr


def test_help_of_quickstart_needs_no_installation():
    done = shell("sh", "wsi_workdir/scripts/quickstart.sh", "--help")
    assert done.returncode == 0 and "--tiles DIR" in done.stdout


VIEWS = """_base_ = {base!r}
data = dict(extract=dict(pipeline=[
    dict(type='RandomResizedCrop', size=32, scale=(0.8, 1.0)), dict(type='ToTensor'),
    dict(type='Normalize', mean=[0.5, 0.5, 0.5], std=[0.2, 0.2, 0.2])]))
"""


def test_the_ablation_scripts_run_from_start_to_end(tmp_path):
    path = write_protocol(tmp_path / "p")
    (path.parent / "extract_feats_NCT_train.py").write_text((path.parent / "extract.py").read_text())
    views = VIEWS.format(base=str(ROOT / "configs/quickstart/extract.py"))
    (path.parent / "extract_feats_NCT_aug.py").write_text(views)
    protocol = json.loads(path.read_text())
    protocol["sets"]["NCT_train"]["config"] = str(path.parent / "extract_feats_NCT_train.py")
    protocol["models"] = dict(random=dict(encoder="random", novel=[7, 8]))
    protocol["tasks"] = dict(NCT_78_aug=dict(
        support="NCT_train", query="NCT_test", shots=[2], num_tasks=4, novel_classes=[[7, 8]], num_aug_shots=5,
        methods=[["random", "linear", "Ridge"], ["random", "latent_aug", "Ridge"]],
        variations=[["random", "latent_aug", "Ridge", dict(num_prototypes=2)],
                    ["random", "latent_aug", "Ridge", dict(num_aug_shots=4)],
                    ["random", "linear", "Ridge", dict(aug_times=4)],
                    ["random", "latent_aug", "Ridge", dict(aug_times=2, num_aug_shots=2)]]))
    path.write_text(json.dumps(protocol))
    drawn = shell("sh", "wsi_workdir/scripts/generate_ablation_tasks.sh", "--stages", "data", PROTOCOL=str(path))
    assert drawn.returncode == 0, drawn.stderr
    outputs = []
    for script in ("extract_ablation_feats", "ablation_short", "ablation"):
        done = shell("sh", f"wsi_workdir/scripts/{script}.sh", "--workers", "1", PROTOCOL=str(path))
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(done.stdout)
    assert len(list((path.parent / "workdir/extracted_feats/random/NCT_aug").glob("NCT_aug_[0-9].npy"))) == 3
    assert len(find_results(path.parent / "workdir/results")) == 6
    blocks = [output.count("model: random num_shots: 2 num_task: 4") for output in outputs]
    assert blocks == [0, 4, 6]  # short: those without views; the whole: those again, and those with views
