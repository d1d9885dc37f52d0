"""Whether a GPU computes what the CPU computes: features, augmentation, optimiser, mixed precision, resuming, solvers.

    python benchmarks/gpu_right.py TILES [--only WORDS] [--out JSON]

TILES: folder of benchmarks/gpu_pack.py. Prints a Markdown table; exit code 1 where a bar is missed. Without a GPU both
sides are the CPU, which only shows that the checks run.
"""

import argparse
import copy
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import numpy as np
import torch
import torch.distributed as dist
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from benchmarks._synthetic import Tissue
from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.files import write_json
from fewshot_wsi.foundation.seeds import generator
from lowshot.augmentations.latent_aug import LatentShifts
from lowshot.classifiers import PUBLISHED
from lowshot.dictionary import build_dictionary
from lowshot.prediction import predict
from openselfsup import distributed
from openselfsup.apis.recipe import load_recipe
from openselfsup.apis.train import make_model, train_pipeline
from openselfsup.bf16_training import BF16OptimWrapper
from openselfsup.checkpoint import load_file
from openselfsup.config import load_config
from openselfsup.datasets import TrainingImages, collate
from openselfsup.encoders import build_encoder
from openselfsup.images import read_image
from openselfsup.optim import LARS, build_optimizer
from openselfsup.transforms import build_pipeline

RECIPE = _ROOT / "configs/extraction/extract_feats_LC.py"
CLP = str(_ROOT / "configs/wsi_selfsup/moco_v3/r18_bs256_ep200_all.py")
DEVICE = distributed.device()


