"""The commands: argparse and a `main(argv)` each, behind `fewshot-wsi COMMAND` and the published scripts."""

import argparse
import importlib
import sys

from fewshot_wsi import __version__
from fewshot_wsi.foundation.errors import run_command

COMMANDS = {  # name, which is that of the module, of the published script and its folder: what it does
    "run_protocol": "a whole protocol, from images to F1 with confidence intervals",
    "nct": "lists of NCT-CRC-HE-100K, downloaded where it is not there",
    "lc25000": "lists of LC25000 and its groups",
    "paip19": "tiles and lists of PAIP2019 slides",
    "folder": "lists and a protocol for tiles of yours",
    "annotated_slides": "tiles, lists and a protocol from slides with marked regions",
    "check_data": "lists and images checked before a number is made from them",
    "train": "pre-training of an encoder",
    "test": "accuracy of a trained classifier",
    "extract_backbone_weights": "the backbone of a training checkpoint",
    "publish_model": "a checkpoint fit to hand out",
    "count_parameters": "number of parameters of a config's model",
    "extract": "features of a list's tiles",
    "import_features": "features of TRIDENT, CLAM, STAMP and others, in the order of a list",
    "export_features": "features as HDF5, Zarr or Parquet",
    "generate_task": "task files of near-, mixture- and out-domain evaluation",
    "generate_aug_NCT78_task": "task files of the ablations",
    "dict_construction": "base dictionary of latent augmentation",
    "distributed_meta_test": "meta-test of one model on one task",
    "distributed_meta_test_wt_aug": "the same with augmented views of the support tiles",
    "compare": "two methods, task by task",
    "report": "one page of all results",
    "select_tiles": "the tiles to label next, and a page to label them on",
    "budget_curve": "F1 against the number of labels a class",
    "predict": "names of unlabelled tiles, by a few labelled ones, and how sure they are",
    "slide": "a map of whole slides, by a few labelled regions, for QuPath and the browser",
    "visualize": "what encoders see in tiles",
}


def main(argv=None):
    """`fewshot-wsi COMMAND …`: exit code of the command."""
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="fewshot-wsi", description="Few-shot classification of histology images.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {name:{width}}  {what}" for name, what in COMMANDS.items()))
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below; COMMAND --help")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="…", help="its options")
    args = parser.parse_args(argv)
    sys.argv = [f"fewshot-wsi {args.command}", *args.options]  # what usage lines and the report's command show
    return run_command(importlib.import_module(f"fewshot_wsi.commands.{args.command}").main)
