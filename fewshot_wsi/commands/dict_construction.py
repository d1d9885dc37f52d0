"""Build the base dictionary of latent augmentation: k-means prototypes, covariances and shift bank of base features.

Reads the features of one model (by default the set that the protocol names), leaves the novel classes out, and writes
<workdir>/dict/<model>/NCT_{PROTO,COV,SHIFT}_BANK_<K>.npy with a JSON that says how they were made; where the classes
left out are not those that the protocol says the model has never seen, they go to <workdir>/dict/<model>/wo_<classes>,
as one encoder may need several dictionaries. What was made from the same inputs before is kept.

--base FILE.npy takes the base features from any file of features instead, without labels, of the same encoder: tiles of
another collection, or the unlabelled tiles of the user's own slides. Results name the file.
"""

import argparse

from fewshot_wsi.meta_test.protocol import DEFAULT, load_protocol
from fewshot_wsi.pipeline.dictionaries import make_dictionary

EXAMPLE = "python wsi_workdir/dict_construction.py --model clp_wo_7 --novel_class 7 --num_prototypes 16"


def main(argv=None):
    args = parse_args(argv)
    make_dictionary(load_protocol(args.protocol), args.model, novel_class=args.novel_class, features=args.features,
                    base_file=args.base, folder=args.dict_pth, overwrite=args.overwrite,
                    num_prototypes=args.num_prototypes, num_shift_vectors=args.num_shift_vectors, seed=args.seed)


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=f"example: {EXAMPLE}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="whose features, as clp_wo_7")
    parser.add_argument("--novel_class", help="classes to leave out: 7, or 78 for two "
                                              "(default: those that the protocol says the model has never seen)")
    parser.add_argument("--num_prototypes", type=int, help="clusters (default: the protocol's, 16 as published)")
    parser.add_argument("--num_shift_vectors", type=int, help="shifts a cluster (default: the protocol's, 2000)")
    parser.add_argument("--features", help="set of base features (default: the protocol's, NCT_train)")
    parser.add_argument("--base", metavar="FILE.npy", help="base features from this file, not from a set; no class is "
                                                           "left out")
    parser.add_argument("--dict_pth", help="folder of the dictionaries (default <workdir>/dict)")
    parser.add_argument("--seed", type=int, help="of the shift bank (default: the protocol's)")
    parser.add_argument("--protocol", default=DEFAULT, help="(default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="build again, whatever is there")
    args = parser.parse_args(argv)
    if args.base and (args.features or args.novel_class):
        parser.error("--base has no labels: leave out --features and --novel_class")
    return args
