"""The commands as a user types them: training, evaluation, publishing, the launch scripts, and their errors."""
import json
import os
import re
import shutil
import socket
import sys
from pathlib import Path

import pytest
import torch
from training import CLASSES, ROOT, draw_tiles, free_port, write_config

from fewshot_wsi.commands import train
from openselfsup.apis.train import make_model, train_pipeline
from openselfsup.config import load_config
from openselfsup.options import value_of


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return draw_tiles(tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module")
def trained(tiles, tmp_path_factory):
    """Work dir of a contrastive run of two epochs watched by nearest neighbours, in this process."""
    folder = tmp_path_factory.mktemp("clp")
    config = write_config(tiles, "clp", epochs=2, batch=8)
    config.write_text(config.read_text() + "custom_hooks = [dict(type='BYOLHook', end_momentum=1.0), dict("
                      f"type='KNNHook', list_file={str(tiles / 'labeled.txt')!r}, root={str(tiles / 'data')!r}, "
                      "k=3, size=32, workers=0)]\n")
    code = train.main([str(config), "--work_dir", str(folder), "--keep", "1", "--cfg-options",
                       "checkpoint_config.interval=1", "data.workers_per_gpu=0"])
    assert code == 0
    return folder


def test_run_leaves_checkpoints_logs_and_its_config(trained):
    names = sorted(path.name for path in trained.iterdir())
    assert [re.sub(r"\d{8}_\d{6}", "TIME", name) for name in names] == [
        "TIME.log", "TIME.log.json", "clp.py", "epoch_2.pth", "latest.pth", "tf_logs"]  # --keep 1
    content = torch.load(trained / "latest.pth", weights_only=True)
    assert set(content) == {"meta", "state_dict", "optimizer", "scheduler", "random_state"}
    assert content["meta"]["epoch"] == 2 and "MOCOv3" in content["meta"]["config"] and content["meta"]["code_version"]


def test_logs_hold_what_there_is_to_watch(trained):
    records = [json.loads(line) for line in next(trained.glob("*.log.json")).read_text().splitlines()]
    training = [record for record in records if record["mode"] == "train"]
    watched = [record["knn_accuracy"] for record in records if record["mode"] == "val"]
    assert len(watched) == 3 and all(0 <= accuracy <= 1 for accuracy in watched)  # before, and after both epochs
    assert {"epoch", "iter", "lr", "momentum", "time", "data_time", "images_per_second", "loss",
            "embedding_std"} <= training[0].keys()
    text = next(trained.glob("*.log")).read_text()
    assert "Epoch [1][2/3]" in text and "eta: " in text and "effective batch size 8" in text


def test_tensorboard_holds_the_same_curves(trained):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(trained / "tf_logs"))
    events.Reload()
    assert {"train/loss", "train/lr", "train/momentum", "val/knn_accuracy"} <= set(events.Tags()["scalars"])


def test_backbone_is_extracted_and_published(trained, run, tmp_path):
    done = run("tools/extract_backbone_weights.py", trained / "latest.pth", tmp_path / "clp.pth")
    assert done.returncode == 0, done.stderr
    content = torch.load(tmp_path / "clp.pth", weights_only=True)
    assert content["author"] == "OpenSelfSup"
    assert not any(key.startswith(("backbone", "encoder")) for key in content["state_dict"])
    (tmp_path / "public.pth").write_text("something else")
    done = run("tools/publish_model.py", trained / "latest.pth", tmp_path / "public.pth")
    name = next(tmp_path.glob("public-*.pth"))
    assert re.fullmatch(r"public-[0-9a-f]{8}\.pth", name.name)
    assert (tmp_path / "public.pth").read_text() == "something else"  # the name without the hash is not taken
    assert "optimizer" not in torch.load(name, weights_only=True)


