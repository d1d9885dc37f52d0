"""Build the base dictionary of latent augmentation: k-means prototypes, covariances and shift bank of base features.

Reads the features of one model (by default the set that the protocol names), leaves the novel classes out, and writes
<workdir>/dict/<model>/NCT_{PROTO,COV,SHIFT}_BANK_<K>.npy with a JSON that says how they were made; where the classes
left out are not those that the protocol says the model has never seen, they go to <workdir>/dict/<model>/wo_<classes>,
as one encoder may need several dictionaries. What was made from the same inputs before is kept.
"""

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

import numpy as np

from lowshot.commands import extract_command
from lowshot.dictionary import bank_files, build_dictionary, load_dictionary, save_dictionary
from lowshot.errors import UserError, run_command
from lowshot.features import features_sha256, labels_sha256, load_features, load_set
from lowshot.files import read_json
from lowshot.protocol import DEFAULT, load_protocol, parse_novel

EXAMPLE = "python wsi_workdir/dict_construction.py --model clp_wo_7 --novel_class 7 --num_prototypes 16"


def main(argv=None):
    args = parse_args(argv)
    protocol = load_protocol(args.protocol)
    features, inputs = base_features(protocol, args)
    settings = settings_of(protocol, args)
    folder = protocol.dictionary_folder(args.model, tuple(inputs["novel"]), args.dict_pth)
    prefix = protocol.dictionary.prefix
    path = bank_files(folder, prefix, settings["num_prototypes"])["PROTO"]
    if not args.overwrite and made_before(folder, prefix, settings, inputs):
        print(f"{path}: made from the same inputs before, kept")
        return
    dictionary = build_dictionary(features, **settings)
    dictionary.how.update(inputs)
    save_dictionary(folder, prefix, dictionary)
    counts = dictionary.how["counts"]
    print(f"{path}: {len(dictionary)} prototypes of {len(features)} features, {min(counts)} to {max(counts)} a cluster")
    if min(counts) < 2:
        print(f"notice: {counts.count(0)} clusters are empty and never used, {counts.count(1)} hold one tile and give "
              "no shift", file=sys.stderr)


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"example: {EXAMPLE}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="whose features, as clp_wo_7")
    parser.add_argument("--novel_class", help="classes to leave out: 7, or 78 for two "
                                              "(default: those that the protocol says the model has never seen)")
    parser.add_argument("--num_prototypes", type=int, help="clusters (default: the protocol's, 16 as published)")
    parser.add_argument("--num_shift_vectors", type=int, help="shifts a cluster (default: the protocol's, 2000)")
    parser.add_argument("--features", help="set of base features (default: the protocol's, NCT_train)")
    parser.add_argument("--dict_pth", help="folder of the dictionaries (default <workdir>/dict)")
    parser.add_argument("--seed", type=int, help="of the shift bank (default: the protocol's)")
    parser.add_argument("--protocol", default=DEFAULT, help="(default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="build again, whatever is there")
    return parser.parse_args(argv)


def base_features(protocol, args):
    """(features (N, D) without the novel classes, what they were: a dict for the JSON)."""
    name = args.features or protocol.dictionary.set
    classes, path = protocol.classes[protocol.set(name).classes], protocol.features_file(args.model, name)
    if args.novel_class is not None:
        novel = parse_novel(args.novel_class, len(classes))
    else:
        novel = protocol.models[args.model].novel if args.model in protocol.models else ()
    inputs, make = {"features": name, "novel": sorted(novel)}, extract_command(protocol, args.model, name)
    if not novel:
        features = load_features(path, made_by=make)
        return features, {**inputs, "features_sha256": features_sha256(path), "labels_sha256": None}
    features, labels = load_set(path, protocol.labels_file(name), len(classes), make)
    return features[~np.isin(labels, novel)], {**inputs, "features_sha256": features_sha256(path),
                                               "labels_sha256": labels_sha256(labels)}


def settings_of(protocol, args):
    """Arguments of `build_dictionary`: the command's where given, else the protocol's."""
    base = protocol.dictionary
    given = {"num_prototypes": args.num_prototypes, "num_shift_vectors": args.num_shift_vectors, "seed": args.seed}
    settings = {"num_prototypes": base.num_prototypes, "num_shift_vectors": base.num_shift_vectors,
                "iterations": base.iterations, "kmeans_seed": base.kmeans_seed, "seed": protocol.seed}
    return settings | {key: value for key, value in given.items() if value is not None}


def made_before(folder, prefix, settings, inputs):
    """Whether the whole dictionary is there and was made so. UserError: another one is there."""
    files = bank_files(folder, prefix, settings["num_prototypes"])
    if not files["json"].exists():
        if files["PROTO"].exists() or files["COV"].exists():
            raise UserError(f"{files['PROTO']}: a dictionary brought along; use it as it is, or --overwrite it")
        return False
    found = read_json(files["json"], "description of a dictionary")
    found = {**found, **found.get("how", {})}
    other = [key for key, value in {**settings, **inputs}.items() if found.get(key) != value]
    if other:
        raise UserError(f"{files['json']}: made with other {', '.join(other)}; build again with --overwrite")
    try:
        load_dictionary(folder, prefix, settings["num_prototypes"])
    except UserError as error:  # stopped half-way, or damaged since: the inputs are the same, so it is made again
        print(f"notice: {error}; made again now", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(run_command(main))
