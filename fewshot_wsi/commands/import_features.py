"""Import features that other tools made: TRIDENT, CLAM and STAMP (.h5), .pt, .npz, .npy, Zarr, Parquet, CSV.

One file a slide, or one file in all. Rows are matched to the list by name, or by slide and coordinates (pixels of
level 0; microns are converted), never by order unless you say so. What is missing, on no list, or there twice is
counted and named.

The list is a CSV with the columns slide,x,y,label or path,label, perhaps with group (patient), or text, `path label`
a line. Beside F.npy come F.json (what it was made of), F_labeled.txt, F_groups.csv where groups are known, and
F_protocol.py, which scores the features as it stands.
"""

import argparse
import re
from pathlib import Path

from fewshot_wsi.feature_files.importing import ImportSettings, collect, store
from fewshot_wsi.feature_files.labels import read_labels
from fewshot_wsi.feature_files.protocol_text import fewest_tiles, protocol_text
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import write_text
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.numbers import above_zero
from fewshot_wsi.foundation.provenance import RAW, UNIT
from fewshot_wsi.foundation.tables import write_table

EXAMPLE = """examples:
  python tools/import_features.py trident/features_uni --list labels.csv --output feats/uni.npy
  python tools/import_features.py stamp/ --mpp 0.25 --list labels.csv --output feats/uni.npy
  python tools/import_features.py all.parquet --list labels.csv --normalize raw --output feats/uni.npy
then
  python wsi_workdir/run_protocol.py --protocol feats/uni_protocol.py"""


def main(argv=None):
    args = parse_args(argv)
    output = args.output
    settings = ImportSettings(args.normalize, args.allow_missing, args.slide, args.unit, args.mpp,
                              args.match == "order", args.encoder)
    wanted = read_labels(args.list)
    with locked(output):
        files = beside(output)
        there = [path for path in (output, *files.values()) if path.exists()]
        if there and not args.overwrite:
            raise UserError(f"{there[0]}: there already; --overwrite replaces it")
        tables, found, wanted = collect(args.inputs, wanted, settings)
        write_list(files["list"], wanted.names, wanted.labels)
        if wanted.groups is not None:
            write_table(files["groups"], ("path", "group"), zip(wanted.names, wanted.groups, strict=True))
        made = store(output, tables, found, wanted, settings, files["list"])
        model = args.model or re.sub(r"\W+", "_", made["encoder"] or output.stem)
        scoreable = len(wanted.classes) > 1 and fewest_tiles(wanted) > 1
        if scoreable:
            groups = files["groups"] if wanted.groups is not None else None
            write_text(files["protocol"], protocol_text(output.stem, model, output, files["list"], wanted, groups))
    scaled = "unit length" if args.normalize == UNIT else "raw, as they are in the files"
    print(f"{output}: {made['rows']:,} × {made['dim']:,} {made['dtype']}, {scaled}, {len(wanted.classes)} classes")
    if not scoreable:
        print("no protocol is written: a task needs two classes of two tiles; the features can be a dictionary's base "
              f"(dict_construction.py --base {output})")
        return
    print(f"next: python wsi_workdir/run_protocol.py --protocol {files['protocol']}")


def beside(output):
    """Paths of what comes with the features file `output`."""
    return {name: output.with_name(f"{output.stem}_{ending}") for name, ending in (
        ("list", "labeled.txt"), ("groups", "groups.csv"), ("protocol", "protocol.py"))}


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("inputs", nargs="+", metavar="IN", help="feature files, or folders of them")
    add("--list", required=True, metavar="FILE", help="the tiles, in the order that the features get, and their labels")
    add("--output", required=True, type=Path, metavar="F.npy", help="features to write")
    add("--normalize", choices=(UNIT, RAW), default=UNIT, help="scale each row to length 1, as published, or keep what "
        "the files hold (default: %(default)s); either is written down, and the two do not mix")
    add("--match", choices=("keys", "order"), default="keys", help="keys: by name or coordinates; order: row i is line "
        "i of the list, for files that hold neither (default: %(default)s)")
    add("--allow_missing", action="store_true", help="leave out tiles of the list that have no features")
    add("--slide", metavar="NAME", help="the slide that the one file is of, where it is named otherwise")
    add("--unit", choices=("px", "um"), help="of coordinates, where a file does not say it: level-0 pixels or microns")
    add("--mpp", type=above_zero, metavar="M", help="microns per pixel of level 0, to convert coordinates in microns")
    add("--encoder", metavar="NAME", help="what made the features, for files that do not say it")
    add("--model", metavar="NAME", help="name of the model in the protocol (default: the encoder's, or F)")
    add("--overwrite", action="store_true", help="replace what is there")
    args = parser.parse_args(argv)
    if args.output.suffix != ".npy":
        parser.error(f"--output {args.output}: features are written as .npy")
    return args
