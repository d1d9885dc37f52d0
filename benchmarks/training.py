"""Training step of CLP and FSP fed from memory: what each option brings, and the hours of a full run.

    python benchmarks/training.py [--size 224] [--batch 32] [--steps 5] [--tiles DIR]

Images per second, every setting timed in turns in one process. --tiles DIR adds the whole trainer input (loader,
augmentation, step) as a share of the same step fed from memory. On a GPU 'float32' has TF32 off and the other settings
have it on, and batches lie in pinned memory.
"""

import argparse
import contextlib
import itertools
import sys
import tempfile
import time
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

import numpy as np
import torch

from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.files import write_json
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.foundation.seeds import generator
from openselfsup import distributed
from openselfsup.apis.train import make_model, make_optim_wrapper, train_pipeline
from openselfsup.config import load_config
from openselfsup.datasets import batch_of, build_dataset, build_loader, workers_for, workers_of
from openselfsup.sampler import BatchSampler

CONFIGS = {"CLP": "configs/wsi_selfsup/moco_v3/r18_bs256_ep200_all.py",
           "FSP": "configs/classification/nct/r18_bs512_ep100_all.py"}
CONTIGUOUS, BF16 = {"performance.channels_last": False}, {"performance.amp": True}
SETTINGS = {"float32": CONTIGUOUS, "TF32": CONTIGUOUS, "channels_last": {}, "bf16": {**CONTIGUOUS, **BF16},
            "bf16, channels_last": BF16}
BEST = "bf16, channels_last"  # on a GPU; on a CPU bf16 needs a processor that has it
PUBLISHED_TILES = 80_000


def step_of(kind, options, size):
    """(one training step as a function of a batch, config, model) for a dict of dotted options."""
    config = load_config(str(_ROOT / CONFIGS[kind]), {**options, "data.train.pipeline.0.size": size})
    model = make_model(config, train_pipeline(config), seed=0).train()
    wrapper = make_optim_wrapper(model, config, scale_lr=False)

    def step(batch):
        model.train_step(batch, wrapper)
        if model.contrastive:
            model.momentum_update()
    return step, config, model


def batch_in_memory(kind, model, size, n, augmented):
    """What the loader would hand over. augmented: with the operations left to the device, else the step alone."""
    views, pipeline = 2 if kind == "CLP" else 1, model.data_preprocessor.pipeline
    if not augmented:
        pipeline.on_device = []
    draws = [[op.draw(generator(0, "benchmark/augment", i), size, size) for op in pipeline.on_device]
             for i in range(n * views)]
    parameters = torch.tensor(np.array([np.concatenate([*row, ()]) for row in draws]), dtype=torch.float32)
    images = torch.randint(0, 255, (n, views, size, size, 3), dtype=torch.uint8)
    return {"images": images.pin_memory() if torch.cuda.is_available() else images,
            "parameters": parameters.view(n, views, -1), "labels": torch.zeros(n, dtype=torch.int64)}


def seconds_of(name, step, batch):
    start = time.perf_counter()
    with tf32(name != "float32"):
        step(batch)
    synchronize()
    return time.perf_counter() - start


@contextlib.contextmanager
def tf32(allowed):
    """Products of float32 numbers on a GPU by TF32, or exactly."""
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=allowed)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    with flags:
        yield
    torch.backends.cuda.matmul.allow_tf32 = before


def synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(kind, settings, size, n, steps):
    """dict from setting to images per second: the fastest of `steps` rounds, in which the settings take turns."""
    ready = {}
    for name, options in settings.items():
        step, _, model = step_of(kind, options, size)
        ready[name] = (name, step, batch_in_memory(kind, model, size, n, "augmented" in name))
        seconds_of(*ready[name])  # warm-up, and compilation
    best = dict.fromkeys(ready, float("inf"))
    for _ in range(steps):
        for name, one in ready.items():
            best[name] = min(best[name], seconds_of(*one))
    return {name: n / seconds for name, seconds in best.items()}


