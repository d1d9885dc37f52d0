"""Accuracy, F1 of every class and confusion matrix of a trained classifier (FSP) on the config's data.val."""

import argparse
import time
from pathlib import Path

from fewshot_wsi.foundation.files import write_json, write_text
from openselfsup import distributed
from openselfsup.distributed import reported_once
from openselfsup.options import add_config_options, add_launch_options


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python tools/test.py configs/classification/nct/r18_bs512_ep100_all.py "
               "work_dirs/classification/nct/r18_bs512_ep100_all/latest.pth --out scores.json")
    parser.add_argument("config", help="training config with data.val, a labelled list")
    parser.add_argument("checkpoint", help="checkpoint of that config")
    parser.add_argument("--out", metavar="JSON", help="also write the scores there, as fractions")
    parser.add_argument("--work_dir", "--work-dir", metavar="DIR",
                        help="also write what is printed to DIR/test_<time>.log")
    add_launch_options(parser.add_argument)
    add_config_options(parser.add_argument, "data.val.data_source.list_file=my_list.txt")
    return parser.parse_args(argv)


@reported_once
def main(argv=None):
    args = parse_args(argv)
    distributed.take_local_rank(args.local_rank)
    from openselfsup.apis.evaluate import evaluate, report
    from openselfsup.config import load_config

    config = load_config(args.config, args.cfg_options)
    distributed.start(args.launcher, config.dist_params.backend, args.port)
    scores = evaluate(config, args.checkpoint)
    if distributed.rank() == 0:
        print(report(scores))
        if args.work_dir:
            write_text(Path(args.work_dir, f"test_{time.strftime('%Y%m%d_%H%M%S')}.log"), f"{report(scores)}\n")
        if args.out:
            write_json(args.out, scores)
    distributed.stop()
