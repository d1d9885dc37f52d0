"""LC25000: lists of its five classes, and which tiles are augmented copies of one original (groups.csv).

The images are yours to fetch: their authors offer them, free for research, as LC25000.zip (1.85 GB) from the page
https://github.com/tampapath/lung_colon_image_set, behind a link that a person has to follow. Then name the archive with
--archive, or the unpacked folder with --root. Cite: Borkowski AA, Bui MM, Thomas LB, Wilson CP, DeLand LA, Mastorides
SM. Lung and Colon Cancer Histopathological Image Dataset (LC25000). arXiv:1912.12142, 2019."""

import argparse
from pathlib import Path

import numpy as np
from joblib import cpu_count

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import find_images
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.prepare_data.archive import unpack_once
from fewshot_wsi.prepare_data.links import link_folder
from fewshot_wsi.prepare_data.originals import find_originals
from fewshot_wsi.prepare_data.publish import groups, lists, publish

FOLDERS = ("colon_image_sets", "lung_image_sets")
CLASSES = ("colon_aca", "colon_n", "lung_aca", "lung_n", "lung_scc")  # in label order, as published
EXAMPLE = """examples:
  python tools/prepare_data/lc25000.py --archive LC25000.zip          # unpacks to data/LC25000/lung_colon_image_set
  python tools/prepare_data/lc25000.py --root /scans/lung_colon_image_set

Writes <out>/meta/{img_list.txt,img_list_labeled.txt,groups.csv}; paths are relative to <out>/data."""


def main(argv=None):
    args = parse_args(argv)
    with locked(args.out):
        return prepare(args)


def prepare(args):
    """Do all that the options ask for; the lock of the data set is held."""
    root = find_root(args)
    names, labels = list_classes(root)
    originals = name_originals(root, names, labels, args)
    for folder in FOLDERS:
        link_folder(args.out / "data" / folder, root / folder, overwrite=args.overwrite)
    outcome = publish(args.out / "meta", {**lists("img_list", names, labels), **groups(originals)},
                      overwrite=args.overwrite)
    print_counts(labels, list(originals.values()))
    print(f"{args.out / 'meta'}: {outcome}")


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--root", type=Path, help="unpacked folder: holds colon_image_sets and lung_image_sets")
    place.add_argument("--archive", type=Path, help="LC25000.zip as downloaded")
    parser.add_argument("--out", type=Path, default=Path("data/LC25000"), help="data set folder (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=cpu_count(),
                        help="processes (default: one a core); the groups do not depend on it")
    parser.add_argument("--overwrite", action="store_true", help="replace lists and links that differ")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(argv)
    if args.workers < 1:
        parser.error("--workers is a whole number from 1")
    return args


def find_root(args):
    """Folder that holds both image sets: as given, or unpacked from the archive."""
    folder = args.root or args.out / "lung_colon_image_set"
    if args.archive:
        unpack_once(args.archive, folder, quiet=args.quiet)
    for candidate in (folder, folder / "lung_colon_image_set", folder / "data"):
        if all((candidate / part).is_dir() for part in FOLDERS):
            return candidate
    raise UserError(f"{folder}: no such folder, or it does not hold {' and '.join(FOLDERS)}; name the unpacked folder "
                    "of LC25000 with --root, or LC25000.zip with --archive")


def list_classes(root):
    """Names (N,) `<organ>_image_sets/<class>/<file>` and labels (N,) int64, by class and then by name."""
    folders = [f"{name.split('_')[0]}_image_sets/{name}" for name in CLASSES]
    missing = [folder for folder in folders if not (root / folder).is_dir()]
    if missing:
        raise UserError(f"{root}: no class folder {', '.join(missing)}; is the archive wholly unpacked?")
    found = [[f"{folder}/{name}" for name in find_images(root / folder)] for folder in folders]
    labels = np.repeat(np.arange(len(CLASSES)), [len(names) for names in found])
    return np.array([name for names in found for name in names]), labels


def name_originals(root, names, labels, args):
    """dict from every name to its original, `<class>/<number>`."""
    table = {}
    for label, name in enumerate(CLASSES):
        rows = np.flatnonzero(labels == label)
        numbers = find_originals([root / names[row] for row in rows], workers=args.workers, quiet=args.quiet, desc=name)
        table.update((names[row], f"{name}/{number}") for row, number in zip(rows, numbers, strict=True))
    return table


def print_counts(labels, originals):
    print("label class      tiles  originals  copies of one: fewest, median, most")
    originals = np.array(originals)
    for label, name in enumerate(CLASSES):
        copies = np.unique(originals[labels == label], return_counts=True)[1]
        print(f"{label:5} {name:10} {(labels == label).sum():5}  {copies.size:9}  "
              f"{copies.min()}, {np.median(copies):g}, {copies.max()}")