def test_classifier_is_trained_from_a_backbone_and_evaluated_by_two_processes(trained, tiles, run, tmp_path):
    config = write_config(tiles, "fsp", epochs=1, batch=6)
    done = run("bash", "tools/single_train.sh", config, "--work_dir", tmp_path, "--pretrained", trained / "latest.pth",
               "--auto_scale_lr", "--cfg-options", "optimizer_config.update_interval=2",
               env={"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert "learning rate 0.0125" in done.stdout  # 0.05 · 1 process · 2 / 8
    outputs = []
    for command in (["tools/test.py", config, tmp_path / "latest.pth", "--out", tmp_path / "one.json", "--work_dir",
                     tmp_path / "scores", "--local_rank", 0],
                    ["bash", "tools/dist_test.sh", config, 2, tmp_path / "latest.pth", "--out", tmp_path / "two.json"]):
        done = run(*command, env={"PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "PORT": free_port()})
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    scores = json.loads((tmp_path / "one.json").read_text())
    confusion = torch.tensor(scores["confusion"])
    assert confusion.sum(1).tolist() == [8] * CLASSES and scores["images"] == 24
    assert scores["accuracy"] == pytest.approx(float(confusion.diag().sum() / confusion.sum()))
    precision_recall = [2 * confusion[c, c] / (confusion[c].sum() + confusion[:, c].sum()) for c in range(CLASSES)]
    assert scores["f1"] == pytest.approx([float(value) for value in precision_recall])
    assert outputs[0] == outputs[1] and "mean F1" in outputs[0]
    kept, = (tmp_path / "scores").iterdir()
    assert re.fullmatch(r"test_\d{8}_\d{6}\.log", kept.name) and kept.read_text() == outputs[0]


def call(tmp_path, *arguments):
    """Exit code and error line of tools/train.py, in this process."""
    import contextlib
    import io

    from fewshot_wsi.foundation.errors import run_command
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream):
        code = run_command(train.main, [str(part) for part in arguments] + ["--work_dir", str(tmp_path / "run")])
    return code, stream.getvalue()


@pytest.mark.parametrize("options, words", [
    (["--gpus", "2"], "use 'bash tools/dist_train.sh"),
    (["--continue_training"], "no checkpoint to continue from"),
    (["--resume_from", "absent.pth"], "absent.pth: no such checkpoint"),
    (["--pretrained", "absent.pth"], "absent.pth: no such checkpoint"),
    (["--seed", "-1"], "--seed -1"),
    (["--keep", "0"], "checkpoint_config.keep is 0"),
    (["--cfg-options", "optimiser.lr=1"], "did you mean 'optimizer'"),
    (["--cfg-options", "data.train.data_source.list_file=absent.txt"], "absent.txt: no such list"),
    (["--cfg-options", "data.train.data_source.root=/nowhere"], "24 of 24 images are missing below /nowhere"),
    (["--cfg-options", "model.head.num_classes=2"], "is outside the 2 classes"),
    (["--cfg-options", "data.train.type=ContrastiveDataset"], "Classification does not train on a ContrastiveDataset"),
    (["--launcher", "pytorch"], "RANK is not set; start through tools/dist_train.sh"),
    (["--launcher", "slurm"], "SLURM_PROCID is not set"),
    (["--cfg-options", "optimizer.lr=1e30", "data.workers_per_gpu=0"], "the loss became .* at iteration"),
    (["--cfg-options", "optimizer.lr=1e30", "optimizer.weight_decay=1e30", "data.workers_per_gpu=0",
      "data.imgs_per_gpu=24"], r"weights became infinite .* epoch_1.pth was not saved|latest.pth was not saved"),
])
def test_faults_are_one_line_and_exit_2(tiles, tmp_path, monkeypatch, options, words):
    for name in ("RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    config = write_config(tiles, "fsp", epochs=3, batch=4)
    code, error = call(tmp_path, config, *options)
    assert code == 2 and re.search(words, error), error
    assert error.count("\n") == 1
    assert not list((tmp_path / "run").glob("*.pth")) if (tmp_path / "run").exists() else True


@pytest.mark.parametrize("kind", ["clp", "fsp"])
def test_training_begins_with_the_weights_of_the_seed_or_of_the_file(trained, tiles, tmp_path, kind):
    """At a rate of zero the weights after an epoch are those before the first iteration."""
    config = write_config(tiles, kind, epochs=1, batch=8)
    for pretrained in (None, trained / "latest.pth"):
        options = [] if pretrained is None else ["--pretrained", pretrained]
        code, error = call(tmp_path, config, *options, "--cfg-options", "optimizer.lr=0", "data.workers_per_gpu=0")
        assert code == 0, error
        state = torch.load(tmp_path / "run" / "latest.pth", weights_only=True)["state_dict"]
        loaded = load_config(config)
        loaded.model.pretrained = pretrained and str(pretrained)
        for name, weight in make_model(loaded, train_pipeline(loaded), seed=0).named_parameters():
            torch.testing.assert_close(state[name], weight.detach(), rtol=1e-6, atol=1e-7, msg=name)


def test_a_checkpoint_of_another_seed_or_kind_is_not_resumed(trained, tiles, tmp_path):
    config = write_config(tiles, "fsp", epochs=1)
    code, error = call(tmp_path, config, "--resume_from", trained / "latest.pth")
    assert code == 2 and "do not fit the model; missing: head" in error
    config = write_config(tiles, "clp", epochs=2)
    code, error = call(tmp_path, config, "--resume_from", trained / "latest.pth", "--seed", "4")
    assert code == 2 and "was made with seed 0, this run has seed 4" in error
    torch.save(torch.load(trained / "latest.pth", weights_only=True)["state_dict"], tmp_path / "bare.pth")
    code, error = call(tmp_path, config, "--resume_from", tmp_path / "bare.pth")
    assert code == 2 and "use --pretrained" in error


def test_a_checkpoint_in_the_authors_form_goes_on_as_the_run_would_have(tiles, tmp_path):
    """Their optimiser holds model.parameters() in one group: 144 tensors, of which 69 have no gradient and no state."""
    config = write_config(tiles, "clp", epochs=2, batch=8)
    more = ("--cfg-options", "checkpoint_config.interval=1", "data.workers_per_gpu=0")
    assert train.main([str(config), "--work_dir", str(tmp_path / "whole"), *more]) == 0
    own = torch.load(tmp_path / "whole" / "epoch_1.pth", weights_only=True)
    loaded = load_config(config)
    every = list(make_model(loaded, train_pipeline(loaded), seed=0).parameters())
    moving = [number for number, weight in enumerate(every) if weight.requires_grad]
    assert (len(every), len(every) - len(moving)) == (144, 69)
    state = {number: own["optimizer"]["state"][i] for i, number in enumerate(moving)}
    group = {**own["optimizer"]["param_groups"][0], "params": list(range(144))}
    content = dict(meta=dict(epoch=1, iter=own["meta"]["iter"], mmcv_version="1.0.3", time="Fri Feb 11 2022"),
                   state_dict=own["state_dict"], optimizer=dict(state=state, param_groups=[group]))
    torch.save(content, tmp_path / "theirs.pth")
    code, error = call(tmp_path, config, "--resume_from", tmp_path / "theirs.pth", *more)
    assert code == 0, error
    got, want = (torch.load(folder / "epoch_2.pth", weights_only=True)["state_dict"]
                 for folder in (tmp_path / "run", tmp_path / "whole"))
    assert got.keys() == want.keys() and all(torch.equal(got[key], want[key]) for key in want)

    state[0], state[1] = state[1], state[0]  # buffers of other tensors
    torch.save(content, tmp_path / "mixed.pth")
    code, error = call(tmp_path, config, "--resume_from", tmp_path / "mixed.pth")
    assert code == 2 and "its optimiser state does not fit this config (momentum_buffer of shape (64,)" in error


def test_a_truncated_image_in_the_middle_of_an_epoch(tmp_path):
    tiles = draw_tiles(tmp_path / "t", count=12)
    path = tiles / "data/class 1/tile_7.png"
    path.write_bytes(path.read_bytes()[:300])
    config = write_config(tiles, "fsp", epochs=1)
    code, error = call(tmp_path, config)
    assert code == 2 and f"{path}: does not decode" in error and error.count("\n") == 1
    code, error = call(tmp_path, config, "--cfg-options", "data.on_error=skip")
    assert code == 0, error
    log = max((tmp_path / "run").glob("*.log.json")).read_text()
    assert '"skipped_images": 1' in log


def test_srun_gets_the_published_options(tmp_path):
    """A stand-in that records how it is called, in the place of SLURM's srun."""
    recorder = tmp_path / "srun"
    recorder.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/called\n")
    recorder.chmod(0o755)
    import subprocess
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": "python9", "GPUS_PER_NODE": "4",
                   "CPUS_PER_TASK": "3", "SRUN_ARGS": "--time 10 --mem 5G"}
    config = "configs/classification/nct/r18_bs512_ep100_all.py"
    for script, rest in (("srun_train.sh", ["part", config, "16", "--dev"]),
                         ("srun_test.sh", ["part", config, "16", "c.pth", "--dev"])):
        subprocess.run(["bash", f"tools/{script}", *rest], cwd=ROOT, env=environment, check=True)
        called = Path(tmp_path, "called").read_text().split("\n")
        pairs = dict(zip(called, called[1:], strict=False))
        assert (pairs["-p"], pairs["--gres"], pairs["--ntasks"]) == ("part", "gpu:4", "16")
        assert (pairs["--ntasks-per-node"], pairs["--cpus-per-task"]) == ("4", "3")
        assert (pairs["--time"], pairs["--mem"], pairs["--launcher"]) == ("10", "5G", "slurm")
        assert "python9" in called and config in called and "--dev" in called


@pytest.mark.parametrize("text, value", [
    ("0.1", 0.1), ("1e-3", 1e-3), ("true", True), ("None", None), ("0.1,0.2", [0.1, 0.2]), ("(1, 2)", (1, 2)),
    ("[dict(a=1)]", "[dict(a=1)]"), ("[{'a': 1}]", [{"a": 1}]), ("LARS", "LARS"), ("'5'", "5"), ("a=b", "a=b"),
    ("/data/my tiles, new/x,1", "/data/my tiles, new/x,1"), ("(old) tiles/l.txt", "(old) tiles/l.txt"), ("", "")])
def test_an_option_is_a_literal_or_the_words_as_they_stand(text, value):
    found = value_of(text)
    assert found == value and type(found) is type(value)


def test_paths_with_spaces_and_commas_reach_the_training(tmp_path):
    tiles = draw_tiles(tmp_path / "my tiles, new", count=6)
    config = write_config(draw_tiles(tmp_path / "plain", count=6), "fsp", epochs=1)
    shutil.rmtree(tmp_path / "plain/data")
    code, error = call(tmp_path, config, "--cfg-options", f"data.train.data_source.root={tiles / 'data'}",
                       f"data.train.data_source.list_file={str(tiles / 'labeled.txt')!r}", "data.workers_per_gpu=0")
    assert code == 0, error
    written = load_config(tmp_path / "run" / config.name).data.train.data_source
    assert written == {"type": "ImageList", "list_file": str(tiles / "labeled.txt"), "root": str(tiles / "data")}


def test_an_option_without_a_value_is_refused(run):
    done = run("tools/train.py", "configs/quickstart/fsp.py", "--cfg-options", "total_epochs")
    assert done.returncode == 2 and "--cfg-options total_epochs: expected KEY=VALUE" in done.stderr


@pytest.mark.parametrize("script", ["train", "test", "publish_model", "count_parameters", "extract_backbone_weights"])
def test_help_has_an_example(run, script):
    done = run(f"tools/{script}.py", "--help")
    assert done.returncode == 0 and "example:" in done.stdout


def test_parameters_are_counted(run):
    done = run("tools/count_parameters.py", "configs/classification/nct/r18_bs512_ep100_all.py")
    assert "11,176,512" in done.stdout and "4,617" in done.stdout  # ResNet-18 without classifier; 512 · 9 + 9


TWO = """
import os, sys, torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from openselfsup import distributed
from openselfsup.models import build_model
from openselfsup.models.preprocess import Preprocess
from openselfsup.transforms import build_pipeline

distributed.start("pytorch")
torch.manual_seed(0)
model = build_model(dict(type="Classification", backbone=dict(type="ResNet", norm_cfg=dict(type="SyncBN")),
                    head=dict(type="ClsHead", in_channels=512, num_classes=3)), Preprocess(build_pipeline([]))).eval()
images, labels = torch.randn(8, 3, 32, 32), torch.arange(8) % 3
half = slice(4 * distributed.rank(), 4 * distributed.rank() + 4)
wrapped = MMDistributedDataParallel(model)
wrapped(images[half], labels[half], mode="loss")["loss"].backward()
shared = {name: weight.grad.clone() for name, weight in model.named_parameters()}
model.zero_grad()
model(images, labels)["loss"].backward()
for name, weight in model.named_parameters():
    torch.testing.assert_close(shared[name], weight.grad, rtol=1e-4, atol=1e-6)
rows = torch.full((2, 1), float(distributed.rank()))
assert distributed.gather_rows(rows).ravel().tolist() == [0, 0, 1, 1]
model.train()(images, labels)  # BN in training mode: where processes cannot share statistics, each has its own
distributed.stop()
"""


def test_two_processes_have_the_gradients_of_one_with_the_joint_batch(tmp_path, run):
    script = tmp_path / "two.py"
    script.write_text(TWO)
    done = run(sys.executable, "-m", "openselfsup.launch", "--nproc_per_node", 2, "--master_port", free_port(), script,
               env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr


def test_batched_augmentation_and_bf16_train_on_any_device(tiles, tmp_path):
    config = write_config(tiles, "clp", epochs=1, batch=8)
    code, error = call(tmp_path, config, "--cfg-options", "performance.device_augmentation=True",
                       "performance.amp=True", "model.negatives=gathered", "model.momentum_buffers=True",
                       "data.workers_per_gpu=0")
    assert code == 0, error


def test_a_contrastive_run_needs_the_hook_that_moves_its_keys(tiles, tmp_path):
    config = write_config(tiles, "clp")
    code, error = call(tmp_path, config, "--cfg-options", "custom_hooks=[]")
    assert code == 2 and "the key encoder would never move" in error


def test_a_fault_of_all_processes_is_told_once(tiles, tmp_path, run):
    config = write_config(tiles, "clp")
    done = run("bash", "tools/dist_train.sh", config, 2, "--work_dir", tmp_path, "--cfg-options",
               "data.train.data_source.list_file=absent.txt",
               env={"PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "PORT": free_port()})
    assert done.returncode == 2
    assert done.stderr.count("absent.txt: no such list") == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize("script, count", [("dist_train.sh", "0"), ("dist_train.sh", "two"), ("srun_train.sh", "-1")])
def test_a_number_of_processes_that_is_none_is_refused(run, script, count):
    partition = ["part"] if script.startswith("srun") else []
    done = run("bash", f"tools/{script}", *partition, "configs/quickstart/fsp.py", count)
    assert done.returncode == 2
    assert done.stderr == f"error: GPUS is '{count}'; give the number of processes, a whole number from 1\n"


def test_a_port_in_use_is_told_in_one_line(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("bash", "tools/dist_train.sh", "configs/quickstart/fsp.py", 1,
                   env={"PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "PORT": str(taken.getsockname()[1])})
    assert done.returncode == 2 and "give another PORT" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("launcher, variables", [
    ("pytorch", dict(RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", MASTER_ADDR="node7", MASTER_PORT="1234")),
    ("slurm", dict(SLURM_PROCID="5", SLURM_NTASKS="8", SLURM_LOCALID="1", SLURM_NODELIST="node7", MASTER_PORT="1234")),
    ("slurm", dict(SLURM_PROCID="5", SLURM_NTASKS="8", SLURM_LOCALID="1", SLURM_NODELIST="node1,node7",
                   SLURM_STEP_NODELIST="node7", MASTER_PORT="1234")),
    ("mpi", dict(OMPI_COMM_WORLD_RANK="5", OMPI_COMM_WORLD_SIZE="8", OMPI_COMM_WORLD_LOCAL_RANK="1",
                 MASTER_ADDR="node7")),
])
def test_each_launcher_says_who_a_process_is(monkeypatch, launcher, variables):
    from openselfsup import distributed
    ours = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    for name in ours:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    distributed._environment(launcher, port=1234)
    assert [os.environ[name] for name in ours] == ["5", "8", "1", "node7", "1234"]
