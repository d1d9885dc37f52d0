"""Pre-train an encoder: contrastive (MoCo-v3) or supervised, on one process or many.

Usually started through tools/dist_train.sh, tools/srun_train.sh or tools/single_train.sh.
"""

import argparse
import logging
import os

from fewshot_wsi.foundation.errors import Terminated, UserError
from fewshot_wsi.foundation.files import work_dir_of
from openselfsup import distributed
from openselfsup.distributed import reported_once
from openselfsup.options import add_config_options, add_launch_options

logger = logging.getLogger(__name__)


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python tools/train.py configs/classification/nct/r18_bs512_ep100_all.py --seed 0 "
               "--cfg-options data.imgs_per_gpu=64 total_epochs=10")
    parser.add_argument("config", help="training config, as under configs/wsi_selfsup and configs/classification")
    parser.add_argument("--work_dir", "--work-dir", help="checkpoints and logs [work_dirs/<path of the config>]")
    parser.add_argument("--resume_from", metavar="CKPT", help="continue from this checkpoint, exactly where it stopped")
    parser.add_argument("-c", "--continue_training", action="store_true", help="continue from work_dir/latest.pth")
    parser.add_argument("--pretrained", metavar="CKPT", help="start the backbone from these weights")
    parser.add_argument("--gpus", type=int, default=1,
                        help="processes of this command; more than 1 needs tools/dist_train.sh [1]")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentations [0]")
    parser.add_argument("--deterministic", action="store_true", help="only reproducible kernels on GPUs; slower")
    parser.add_argument("-d", "--dev", action="store_true", help="a small trial: 16 images a process")
    parser.add_argument("--auto_scale_lr", "--auto-scale-lr", action="store_true",
                        help="learning rate × processes × update_interval / 8: published rates are for 8 GPUs")
    parser.add_argument("--keep", type=int, metavar="N", help="keep only the newest N files epoch_*.pth [all]")
    add_launch_options(parser.add_argument)
    add_config_options(parser.add_argument, "data.imgs_per_gpu=64 or optimizer.lr=0.1")
    return parser.parse_args(argv)


def configure(args):
    """The config with everything that the command line says about it."""
    from openselfsup.apis.train import latest
    from openselfsup.config import load_config

    if args.gpus != 1 and args.launcher == "none":
        raise UserError(f"--gpus {args.gpus}: one command is one process; use "
                        f"'bash tools/dist_train.sh {args.config} {args.gpus}'")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: a whole number from 0")
    config = load_config(args.config, args.cfg_options)
    args.work_dir = args.work_dir or work_dir_of(args.config)
    if args.resume_from:
        config.resume_from = args.resume_from
    if args.continue_training:
        config.resume_from = latest(args.work_dir)
    if args.pretrained:
        config.model.pretrained = args.pretrained
    if args.dev:
        config.data.imgs_per_gpu = 16
    if args.keep is not None:
        config.checkpoint_config.keep = args.keep
    return config


@reported_once
def main(argv=None):
    try:
        return run(parse_args(argv))
    except Terminated:  # while training runs, openselfsup.stopping saves instead
        logger.info("terminated before training began; there is nothing to save")
        return 0


def run(args):
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by CUDA when it starts, for --deterministic
    distributed.take_local_rank(args.local_rank)
    from openselfsup.apis.train import train

    config = configure(args)
    distributed.start(args.launcher, config.dist_params.backend, args.port)
    with distributed.locked_by_first(args.work_dir, wait=False):
        code = train(config, work_dir=args.work_dir, seed=args.seed, deterministic=args.deterministic,
                     scale_lr=args.auto_scale_lr)
    distributed.stop()
    return code