def images_of(tiles, count):
    """(count, H, W, 3) uint8."""
    listed = TrainingImages(str(tiles / "meta/test.txt"), str(tiles / "data"))
    step = max(1, len(listed) // count)
    return np.stack([read_image(listed.path(i)) for i in range(0, len(listed), step)][:count])


def features(tiles):
    """Least cosine of a tile's features on both devices: an untrained ResNet-18 as extraction runs it."""
    images = torch.from_numpy(images_of(tiles, 128)).permute(0, 3, 1, 2).contiguous()
    recipe = load_recipe(str(RECIPE))
    here, there = (build_encoder("random", None, recipe, device)(images).cpu().double()
                   for device in (torch.device("cpu"), DEVICE))
    least = float(nn.functional.cosine_similarity(here, there).min())
    return f"least cosine {least:.8f}", "≥ 0.99999", least >= 0.99999


def augmentation(tiles):
    """The same draws, image by image on the CPU and as a batch on the device. Only the CPU's operations cut levels off
    to whole numbers, half a level each on average: means and standard deviations of the levels agree up to that."""
    steps = load_config(CLP, {"data.train.pipeline.0.size": 96}).data.train.pipeline
    single, batched = (build_pipeline(steps, on_device=on_device) for on_device in (False, True))
    images = images_of(tiles, 250)
    views = [[pipeline(image, generator(0, "gpu_right", i, view))
              for i, image in enumerate(images) for view in range(8)] for pipeline in (single, batched)]
    one = np.stack([v[0] for v in views[0]]).astype(np.float64)
    raw = torch.from_numpy(np.stack([v[0] for v in views[1]])).to(DEVICE).permute(0, 3, 1, 2).float()
    many = batched.finish(raw, torch.from_numpy(np.stack([v[1] for v in views[1]])))
    many = many.permute(0, 2, 3, 1).cpu().numpy().astype(np.float64)
    apart = np.abs(one - many).mean(axis=(1, 2, 3))
    mean, spread = (np.abs(f(one, axis=(0, 1, 2)) - f(many, axis=(0, 1, 2))).max() for f in (np.mean, np.std))
    found = (f"levels: mean {mean:.2f}, standard deviation {spread:.2f} apart; an image by {apart.mean():.2f} "
             f"(worst of {len(one)}: {apart.max():.1f})")
    return found, "mean ≤ 2 of 255 levels, deviation ≤ 0.5", mean <= 2 and spread <= 0.5


def lars(tiles):
    """20 steps of LARS on given gradients, beside its formula in float64 on the CPU."""
    rng = generator(0, "gpu_right/lars")
    shapes = [(64, 3, 7, 7), (64,), (512, 512), (1,)]
    start = [rng.standard_normal(shape) for shape in shapes]
    steps = [[rng.standard_normal(shape) for shape in shapes] for _ in range(20)]
    weights = [nn.Parameter(torch.tensor(w, dtype=torch.float32, device=DEVICE)) for w in start]
    optimizer = LARS(weights, lr=0.3, momentum=0.9, weight_decay=1.5e-6)
    want, buffers = [w.copy() for w in start], [0 * w for w in start]
    for gradients in steps:
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = torch.tensor(gradient, dtype=torch.float32, device=DEVICE)
        optimizer.step()
        for i, g in enumerate(gradients):
            w = want[i]
            rate = 0.001 * np.linalg.norm(w) / (np.linalg.norm(g) + 1.5e-6 * np.linalg.norm(w))
            buffers[i] = 0.9 * buffers[i] + 0.3 * rate * (g + 1.5e-6 * w)
            want[i] = w - buffers[i]
    worst = max(np.abs(w.detach().cpu().numpy() - x).max() / np.abs(x).max()
                for w, x in zip(weights, want, strict=True))
    return f"relative difference {worst:.1e}", "≤ 1e-5", worst <= 1e-5


def mixed_precision(tiles):
    """300 iterations of CLP under bf16 and under fp16 with a loss scale: losses and weights stay finite."""
    found = []
    for wrap, options in ((BF16OptimWrapper, {}), (AmpOptimWrapper, {"dtype": "float16"})):
        if wrap is AmpOptimWrapper and DEVICE.type == "cpu":
            continue
        step, model = clp_step(tiles, partial(wrap, **options))
        losses = torch.stack([step() for _ in range(300 if DEVICE.type == "cuda" else 3)])
        finite = bool(torch.isfinite(losses).all()) and all(bool(torch.isfinite(w).all()) for w in model.parameters())
        found.append((options.get("dtype", "bfloat16"), float(losses[:10].mean()), float(losses[-10:].mean()), finite))
    return ("; ".join(f"{name}: loss {first:.2f} → {last:.2f}" for name, first, last, _ in found), "finite",
            all(finite for *_, finite in found))


def clp_step(tiles, wrapper):
    """(function that takes one CLP step on a batch of 64 and returns the loss, model)."""
    config = load_config(CLP, {"data.train.pipeline.0.size": 96,
                               "optimizer": dict(type="LARS", lr=0.3, momentum=0.9, weight_decay=1.5e-6)})
    pipeline = train_pipeline(config)
    model = make_model(config, pipeline, seed=0).train()
    optim_wrapper = wrapper(optimizer=build_optimizer(model, config.optimizer.to_dict()))
    samples = []
    for i, image in enumerate(images_of(tiles, 64)):
        views = [pipeline(image, generator(0, "gpu_right/clp", i, view)) for view in range(2)]
        samples.append({"images": np.stack([v[0] for v in views]), "parameters": np.stack([v[1] for v in views]),
                        "labels": -1, "skipped": 0})
    batch = collate(samples)

    def step():
        loss = model.train_step(batch, optim_wrapper)["loss"].detach()
        model.momentum_update()
        return loss
    return step, model


def float32_step(tiles):
    """Three CLP steps in float32 on both devices (TF32 off): the losses."""
    losses = []
    for device in (torch.device("cpu"), DEVICE):
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False, deterministic=True):
            step, model = clp_step(tiles, OptimWrapper)
            losses.append([_on(device, step, model) for _ in range(3)])
    apart = np.abs(np.array(losses[0]) - losses[1]).max()
    return f"losses {apart:.1e} apart", "≤ 1e-3", apart <= 1e-3


def _on(device, step, model):
    model.to(device)
    model.data_preprocessor.to(device)
    return float(step())


def resume(tiles):
    """`tools/train.py --deterministic`, killed with SIGKILL in mid-epoch and continued, ends with the same weights."""
    with tempfile.TemporaryDirectory() as scratch:
        def start(folder, *options):
            command = [sys.executable, "tools/train.py", CLP, "--deterministic", "--work_dir", f"{scratch}/{folder}",
                       *options, "--cfg-options", f"data.train.data_source.list_file={tiles}/meta/train.txt",
                       f"data.train.data_source.root={tiles}/data", "data.train.pipeline.0.size=64", "total_epochs=3",
                       "data.imgs_per_gpu=250", "data.workers_per_gpu=4", "checkpoint_config.latest_minutes=0.01"]
            return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        whole, killed = start("whole"), start("parts")
        latest = Path(scratch, "parts/latest.pth")
        while killed.poll() is None and not latest.exists():
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        at = load_file(latest)["meta"]["iter"]
        output = start("parts", "--continue_training").communicate()[0]
        output += whole.communicate()[0]
        try:
            one, other = (load_file(f"{scratch}/{name}/latest.pth")["state_dict"] for name in ("whole", "parts"))
        except UserError:
            raise RuntimeError(output) from None
    different = [name for name in one if not torch.equal(one[name], other[name])]
    return f"killed after {at} of 36 iterations, {len(different)} of {len(one)} tensors differ", "0", not different


