"""Name unlabelled tiles: fit a classifier to a few labelled ones, estimate how good it is, and let it name the others.

Reads the supports (labelled tiles) and prints first the leave-one-out macro F1 of the classifier on its own
supports, with its interval. Then writes a row a query: class, probability or score of each class, margin (the output of
the class minus the largest other one), and the three nearest supports; with --coverage also the classes of its
conformal set and whether it abstains (the set is not one class). A tile that does not decode has a row that says so.
Finished blocks are kept: the same command continues where it was stopped.
Exit code: 0 all queries have a class, 1 some could not be read (they are named), 2 it could not run."""

import argparse

from fewshot_wsi.foundation.numbers import natural, positive
from fewshot_wsi.predict.options import (
    CLASSES,
    GROUPS,
    LABELED,
    ROWS,
    add_augmentation_options,
    add_classifier_option,
    add_encoder_options,
    add_mode_option,
    add_seed_option,
    check_fit_options,
)
from lowshot.classifiers import uses_base

EXAMPLE = """examples:
  python wsi_workdir/predict.py --support labelled/ --query tiles/ --out pred.csv --save head/ \\
      --encoder configs/encoders/uni.py --pretrained uni/pytorch_model.bin
  python wsi_workdir/predict.py --head head/ --query more_tiles/ --out more.csv
  python wsi_workdir/predict.py --support labels.csv --query feats.npy --out pred.csv --mode latent_aug --base feats.npy

--support is a tree <class>/<tile>, a CSV path,label[,group] or a list 'path label' a line; --query a folder, a list, a
CSV with the column path, or features (.npy). With features no encoder is needed: the supports are found among the rows
of the query, or of --support_features, by their paths; rows without a list are named 0, 1, 2 …"""
FIT = ("support_root", "support_features", "support_list", "groups", "classes", "clf", "mode", "dict", "base",
       "num_prototypes", "num_aug_shots", "latent", "seed", "setting", "number", "coverage", "save", "protocol",
       "model")


def main(argv=None):
    args = parse_args(argv)
    from fewshot_wsi.predict.run import run  # here, not above: it imports torch
    return 1 if run(request_of(args)) else 0


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument_group("labelled tiles").add_argument
    add(*LABELED, metavar="WHAT", help="tree of class folders, CSV path,label[,group] or list 'path label'")
    add("--support_root", metavar="DIR", help="folder that paths of a CSV or list start from (default: the file's)")
    add("--support_features", metavar="FILE.npy", help="features that hold a row of each support")
    add("--support_list", metavar="LIST", help=ROWS)
    add("--groups", metavar="CSV", help=GROUPS)
    add("--classes", nargs="+", metavar="C", help=CLASSES)
    add = parser.add_argument_group("tiles to be named").add_argument
    add("--query", metavar="WHAT", help="folder, list, CSV or features (.npy)")
    add("--query_root", metavar="DIR", help="folder that paths of a list or CSV start from (default: the file's)")
    add("--query_list", metavar="LIST", help=ROWS)
    add("--out", metavar="FILE", help="predictions: .csv, or .parquet (needs pyarrow)")
    add = parser.add_argument_group("encoder, for tiles").add_argument
    add_encoder_options(add)
    add("--workers", type=positive, metavar="N", help="threads that read images")
    add("--protocol", metavar="FILE", help="take the encoder of --model from this protocol")
    add("--model", metavar="M", help="model of the protocol")
    add = parser.add_argument_group("classifier").add_argument
    add_classifier_option(add)
    add_mode_option(add)
    add("--dict", metavar="DIR", help="base dictionary: its folder, or its file <prefix>_PROTO_BANK_<K>.npy")
    add("--base", metavar="FILE.npy", help="make it from these unlabelled features; the queries' own will do")
    add_augmentation_options(add)
    add_seed_option(add)
    add("--setting", metavar="TEXT", help="with --number: draws of a task of the engine, as <task>/<file of tasks>")
    add("--number", type=natural, metavar="T", help="number of that task (default 0)")
    add("--coverage", type=float, metavar="P", help="conformal sets that hold the class with this probability, as 0.9")
    add = parser.add_argument_group("kept classifier").add_argument
    add("--save", metavar="DIR", help="keep the fitted classifier")
    add("--head", metavar="DIR", help="use a kept one, instead of --support")
    add = parser.add_argument
    add("--overwrite", action="store_true", help="replace --out and --save where they hold something else")
    add("--quiet", action="store_true", help="no progress")
    args = parser.parse_args(argv)
    _check(parser, args)
    return args


def _check(parser, args):
    if (args.support is None) == (args.head is None):
        parser.error("give --support, or a kept classifier as --head; not both")
    check_fit_options(parser, args, FIT, "--support")
    if (args.query is None) != (args.out is None) or not (args.query or args.save):
        parser.error("give --query and --out, or --save alone")
    if (args.protocol is None) != (args.model is None) or (args.protocol and args.encoder):
        parser.error("--protocol and --model belong together, and take the place of --encoder")
    uses = args.mode not in (None, "linear") or uses_base(args.clf or "Ridge")
    if (args.dict or args.base) and not uses or (args.dict and args.base):
        parser.error("give one of --dict and --base, and that only with --mode latent_aug or a classifier that looks "
                     "at base features")
    if args.support_list and not args.support_features:
        parser.error("--support_list belongs to --support_features")


def request_of(args):
    """predict.run.PredictionRequest of the parsed options."""
    from fewshot_wsi.predict.encoding import EncoderChoice, of_protocol
    from fewshot_wsi.predict.fit import Method
    from fewshot_wsi.predict.run import PredictionRequest

    seed = args.seed or 0
    choice = EncoderChoice(args.encoder, args.pretrained, args.config, seed, args.device, args.runtime, args.workers,
                           args.trust)
    if args.protocol:
        choice = of_protocol(choice, args.protocol, args.model)
    method = Method(args.clf or "Ridge", args.mode or "linear", args.num_aug_shots or 100, args.latent or "sampled",
                    seed, args.setting or "", args.number or 0)
    same = ("support", "support_root", "support_features", "support_list", "groups", "query", "query_root",
            "query_list", "base", "coverage", "head", "save", "out", "overwrite", "quiet")
    return PredictionRequest(choice, method, classes=tuple(args.classes) if args.classes else None,
                             dictionary=args.dict, num_prototypes=args.num_prototypes or 16,
                             **{name: getattr(args, name) for name in same})
