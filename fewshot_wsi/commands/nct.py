"""NCT-CRC-HE-100K: from Zenodo's record, an archive or a folder to every list of the published protocol."""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import find_images
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.meta_test.novel_classes import novel_tag
from fewshot_wsi.prepare_data.archive import unpack_once
from fewshot_wsi.prepare_data.download import ZENODO, fetch, record_files
from fewshot_wsi.prepare_data.links import link_folder
from fewshot_wsi.prepare_data.publish import lists, publish
from fewshot_wsi.prepare_data.splits import random_split, stratified_split

logger = logging.getLogger(__name__)

RECORD = "1214456"  # doi:10.5281/zenodo.1214456, CC BY 4.0
CLASSES = ("BACK", "ADI", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")  # in label order, as published
LEFT_OUT = (*((label,) for label in range(len(CLASSES))), (7, 8))
BASE_SETS = ("NCT-CRC-HE-100K-NONORM", "NCT-CRC-HE-100K")
VAL7K = "CRC-VAL-HE-7K"
EXAMPLE = """examples:
  python tools/prepare_data/nct.py                          # download 11.7 GB, unpack, write data/NCT/meta
  python tools/prepare_data/nct.py --root /scans/NCT-CRC-HE-100K-NONORM
  python tools/prepare_data/nct.py --archive NCT-CRC-HE-100K-NONORM.zip --test val7k --val_archive CRC-VAL-HE-7K.zip

Writes <out>/meta/{train,test,wo_0_train … wo_8_train,wo_78_train}[_labeled].txt; paths are relative to <out>/data."""


def main(argv=None):
    args = parse_args(argv)
    with locked(args.out):
        return prepare(args)


def prepare(args):
    """Find or download the data set, split it, link its images, write its lists and print counts by class.

    args: of parse_args. The caller holds the lock of args.out. UserError: no such folder, or classes are missing.
    """
    base = find_class_root(find_set(args, args.dataset, args.root, args.archive), args.dataset)
    require_classes(base, args.dataset)
    names, labels = list_classes(base)
    held = split(labels, args)
    sources, test = {name: base / name for name in CLASSES}, (names[held], labels[held])
    if args.test == "val7k":
        source = find_class_root(find_val7k(args), VAL7K)
        if source.resolve() == base.resolve():
            raise UserError(f"{source}: is the training set; name the folder of {VAL7K} with --val_root")
        sources[VAL7K], test = source, list_classes(source, prefix=f"{VAL7K}/")
    writers = all_lists(names[~held], labels[~held], *test)
    for name, source in sources.items():
        link_folder(args.out / "data" / name, source, overwrite=args.overwrite)
    outcome = publish(args.out / "meta", writers, overwrite=args.overwrite)
    print_counts(labels[~held], test[1])
    print(f"{args.out / 'meta'}: {outcome}")


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=BASE_SETS, default=BASE_SETS[0], help="base set (default: %(default)s)")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--root", type=Path, help="folder of the class folders, or the folder that holds the data set")
    place.add_argument("--archive", type=Path, help="downloaded archive; without --root and --archive it is downloaded")
    parser.add_argument("--out", type=Path, default=Path("data/NCT"), help="data set folder (default: %(default)s)")
    parser.add_argument("--split", choices=("random", "stratified"), default="random",
                        help="random: regardless of class, as published (default); stratified: the same share of each")
    parser.add_argument("--held_out", type=float, default=0.2, help="share of the test list (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default: %(default)s)")
    parser.add_argument("--test", choices=("split", "val7k"), default="split",
                        help=f"split: the held-out share is the test list (default); val7k: {VAL7K} is, whose 50 "
                             "patients are disjoint from the training tiles. The training lists are the same in both")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--val_root", type=Path, help=f"folder of {VAL7K} (default: looked for below --root)")
    place.add_argument("--val_archive", type=Path, help=f"archive of {VAL7K}")
    parser.add_argument("--base", default=ZENODO, help="address of the archive's server (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace lists and links that differ")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error("--seed is a whole number from 0")
    return args


def find_set(args, name, root, archive):
    """Folder of the data set `name`: as given, or unpacked from the given or a downloaded archive."""
    if root and not archive:
        return root
    target = args.out / name
    if target.is_dir() and archive is None:
        logger.info(f"{target}: unpacked before, used as it is")
        return target
    if archive is None:
        files = record_files(RECORD, base=args.base)
        if f"{name}.zip" not in files:
            raise UserError(f"{args.base}: record {RECORD} holds no {name}.zip but {', '.join(files)}")
        archive = fetch(files[f"{name}.zip"], args.out / "downloads", quiet=args.quiet)
    return unpack_once(archive, target, quiet=args.quiet)


def find_val7k(args):
    beside = [] if args.root is None else [args.root / VAL7K, args.root.parent / VAL7K]
    there = [folder for folder in beside if folder.is_dir()]
    return find_set(args, VAL7K, args.val_root or (there[0] if there else None), args.val_archive)


def find_class_root(folder, name):
    """The folder that holds the class folders: `folder`, or `name` in it, once or twice."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    for candidate in (folder / name, folder / name / name, folder):
        if any((candidate / label).is_dir() for label in CLASSES):
            return candidate
    raise UserError(f"{folder}: holds neither the class folders {', '.join(CLASSES)} nor {name}")


def require_classes(folder, name):
    missing = [label for label in CLASSES if not (folder / label).is_dir()]
    close = sorted(entry.name for entry in folder.iterdir() if entry.name.upper() in missing)
    if missing:
        cure = f"rename {', '.join(close)} to upper case" if close else f"is {name} wholly unpacked?"
        raise UserError(f"{folder}: no class folder {', '.join(missing)}; {cure}")


def list_classes(folder, prefix=""):
    """Names (N,) str, `<prefix><CLASS>/<file>`, and labels (N,) int64, by class and then by name.
    A class that has no folder has no images."""
    found = [[f"{prefix}{label}/{name}" for name in find_images(folder / label)] if (folder / label).is_dir() else []
             for label in CLASSES]
    labels = np.repeat(np.arange(len(CLASSES)), [len(names) for names in found])
    return np.array([name for names in found for name in names]), labels


def split(labels, args):
    if args.split == "stratified":
        return stratified_split(labels, args.held_out, args.seed, CLASSES)
    return random_split(labels.size, args.held_out, args.seed)


def all_lists(train_names, train_labels, test_names, test_labels):
    """Writers of every published list, keyed by file name."""
    writers = {**lists("train", train_names, train_labels), **lists("test", test_names, test_labels)}
    for novel in LEFT_OUT:
        seen = ~np.isin(train_labels, novel)
        writers |= lists(f"wo_{novel_tag(novel)}_train", train_names[seen], train_labels[seen])
    return writers


def print_counts(train, test):
    counts = [((train == label).sum(), (test == label).sum()) for label in range(len(CLASSES))]
    print("label class   train    test")
    for label, (name, (in_train, in_test)) in enumerate(zip(CLASSES, counts, strict=True)):
        print(f"{label:5} {name:5} {in_train:7} {in_test:7}")
    print(f"      all   {train.size:7} {test.size:7}")
    lacking = [name for name, both in zip(CLASSES, counts, strict=True) if not all(both)]
    if lacking:
        print(f"notice: {', '.join(lacking)} missing on one side; no task can be sampled with it", file=sys.stderr)
