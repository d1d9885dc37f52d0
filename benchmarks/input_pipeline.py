"""Input of CLP, one core: the published Pillow pipeline beside this one, in one run, and a profile of what remains.

    python benchmarks/input_pipeline.py --tiles DIR [--size 224] [--count 100]

DIR: any folder of images (sub-folders are searched). Tiles per second of CPU time, so that other work on the machine
does not count; both crops of CLP are made of every tile. Blocks of the arrangements take turns.
"""

import argparse
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision import transforms as T

from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.files import write_json
from fewshot_wsi.foundation.seeds import generator
from openselfsup.config import load_config
from openselfsup.images import read_image
from openselfsup.transforms import build_pipeline

CONFIG = str(_ROOT / "configs/wsi_selfsup/moco_v3/r18_bs256_ep200_all.py")
SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}


def published(size):
    """torchvision's transforms on Pillow images, one by one, with the published blur and solarisation."""
    rng = np.random.default_rng(0)

    def blur(image):
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.1, 2.0)))

    def solarize(image):
        levels = np.array(image)
        return Image.fromarray(np.where(levels < 128, levels, 255 - levels))

    views = T.Compose([T.RandomResizedCrop(size, (0.2, 1.0)), T.RandomHorizontalFlip(),
                       T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.4)], 0.8), T.RandomGrayscale(0.2),
                       T.RandomApply([blur], 0.5), T.RandomApply([solarize], 0.2)])

    def make(path, number):
        image = Image.open(path).convert("RGB")
        return [np.asarray(views(image)) for _ in range(2)]
    return make


def ours(size, on_device):
    steps = load_config(CONFIG, {"data.train.pipeline.0.size": size}).data.train.pipeline
    pipeline = build_pipeline(steps, on_device=on_device)

    def make(path, number):
        image = read_image(path)
        return [pipeline(image, generator(0, "benchmark", number, view)) for view in range(2)]
    return make, pipeline


def rates(arrangements, paths, blocks=5):
    """dict from name to tiles per second of CPU time, median over `blocks` blocks taken in turns."""
    seconds = {name: [] for name in arrangements}
    for make in arrangements.values():
        make(paths[0], 0)
    for block in range(blocks):
        part = paths[block::blocks]
        for name, make in arrangements.items():
            start = time.process_time()
            for number, path in enumerate(part):
                make(path, number)
            seconds[name].append((time.process_time() - start) / len(part))
    return {name: 1 / float(np.median(values)) for name, values in seconds.items()}


def name_of(op):
    return " + ".join(type(part).__name__ for part in getattr(op, "operations", [op]))


def profile(pipeline, paths):
    """Milliseconds of CPU time a tile (two views), operation by operation."""
    spent = dict.fromkeys(["read and decode", *(name_of(op) for op in pipeline.in_worker), "random streams"], 0.0)
    names = list(spent)
    for number, path in enumerate(paths):
        at = time.process_time()

        def lap(name):
            nonlocal at
            now = time.process_time()
            spent[name] += now - at
            at = now
        whole = read_image(path)
        lap(names[0])
        for view in range(2):
            rng, image = generator(0, "benchmark", number, view), whole
            lap("random streams")
            for name, op in zip(names[1:], pipeline.in_worker, strict=False):
                image = op.apply(image, op.draw(rng, *image.shape[:2]))
                lap(name)
    return {name: 1000 * seconds / len(paths) for name, seconds in spent.items()}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", required=True, help="folder of images")
    parser.add_argument("--size", type=int, default=224, help="pixels of a crop's side [224]")
    parser.add_argument("--count", type=int, default=100, help="tiles to measure on [100]")
    parser.add_argument("--out", metavar="JSON", help="also write the figures there")
    args = parser.parse_args(argv)
    paths = sorted(path for path in Path(args.tiles).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"{args.tiles}: no images in it")
    paths = [paths[i] for i in np.linspace(0, len(paths) - 1, min(args.count, len(paths))).astype(int)]
    torch.set_num_threads(1)
    cv2.setNumThreads(0)

    worker_and_core, pipeline = ours(args.size, on_device=False)
    worker_only, _ = ours(args.size, on_device=True)
    found = rates({"published, Pillow": published(args.size), "this, all on the CPU": worker_and_core,
                   "this, rest on the GPU": worker_only}, paths)
    base = found["published, Pillow"]
    print(f"{len(paths)} tiles, two crops of {args.size} × {args.size}, one core\n{'':24s} tiles/s   ratio")
    for name, rate in found.items():
        print(f"{name:24s} {rate:7.0f} {rate / base:7.1f}")
    left = profile(pipeline, paths)
    print("\nwhat remains on the CPU, ms a tile")
    for name, milliseconds in left.items():
        print(f"{name:24s} {milliseconds:7.2f}")
    if args.out:
        write_json(args.out, dict(tiles=len(paths), size=args.size, tiles_per_second=found, profile_ms=left))


if __name__ == "__main__":
    sys.exit(run_command(main))
