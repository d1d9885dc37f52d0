"""Meta-test one model on one task: F1 of every class with its 95 % interval, the average in the last line."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from lowshot.arguments import meta_test
from lowshot.errors import run_command

EXAMPLE = ("python wsi_workdir/distributed_meta_test.py --task near --num_task 1000 --num_shots 5 --mode latent_aug "
           "--model clp_wo_7 --novel_class 7 --clf Ridge")


def main(argv=None):
    meta_test(argv, __doc__, EXAMPLE, task="mixture")


if __name__ == "__main__":
    sys.exit(run_command(main))
