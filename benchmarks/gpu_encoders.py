"""Encoders of the presets on a GPU, with random weights: features right, images a second, and one line without memory.

    python benchmarks/gpu_encoders.py [--seconds 3] [--out FILE.json] [PRESET …]

Printed for each preset: parameters, images a second in float32 from decoded tiles in the CPU's memory, tiles a call,
peak GPU memory, and the least cosine between features of the CPU and the GPU (networks of up to 100 million
parameters). Then the same with little GPU memory: batches shrink, and where the network itself does not fit, there is
one line.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch

from fewshot_wsi.foundation.errors import UserError, run_command
from openselfsup.apis.blocks import batch_size
from openselfsup.apis.recipe import preset_recipe
from openselfsup.encoders import build_encoder

BLOCK = 256
SMALL = 100_000_000  # parameters up to which the CPU computes the same tiles


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("presets", nargs="*")
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--out", type=Path)
    args = p.parse_args(argv)
    if not torch.cuda.is_available():
        raise UserError("PyTorch finds no GPU here")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, float32\n")
    print("| preset | parameters | images/s | tiles a call | peak memory, GiB | least cosine, CPU and GPU |")
    print("| --- " * 6 + "|")
    rows = [row for name in args.presets or names() if (row := measure(name, args.seconds))]
    print()
    limits = limited_memory()
    for line in limits:
        print(line)
    if args.out:
        args.out.write_text(json.dumps({"device": torch.cuda.get_device_name(), "rows": rows, "limited": limits}))


def names():
    return [path.stem for path in sorted((ROOT / "configs/encoders").glob("*.py"))]


def recipe_of(name):
    return preset_recipe(str(ROOT / f"configs/encoders/{name}.py"))


def tiles_of(recipe, count, seed=0):
    shape = (count, 3, *recipe.preset.input_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def measure(name, seconds):
    """The row of a preset, printed too; None for kinds that use no GPU."""
    recipe = recipe_of(name)
    if recipe.preset.kind in ("tflite", "onnx", "torchscript"):
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    encoder = build_encoder(None, "random", recipe, "cuda")
    parameters = sum(p.numel() for p in encoder.network.parameters())
    size = fitting(encoder, recipe)
    tiles = tiles_of(recipe, size)
    features = encoder(tiles).cpu()
    assert features.shape == (size, recipe.preset.width) and torch.isfinite(features).all()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        encoder(tiles).cpu()
        count += size
    rate = count / (time.perf_counter() - began)
    cosine = None
    if parameters <= SMALL:
        there = build_encoder(None, "random", recipe, "cpu")(tiles[:8])
        cosine = float(torch.nn.functional.cosine_similarity(there.double(), features[:8].double()).min())
    row = {"preset": name, "parameters": parameters, "images_per_second": rate, "tiles_a_call": size,
           "peak_gib": torch.cuda.max_memory_allocated() / 2**30, "least_cosine": cosine}
    print(f"| {name} | {parameters / 1e6:,.1f} M | {rate:,.0f} | {size} | {row['peak_gib']:.1f} | "
          f"{'' if cosine is None else f'{cosine:.8f}'} |", flush=True)
    return row


def fitting(encoder, recipe):
    """Tiles a call, as extraction finds it."""
    first = tiles_of(recipe, 1)[0].permute(1, 2, 0).numpy()
    writer = SimpleNamespace(block=BLOCK, rows_of=lambda number: range(BLOCK))
    return batch_size(encoder, SimpleNamespace(get=lambda item: first), [0], writer)


def limited_memory():
    """Lines: what extraction does where the GPU has little memory."""
    lines, total = [], torch.cuda.get_device_properties(0).total_memory
    for name, gib in (("uni", 3), ("dinov2_b", 1.5), ("uni", 1)):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(gib * 2**30 / total)
        try:
            recipe = recipe_of(name)
            encoder = build_encoder(None, "random", recipe, "cuda")
            lines.append(f"{name} in {gib} GiB: {fitting(encoder, recipe)} tiles a call")
            del encoder
        except UserError as error:
            lines.append(f"{name} in {gib} GiB: {error}")
    torch.cuda.set_per_process_memory_fraction(1.0)
    return lines


if __name__ == "__main__":
    sys.exit(run_command(main))
