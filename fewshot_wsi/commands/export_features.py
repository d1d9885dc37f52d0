"""Write features as HDF5, Zarr or Parquet, with names and labels of a list, for other tools.

The file holds `features` (N, D) in their own type, and with a list `names` and `labels` (Parquet: the columns
features, name, label); encoder, scale (normalize) and the hash of the source are its attributes. import_features.py
reads it back.
"""

import argparse
from pathlib import Path

from fewshot_wsi.feature_files.exporting import WRITERS, check_rows, export
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_features
from fewshot_wsi.foundation.lists import read_list
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.provenance import read_provenance

EXAMPLE = "example:\n  python tools/export_features.py feats/uni.npy --to h5"


def main(argv=None):
    args = parse_args(argv)
    target = args.output or args.features.with_suffix(f".{args.to}")
    features = load_features(args.features, half=True)
    listed = list_of(args)
    check_rows(features, listed)
    with locked(target):
        if target.exists() and not args.overwrite:
            raise UserError(f"{target}: there already; --overwrite replaces it")
        export(args.features, target, features, listed)
    print(f"{target}: {features.shape[0]:,} × {features.shape[1]:,} {features.dtype}"
          f"{', without names (give --list)' if listed is None else ''}")


def list_of(args):
    """ImageList of --list, else of the list that the features were made from where it is still there, else None."""
    named = args.list or (read_provenance(args.features) or {}).get("list")
    return read_list(named) if args.list or (named and Path(named).is_file()) else None


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path, metavar="F.npy")
    parser.add_argument("--to", required=True, choices=[ending[1:] for ending in WRITERS])
    parser.add_argument("--list", metavar="FILE", help="names and labels of the rows (default: the list that they were "
                                                       "made from)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="(default: F with the ending of the format)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    args = parser.parse_args(argv)
    if args.output and args.output.suffix != f".{args.to}":
        parser.error(f"--output {args.output}: the ending of --to {args.to} is .{args.to}")
    return args
