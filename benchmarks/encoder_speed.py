"""Images a second of our extraction beside a plain PyTorch loop, onnxruntime and OpenVINO, all in float32.

    python benchmarks/encoder_speed.py TILES [--images 192] [--repeats 5]

TILES: any folder of images. The same ResNet-18 and EfficientNet-Lite0 with random weights on every side. 'network':
from decoded tiles in memory to features; 'files': from JPEG files to features, for ours the extraction's own reading,
for the plain loop Pillow and torchvision's transforms one tile after the other. The sides take turns; medians of the
repeats. Prints Markdown.
"""

import argparse
import io
import statistics
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import onnxruntime
import openvino
import torch
from PIL import Image
from torchvision import transforms

from fewshot_wsi.foundation.errors import UserError, run_command
from openselfsup.apis.blocks import CPU_SLICE
from openselfsup.apis.reading import ListedTiles, compute_ahead, read_ahead
from openselfsup.apis.recipe import preset_recipe
from openselfsup.encoders import build_encoder

PRESETS = ("imagenet_resnet18", "efficientnet_lite0")


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tiles", type=Path)
    p.add_argument("--images", type=int, default=192)
    p.add_argument("--repeats", type=int, default=5)
    args = p.parse_args(argv)
    names = sorted(str(path.relative_to(args.tiles)) for path in args.tiles.rglob("*.jp*g"))[:args.images]
    if len(names) < args.images:
        raise UserError(f"{args.tiles}: {len(names)} JPEG images, {args.images} are needed")
    threads = torch.get_num_threads()
    print(f"{threads} threads, {args.images} tiles, medians of {args.repeats}, images a second\n")
    print("| network | from | " + " | ".join(["ours", "ours, OpenVINO", "plain PyTorch", "onnxruntime", "OpenVINO",
                                              "ours / fastest"]) + " |\n" + "| --- " * 8 + "|")
    for name in PRESETS:
        measure(name, names, args, threads)


def measure(name, names, args, threads):
    """Print the two rows of a preset."""
    recipe = preset_recipe(str(ROOT / f"configs/encoders/{name}.py"))
    ours = build_encoder(None, "random", recipe, "cpu")
    faster = build_encoder(None, "random", recipe, "cpu", runtime="openvino")
    plain = unfolded(recipe)
    listed = ListedTiles(tuple(names), args.tiles, recipe.pipeline)
    images = torch.from_numpy(np.stack([listed[item] for item in range(len(names))])).permute(0, 3, 1, 2)
    graph = exported(plain, recipe)
    report(name, "network", args, [
        lambda: threaded(ours, images, threads), lambda: threaded(faster, images, threads),
        lambda: in_batches(lambda x: plain(x).mean((2, 3)), images, recipe),
        with_onnxruntime(graph, images, recipe), with_openvino(graph, images, recipe)])
    report(name, "files", args, [
        lambda: from_files(ours, listed, threads), lambda: from_files(faster, listed, threads),
        lambda: plain_loop(plain, args.tiles, names, recipe), None, None])


def unfolded(recipe):
    """The preset's network as its library builds it, up to its last map."""
    if recipe.preset.kind == "resnet":
        from openselfsup.models import build_backbone
        return build_backbone(recipe.preset.architecture["depth"]).eval()
    import timm
    return timm.create_model(recipe.preset.architecture["name"], num_classes=0, global_pool="").eval()


def report(name, start, args, sides):
    rates = [[] for _ in sides]
    for repeat in range(args.repeats + 1):  # the first round warms up
        for side, found in zip(sides, rates, strict=True):
            if side is not None:
                began = time.perf_counter()
                side()
                found += [args.images / (time.perf_counter() - began)] * (repeat > 0)
    medians = [statistics.median(found) if found else None for found in rates]
    fastest = max(value for value in medians if value)
    cells = [f"{value:.1f}" if value else "" for value in medians]
    print(f"| {name} | {start} | " + " | ".join(cells) + f" | {max(medians[:2]) / fastest:.2f} |", flush=True)


def threaded(encoder, images, threads):
    """As extraction computes: small batches, a core each."""
    work = ((part,) for part in images.split(CPU_SLICE))
    return list(compute_ahead(encoder, work, threads, lambda: torch.set_num_threads(1)))


def from_files(encoder, listed, threads):
    slices = [range(at, min(at + CPU_SLICE, len(listed))) for at in range(0, len(listed), CPU_SLICE)]
    work = ((torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),)
            for _, images in read_ahead(listed, slices, threads))
    return list(compute_ahead(encoder, work, threads, lambda: torch.set_num_threads(1)))


def in_batches(network, images, recipe):
    with torch.inference_mode():
        return [network(recipe.pipeline.normalize(part.float())) for part in images.split(32)]


def exported(network, recipe):
    stream = io.BytesIO()
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    torch.onnx.export(network, (torch.zeros(2, 3, *recipe.preset.input_size),), stream, input_names=["x"],
                      output_names=["y"], dynamic_axes=axes, dynamo=False)
    return stream.getvalue()


def with_onnxruntime(graph, images, recipe):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda: in_batches(lambda x: session.run(None, {"x": x.numpy()})[0].mean((2, 3)), images, recipe)


def with_openvino(graph, images, recipe):
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(graph), "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"})

    def run():
        queue = openvino.AsyncInferQueue(compiled)
        for part in images.split(CPU_SLICE):
            queue.start_async({"x": recipe.pipeline.normalize(part.float()).numpy()})
        queue.wait_all()
    return run


def plain_loop(network, root, names, recipe):
    preset = recipe.preset
    prepare = transforms.Compose([
        transforms.Resize(preset.resize, transforms.InterpolationMode(preset.interpolation)),
        transforms.CenterCrop(preset.crop), transforms.ToTensor(), transforms.Normalize(preset.mean, preset.std)])
    with torch.inference_mode():
        for at in range(0, len(names), 32):
            tiles = [prepare(Image.open(Path(root, name)).convert("RGB")) for name in names[at:at + 32]]
            network(torch.stack(tiles)).mean((2, 3))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    sys.exit(run_command(main))