def from_tiles(kind, setting, size, n, steps, workers, folder, list_file):
    """Images per second of loader, augmentation and step together, once the batches that workers had ahead are used."""
    options = {"data.train.data_source.list_file": str(list_file), "data.train.data_source.root": str(folder)}
    step, config, model = step_of(kind, {**SETTINGS[setting], **options}, size)
    dataset = build_dataset(config.data.train, model.data_preprocessor.pipeline, 0, "raise", "data.train")
    loader = build_loader(dataset, BatchSampler(len(dataset), n, 0), workers)
    ahead = 2 * workers
    with workers_of(loader), tf32(True):
        batches = itertools.islice(map(batch_of, loader), ahead + max(steps, ahead))
        batches = model.data_preprocessor.ahead(batches)
        for _, ready in itertools.islice(batches, ahead):
            step(ready)
        synchronize()
        start, images = time.perf_counter(), 0
        for batch, ready in batches:
            step(ready)
            images += len(batch["labels"])
        synchronize()
        return images / (time.perf_counter() - start)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side [224]")
    parser.add_argument("--batch", type=int, default=32, help="images of a batch [32]")
    parser.add_argument("--steps", type=int, default=5, help="rounds; the fastest counts [5]")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile (minutes to compile)")
    parser.add_argument("--tiles", help="folder of images: measure the whole input path too")
    parser.add_argument("--workers", type=int, help="loader workers for --tiles [5 on a GPU, half of a CPU's cores]")
    parser.add_argument("--out", metavar="JSON", help="also write the figures there")
    args = parser.parse_args(argv)
    print(f"{distributed.device()}, {torch.get_num_threads()} thread(s), {args.size}², batches of {args.batch}")
    figures = {}
    for kind in CONFIGS:
        settings = {name: options for name, options in SETTINGS.items() if name != "TF32" or torch.cuda.is_available()}
        if kind == "FSP":
            settings["fused SGD, channels_last"] = {"optimizer.fused": True}
        if torch.cuda.is_available():
            settings[f"{BEST}, augmented"] = BF16
        if args.compile:
            settings["compiled, channels_last"] = {"performance.compile": True}
            settings[f"compiled, {BEST}"] = {"performance.compile": True, **BF16}
        found = figures[kind] = measure(kind, settings, args.size, args.batch, args.steps)
        for name, rate in found.items():
            hours = PUBLISHED_TILES * (200 if kind == "CLP" else 100) / rate / 3600
            print(f"{kind}  {name:31s} {rate:8.1f} images/s  {rate / found['float32']:5.2f}×  whole recipe on 80,000 "
                  f"tiles: {hours:,.1f} h")
        if args.tiles:
            found["from tiles"] = _tiles(kind, args, found)
    if args.out:
        write_json(args.out, dict(size=args.size, batch=args.batch, device=str(distributed.device()),
                                  images_per_second=figures))


def _tiles(kind, args, found):
    names = sorted(str(path.relative_to(args.tiles)) for path in Path(args.tiles).rglob("*")
                   if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".tif", ".tiff"})
    if not names:
        raise UserError(f"{args.tiles}: no images there")
    setting = BEST if torch.cuda.is_available() else "channels_last"
    workers = args.workers or workers_for(5, 1)
    wanted = args.batch * (2 * workers + max(args.steps, 2 * workers))  # images in all, some of them several times
    names *= -(-wanted // len(names))
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch, "list.txt")
        write_list(listed, names, [0] * len(names))
        rate = from_tiles(kind, setting, args.size, args.batch, args.steps, workers, args.tiles, listed)
    share = 100 * rate / found[setting]
    print(f"{kind}  {'from tiles':31s} {rate:8.1f} images/s with {workers} workers, {share:.0f} % of the step fed from "
          f"memory ({setting})", flush=True)
    return rate


if __name__ == "__main__":
    sys.exit(run_command(main))
