"""What bfloat16 changes: features and few-shot F1 of every precision and runtime beside float32, on real tiles.

    python benchmarks/precision.py TILES --work DIR [--weights imagenet_resnet18=FILE …]

TILES holds LC25000 (data, groups.csv). All its tiles go through ResNet-18 (untrained without --weights) and, where its
package is installed, ImageNet's EfficientNet-Lite0; features are kept below DIR. F1: 1,000 tasks of 5 shots and 15
queries a class on one tile of each original, the same tasks on every side. Prints Markdown.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
from encoders import encoders, listed, preset_file, write_lists
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import NearestCentroid

from fewshot_wsi.commands import extract
from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.features import load_features
from fewshot_wsi.foundation.lists import write_list
from lowshot import evaluate, sample_tasks

SIDES = (("float32", "torch"), ("bf16", "torch"), ("float32", "openvino"), ("bf16", "openvino"))
CLASSIFIERS = {"nearest centroid": NearestCentroid(), "Ridge": RidgeClassifier()}


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tiles", type=Path)
    p.add_argument("--work", type=Path, required=True)
    p.add_argument("--weights", nargs="*", default=[], metavar="PRESET=FILE")
    args = p.parse_args(argv)
    originals = write_lists(args.tiles, args.work)["lc"][0].read_text().split()[::2]
    root = args.tiles / "LC25000/data"
    _, names, labels = listed(root, sorted(str(path.relative_to(root)) for path in root.rglob("*.jp*g")),
                              lambda path: path.split("/")[1])
    list_file = args.work / "lists/all.txt"
    write_list(list_file, names, labels)
    first = np.isin(names, originals)
    print(f"{len(names)} tiles, F1 on {first.sum()} originals\n\n| encoder | precision | runtime | smallest cosine | "
          + " | ".join(f"F1, {name}" for name in CLASSIFIERS) + " |\n" + "| --- " * (4 + len(CLASSIFIERS)) + "|")
    tasks = sample_tasks(np.array(labels)[first], shots=5, queries=15, num_tasks=1000)
    for name, preset, weights in networks(args.weights):
        expected = None
        for precision, runtime in SIDES:
            features = extracted(preset, weights, list_file, root, precision, runtime,
                                 args.work / name / f"{precision}_{runtime}.npy")
            expected = features if expected is None else expected
            f1 = [100 * evaluate(each, features[first], np.array(labels)[first], tasks).mean
                  for each in CLASSIFIERS.values()]
            print(f"| {name} | {precision} | {runtime} | {(features * expected).sum(axis=1).min():.6f} | "
                  + " | ".join(f"{value:.2f}" for value in f1) + " |", flush=True)


def networks(given):
    """(name, preset, weights) of the encoders to measure."""
    found = [one for one in encoders(given) if one[2]]
    if "imagenet_resnet18" not in [name for name, _, _ in found]:
        found.insert(0, ("ResNet-18, untrained", preset_file("imagenet_resnet18"), "random"))
    return found


def extracted(preset, weights, list_file, root, precision, runtime, path):
    """Features (N, D) float32 of unit length, made with the project's command unless they are there."""
    code = extract.main([str(option) for option in (
        "--encoder", preset, "--pretrained", weights, "--list", list_file, "--root", root, "--output", path,
        "--precision", precision, "--runtime", runtime, "--device", "cpu", "--quiet")])
    if code:
        raise UserError(f"extraction of {path} ended with {code}")
    return load_features(path)


if __name__ == "__main__":
    sys.exit(run_command(main))
