"""Choosing tiles to label beside labelling tiles at random, from the same starts.

    python benchmarks/selection.py SHARED --work DIR [--starts 200]

SHARED holds the real material of the tests (formats/features, tiles/CRC5, encoders). Features: ImageNet MobileNet-v1,
of LC25000 originals as they are there, of CRC5 extracted into DIR by the project's command. Each start draws half the
tiles as its pool; both sides get 2 × ways labels from it, a classifier is fitted to them and asked about the other
half; a class that no label names has F1 0. Then, from the chosen labels on, `ways` more: by margin, typical, random.
Prints Markdown; exit code 1 where a bar is missed: all classes found more often than at random, and the lower end of
the 95 % interval of the paired difference of macro F1 at -1 point or above.
"""

import argparse
import csv
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestCentroid

from benchmarks.encoders import extracted, listed, preset_file
from fewshot_wsi.foundation.errors import run_command
from fewshot_wsi.foundation.features import unit_length
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.foundation.seeds import generator
from lowshot import closed_interval
from lowshot.selection import select_typical, select_uncertain

CLASSIFIERS = {"Ridge": RidgeClassifier(), "nearest centroid": NearestCentroid()}
MARGIN = -0.01  # F1


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("shared", type=Path)
    p.add_argument("--work", type=Path, required=True)
    p.add_argument("--starts", type=int, default=200)
    args = p.parse_args(argv)
    warnings.filterwarnings("ignore", message="self.within_class_std_dev_")  # features that are zero in a whole class
    found = {name: [start(x, y, number) for number in bar(range(args.starts), desc=name, unit="starts")]
             for name, (x, y) in sets(args.shared, args.work).items()}
    met = first_labels(found)
    next_labels(found)
    return int(not met)


def sets(shared, work):
    """name: (features (N, D) of unit length, labels (N,))."""
    given = shared / "formats/features"
    with open(given / "mobilenetv1_LC25000_labels_groups.csv", newline="", encoding="utf-8") as stream:
        labels = np.array([row["label"] for row in csv.DictReader(stream)])
    lung = unit_length(np.load(given / "mobilenetv1_LC25000_1231x1024_f16.npy"))[0], labels
    root = shared / "tiles/CRC5/data"
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))
    root, names, labels = listed(root, names, lambda path: path.split("/")[1])
    write_list(work / "crc.txt", names, labels)
    weights = shared / "encoders/mobilenet_v1_1.0_224_embedding.tflite"
    x = extracted("mobilenet_v1", preset_file("mobilenet_v1"), weights, *(work / "crc.txt", root),
                  work / "crc/mobilenet.npy")
    return {"LC25000 originals": lung, "CRC5": (x, np.array(labels))}


def start(x, y, number):
    """{'typical', 'random', 'then …': (all classes found, F1 of each classifier)} of one start."""
    rng = generator(number, "benchmark/selection")
    ways = len(np.unique(y))
    pool, asked = np.array_split(rng.permutation(len(y)), 2)
    first = pool[select_typical(x[pool], 2 * ways, seed=number).rows]
    labels = {"typical": first, "random": rng.choice(pool, 2 * ways, replace=False)}
    labeled = np.flatnonzero(np.isin(pool, first))
    fitted = RidgeClassifier().fit(x[first], y[first])
    margin = select_uncertain(x[pool], fitted.decision_function(x[pool]), ways, labeled=labeled, seed=number)
    typical = select_typical(x[pool], ways, labeled=labeled, seed=number)
    rest = rng.choice(np.setdiff1d(pool, first), ways, replace=False)
    labels |= {way: np.concatenate([first, more]) for way, more in (
        ("margin", pool[margin.rows]), ("more typical", pool[typical.rows]), ("more random", rest))}
    return {way: (len(np.unique(y[rows])) == ways, [score(one, x, y, rows, asked) for one in CLASSIFIERS.values()])
            for way, rows in labels.items()}


def score(classifier, x, y, rows, asked):
    if len(np.unique(y[rows])) < 2:
        return f1_score(y[asked], np.full(len(asked), y[rows[0]]), average="macro", zero_division=0)
    return f1_score(y[asked], classifier.fit(x[rows], y[rows]).predict(x[asked]), average="macro", zero_division=0)


def compared(starts, way, against):
    """(share of starts that found all classes on either side, [(mean F1, other's, Interval of the difference)])."""
    complete = [np.mean([one[side][0] for one in starts]) for side in (way, against)]
    f1 = {side: np.array([one[side][1] for one in starts]) for side in (way, against)}
    rows = [(f1[way][:, c].mean(), f1[against][:, c].mean(), closed_interval(f1[way][:, c] - f1[against][:, c]))
            for c in range(len(CLASSIFIERS))]
    return complete, rows


def first_labels(found):
    """Prints the table of the first 2 × ways labels; whether every bar is met."""
    print("| tiles | all classes found: typical | at random | classifier | F1 typical | at random | "
          "difference, points | lower 95 % bound |\n" + "| --- " * 8 + "|")
    met = []
    for name, starts in found.items():
        complete, rows = compared(starts, "typical", "random")
        for clf, (mine, other, difference) in zip(CLASSIFIERS, rows, strict=True):
            met.append(complete[0] > complete[1] and difference.low >= MARGIN)
            print(f"| {name} | {100 * complete[0]:.1f} % | {100 * complete[1]:.1f} % | {clf} | {100 * mine:.1f} | "
                  f"{100 * other:.1f} | {100 * difference.mean:+.1f} | {100 * difference.low:+.1f} |")
    return all(met)


def next_labels(found):
    """Prints the table of `ways` more labels, which has no bar."""
    print("\n| tiles | then | all classes found | at random | classifier | F1 | at random | difference, points |\n"
          + "| --- " * 8 + "|")
    for name, starts in found.items():
        for way in ("margin", "more typical"):
            complete, rows = compared(starts, way, "more random")
            for clf, (mine, other, difference) in zip(CLASSIFIERS, rows, strict=True):
                print(f"| {name} | {way} | {100 * complete[0]:.1f} % | {100 * complete[1]:.1f} % | {clf} | "
                      f"{100 * mine:.1f} | {100 * other:.1f} | {100 * difference.mean:+.1f} {difference} |")


if __name__ == "__main__":
    sys.exit(run_command(main))