def sync_bn(tiles):
    """SyncBatchNorm in an NCCL group of one process (gloo and BatchNorm without a GPU), beside BatchNorm."""
    os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
    distributed.start("pytorch")
    backend = dist.get_backend()
    try:
        torch.manual_seed(0)
        plain = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU()).to(DEVICE)
        copied = copy.deepcopy(plain)
        synced = nn.SyncBatchNorm.convert_sync_batchnorm(copied) if DEVICE.type == "cuda" else copied
        x = torch.randn(8, 3, 24, 24, device=DEVICE)
        outputs = []
        for model in (plain, synced):
            y = model(x)
            (y**2).mean().backward()
            outputs.append((y.detach(), model[0].weight.grad, model[1].running_var))
        apart = max(float((a - b).abs().max()) for a, b in zip(*outputs, strict=True))
    finally:
        distributed.stop()
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            del os.environ[name]
    return f"{backend}: outputs, gradients, statistics {apart:.1e} apart", "≤ 1e-4", apart <= 1e-4


def solvers(tiles):
    """Predictions with sampled latent augmentation on the device and on the CPU, 5 and 9 ways, 1 and 10 shots."""
    device = "cuda" if DEVICE.type == "cuda" else "torch-cpu"
    equal, total = dict.fromkeys(PUBLISHED, 0), 0
    for ways in (5, 9):
        tissue = Tissue("")
        base, (x, y) = (tissue.draw([size] * ways, f"{ways}/{part}")
                        for part, size in (("base", 600), ("tasks", 300)))
        augmentation = LatentShifts(build_dictionary(base[0]), 100)
        for shots in (1, 10):
            rng = generator(0, "gpu_right/tasks", ways, shots)
            rows = [np.concatenate([rng.permutation(np.flatnonzero(y == c))[:shots + 15] for c in range(ways)])
                    .reshape(ways, -1) for _ in range(8)]
            support = x[np.array([r[:, :shots].ravel() for r in rows])]
            query = x[np.array([r[:, shots:].ravel() for r in rows])]
            labels = np.repeat(np.arange(ways), shots)
            total += query.shape[0] * query.shape[1]
            for clf in PUBLISHED:
                there, here = (predict(clf, support, labels, query, augmentation=augmentation, device=one)
                               for one in (device, "cpu"))
                equal[clf] += int((there == here).sum())
    shares = {clf: count / total for clf, count in equal.items()}
    return (", ".join(f"{clf} {100 * share:.2f} %" for clf, share in shares.items()), "≥ 99.9 % equal",
            min(shares.values()) >= 0.999)


CHECKS = {"features": features, "augmentation": augmentation, "LARS": lars, "float32 step": float32_step,
          "mixed precision": mixed_precision, "SyncBN": sync_bn, "solvers": solvers, "resume": resume}


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tiles", type=Path)
    p.add_argument("--only", default="", help="checks whose name holds these words")
    p.add_argument("--out", metavar="JSON", help="also write the figures there")
    args = p.parse_args(argv)
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "no GPU: both sides are the CPU"
    print(f"{name}, torch {torch.__version__}\n\n| check | found | bar | met | s |\n| --- | --- | --- | --- | --- |")
    rows = []
    for check, measure in CHECKS.items():
        if args.only not in check:
            continue
        begin = time.perf_counter()
        try:
            found, bar, met = measure(args.tiles.absolute())
        except Exception as error:  # what breaks in one check keeps no other from running
            traceback.print_exc()
            found, bar, met = f"{type(error).__name__}: {str(error)[:200]}", "", False
        rows.append(dict(check=check, found=found, bar=bar, met=bool(met), seconds=time.perf_counter() - begin))
        print(f"| {check} | {found} | {bar} | {'yes' if met else 'NO'} | {rows[-1]['seconds']:.1f} |", flush=True)
    if args.out:
        write_json(args.out, dict(device=name, torch=torch.__version__, checks=rows))
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(run_command(main))
