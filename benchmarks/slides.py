"""Mapping slides: where the time goes, how fast tiles are read, and how right the maps of drawn slides are.

    python benchmarks/slides.py speed reading            # a made slide of 20,000² pixels at 20x, 100 MB
    python benchmarks/slides.py right --mobilenet mobilenet_v1_1.0_224_embedding.tflite

speed: `slide.py` with the colour encoder and five marked regions, in a process of its own. The bar: 180 s on two cores.
Shares are of the processor seconds of all threads; `other` is Python's start, the classifier and the queues.
reading: the same tiles by this project, by OpenSlide, and by tifffile with a cache of decoded parts, one thread each,
in turn; medians, of processor seconds. The bar: 90 % of the tiles a second of the faster of the plain two.
right: `_slides_right.py` says what.

Other programs that run at the same time lengthen wall seconds; the load is printed.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import openslide
import tifffile

from benchmarks._slides_right import right
from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.seeds import generator
from fewshot_wsi.pipeline.drawn import TISSUES
from fewshot_wsi.pipeline.drawn_slides import write_boxes
from fewshot_wsi.pipeline.tissue import draw_stain, draw_tile
from fewshot_wsi.slides.geometry import geometry, tile_pixels
from fewshot_wsi.slides.opening import open_slide
from fewshot_wsi.slides.tiles import tile_corners

PART, PATCHES, BLOCK = 256, 24, 10   # pixels of the file's parts; different ones a tissue; parts along a region
TILE = 224
KINDS = ("LYM", "MUS")
REGIONS = [(KINDS[0], 41, 41), (KINDS[0], 31, 31), (KINDS[0], 55, 55), (KINDS[1], 31, 41), (KINDS[1], 45, 55)]


def main(argv=None):
    args = parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        folder = Path(folder)
        if {"speed", "reading"} & set(args.parts):
            make_slide(folder / "made.tif", args.side)
        for part in args.parts:
            {"speed": speed, "reading": reading, "right": right}[part](folder, args)
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end")
    return 0


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["speed", "reading", "right"], metavar="PART",
                        help="speed, reading, right (default: all)")
    parser.add_argument("--side", type=int, default=20000, help="pixels (default: %(default)s; from 16,384)")
    parser.add_argument("--times", type=int, default=3, help="repetitions of speed and reading (default: %(default)s)")
    parser.add_argument("--mobilenet", metavar="FILE", help="weights for `right`, beside EfficientNet-Lite0")
    parser.add_argument("--slides", type=int, default=3, help="of `right` (default: %(default)s)")
    parser.add_argument("--tile", type=int, default=64, help="pixels of the tiles of `right` (default: %(default)s)")
    parser.add_argument("--folder", help="where the files go for the time being (default: the temporary folder)")
    args = parser.parse_args(argv)
    if set(args.parts) - {"speed", "reading", "right"}:
        parser.error("the parts are speed, reading, right")
    return args


def make_slide(path, side):
    """A pyramidal tiled JPEG TIFF of `side` pixels at 0.5 µm: a disc of squares of two drawn tissues on glass."""
    rng = generator(0, "benchmark/slides")
    stain, count = draw_stain(rng), -(-side // PART)
    patches = {kind: [draw_tile(rng, [(TISSUES["NCT"][kind], 1.0)], PART, stain) for _ in range(PATCHES)]
               for kind in KINDS}
    row, column = np.indices((count, count))
    inside, chosen = np.hypot(row - count / 2, column - count / 2) < 0.47 * count, rng.integers(PATCHES, size=row.shape)

    @functools.cache
    def reduced(kind, number, step):
        pixels = np.full((PART, PART, 3), 245, np.uint8) if kind is None else patches[kind][number]
        return pixels.reshape(PART // step, step, PART // step, step, 3).mean((1, 3)).astype(np.uint8)

    def patch(i, j, step):
        there = i < count and j < count and inside[i, j]
        return reduced(KINDS[(i // BLOCK + j // BLOCK) % 2] if there else None, int(chosen[i, j]) if there else 0, step)

    def level(step):
        along = -(-(side // step) // PART)
        for i, j in np.ndindex(along, along):
            yield np.concatenate([np.concatenate([patch(i * step + a, j * step + b, step) for b in range(step)], axis=1)
                                  for a in range(step)])

    with tifffile.TiffWriter(path) as tiff:
        for step in (1, 4, 16):
            tiff.write(level(step), shape=(side // step, side // step, 3), dtype=np.uint8, tile=(PART, PART),
                       photometric="rgb", compression="jpeg", compressionargs={"level": 85}, metadata=None,
                       resolution=(20000 / step,) * 2, resolutionunit="CENTIMETER", subfiletype=int(step > 1))


def speed(folder, args):
    write_boxes(folder / "made.geojson", [(name, row, column, 4, 4) for name, row, column in REGIONS], PART)
    print("| run | wall s | processor s | reading | tissue | encoder | writing | other |\n"
          "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for run in range(args.times):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "benchmarks._slide_shares", folder / "made.tif", "--annotations",
                               folder / "made.geojson", "--encoder", "color_histogram", "--quiet", "--out",
                               folder / f"maps{run}"], cwd=ROOT, text=True, capture_output=True)
        if done.returncode:
            raise UserError(f"slide.py: {done.stderr.strip().splitlines()[-1]}")
        wall = time.perf_counter() - began
        parts = json.loads(done.stdout.splitlines()[-1])
        whole = sum(parts.values())
        print(f"| {run + 1} | {wall:.0f} | {whole:.1f} | " + " | ".join(
            f"{parts[name] / whole:.0%}" for name in ("reading", "tissue", "encoder", "writing", "other")) + " |")


def reading(folder, args):
    path = folder / "made.tif"
    with open_slide(path) as slide:
        place = geometry(slide, tile=TILE, mpp=0.5)
        xs, ys = tile_corners(place, TILE)
    middle = len(ys) // 2
    corners = [(int(x), int(y)) for y in ys[middle - 8:middle + 8] for x in xs]
    readers = {"this project": _ours, "OpenSlide": _openslide, "tifffile": _tifffile}
    rates, pixels = {name: [] for name in readers}, {}
    for _ in range(args.times):
        for name, read in readers.items():
            began = time.process_time()
            pixels[name] = read(path, place, corners)
            rates[name].append(len(corners) / (time.process_time() - began))
    rates = {name: statistics.median(values) for name, values in rates.items()}
    plain = max(rates["OpenSlide"], rates["tifffile"])
    print(f"\n| reader of {len(corners):,} tiles of {TILE}² | tiles a second | of the faster plain one | sum of levels "
          "|\n| --- | ---: | ---: | ---: |")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rate / plain:.0%} | {pixels[name]} |")


def _ours(path, place, corners):
    with open_slide(path) as slide:
        return sum(int(tile_pixels(slide, place, x, y).sum()) for x, y in corners)


def _openslide(path, place, corners):
    with openslide.OpenSlide(str(path)) as slide:
        return sum(int(np.asarray(slide.read_region(at, 0, (TILE, TILE)).convert("RGB")).sum()) for at in corners)


def _tifffile(path, place, corners):
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        across = -(-page.imagewidth // PART)

        @functools.lru_cache(maxsize=8 * across)
        def part(row, column):
            index = row * across + column
            file.filehandle.seek(page.dataoffsets[index])
            data = file.filehandle.read(page.databytecounts[index])
            return page.decode(data, index, jpegtables=page.jpegtables)[0].reshape(PART, PART, 3)

        total = 0
        for x, y in corners:
            rows, columns = (range(at // PART, (at + TILE - 1) // PART + 1) for at in (y, x))
            whole = np.concatenate([np.concatenate([part(r, c) for c in columns], axis=1) for r in rows])
            total += int(whole[y % PART:y % PART + TILE, x % PART:x % PART + TILE].sum())
        return total


if __name__ == "__main__":
    sys.exit(run_command(main))
