"""Your own tiles: from class folders or a CSV to lists, groups, a split and a protocol that runs."""

import argparse
import sys
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.prepare_data.own_protocol import OwnSet
from fewshot_wsi.prepare_data.own_set import add_own_options, check_own_options, publish_own
from fewshot_wsi.prepare_data.splits import grouped_split, stratified_split
from fewshot_wsi.prepare_data.table import from_csv, from_folders, number_classes, with_groups

SPLITS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing", "dev", "holdout"))
EXAMPLE = """examples:
  python tools/prepare_data/folder.py tiles --name mine              # tiles/<class>/…, a fifth of each class held out
  python tools/prepare_data/folder.py tiles --name mine --class_part 1 --group_part 0    # tiles/<patient>/<class>/…
  python tools/prepare_data/folder.py tiles --name mine --class_part 1 --split_part 0    # tiles/{train,test}/<class>/…
  python tools/prepare_data/folder.py tiles --name mine --csv tiles.csv  # path,label[,group][,split]
then
  python wsi_workdir/run_protocol.py --protocol data/mine/meta/protocol.py

Writes into <out>/meta: {train,test}[_labeled].txt, classes.csv, groups.csv where groups are known, and protocol.py.
Images whose split is neither of --splits are left out, with a notice."""


def main(argv=None):
    args = parse_args(argv)
    images = read_table(args)
    labels, classes = number_classes(images, args.classes)
    if len(classes) == 1:
        raise UserError(f"{args.csv or args.root}: all images are of one class, {classes[0]!r}; a classifier needs two")
    held, kept = choose_side(images, labels, classes, args)
    own = OwnSet(name=args.name, root=args.root.as_posix(), meta=args.out / "meta", classes=classes, models=args.models,
                 seed=args.seed, slide=args.group_part if (args.group_part or 0) >= 0 else None,
                 command="tools/prepare_data/folder.py")
    owners = {kind: np.array(names)[kept] for kind, names in images.owners.items()}
    publish_own(own, np.array(images.paths)[kept], labels[kept], held[kept], owners, overwrite=args.overwrite)


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="data root: the lists' paths are relative to it")
    parser.add_argument("--csv", type=Path, help="table of the images (default: folders below the root)")
    parser.add_argument("--class_part", type=int,
                        help="which folder of a path names the class, 0 the first, -1 the last (default: 0)")
    parser.add_argument("--group_part", type=int, help="which folder names the group (slide, patient)")
    parser.add_argument("--split_part", type=int, help="which folder names the split")
    parser.add_argument("--groups", type=Path, help="CSV path,group (slide, patient, original tile)")
    parser.add_argument("--splits", nargs=2, default=("train", "test"), metavar=("TRAIN", "TEST"),
                        help="what the two sides are called in the CSV or folders (default: train test)")
    parser.add_argument("--classes", nargs="+", help="class names in label order (default: sorted, numbers by value)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and of the protocol (default: 0)")
    add_own_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace lists and protocol that differ")
    args = parser.parse_args(argv)
    check_own_options(parser, args)
    if args.seed < 0:
        parser.error("--seed is a whole number from 0")
    if args.csv and (args.group_part is not None or args.split_part is not None):
        parser.error("--group_part and --split_part read folders; a CSV has columns of its own")
    return args


def read_table(args):
    if args.csv:
        table = from_csv(args.csv, args.root)
    else:
        table = from_folders(args.root, args.class_part or 0, args.group_part, args.split_part)
        if args.class_part is None:
            check_classes(args.root, table)
    return with_groups(table, args.groups) if args.groups else table


def check_classes(root, table):
    """Where nobody has said which folders name the classes: refuse splits, and say what deeper folders there are."""
    names = sorted(set(table.classes))
    if len(names) > 1 and all(name.lower() in SPLITS for name in names):
        raise UserError(f"{root}: the first folders, {', '.join(names)}, look like splits; give --class_part 1 "
                        "--split_part 0 and --splits TRAIN TEST, or --class_part 0 if they are classes")
    deeper = sorted({path.split("/")[1] for path in table.paths if path.count("/") > 1})
    if deeper:
        shown = ", ".join(deeper[:8]) + " …" * (len(deeper) > 8)
        print(f"notice: images lie two folders deep or more: the first ({', '.join(names)}) name the classes; "
              f"--class_part 1 takes the second ({shown})", file=sys.stderr)


def choose_side(table, labels, classes, args):
    """(held out, kept), each (N,) bool: by the given split, by whole groups, or stratified."""
    everything = np.ones(len(table), dtype=bool)
    numbers = None if not table.groups else np.unique(_all_named(table), return_inverse=True)[1]
    if table.splits:
        splits = np.array(table.splits)
        train, test = splits == args.splits[0], splits == args.splits[1]
        others = sorted(set(table.splits) - set(args.splits))
        if not train.any() or not test.any():
            raise UserError(f"{args.csv or args.root}: the splits are {', '.join(sorted(set(table.splits)))}; name the "
                            f"two sides with --splits (now {' '.join(args.splits)})")
        if others:
            print(f"notice: {(~train & ~test).sum()} images of the splits {', '.join(map(repr, others))} are left out",
                  file=sys.stderr)
        shared = 0 if numbers is None else np.intersect1d(numbers[train], numbers[test]).size
        if shared:
            print(f"notice: the given split has {shared} groups on both sides; figures will be optimistic",
                  file=sys.stderr)
        return test, train | test
    if numbers is not None:
        return grouped_split(labels, numbers, args.held_out, args.seed, classes), everything
    return stratified_split(labels, args.held_out, args.seed, classes), everything


def _all_named(table):
    nameless = [path for path, group in zip(table.paths, table.groups, strict=True) if not group]
    if nameless:
        raise UserError(f"{len(nameless)} of {len(table)} images have no group, the first is {nameless[0]!r}")
    return np.array(table.groups)
