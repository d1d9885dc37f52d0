"""Meta-test one model on one task: F1 of every class with its 95 % interval, the average in the last line."""


from fewshot_wsi.meta_test.arguments import meta_test

EXAMPLE = ("python wsi_workdir/distributed_meta_test.py --task near --num_task 1000 --num_shots 5 --mode latent_aug "
           "--model clp_wo_7 --novel_class 7 --clf Ridge")


def main(argv=None):
    meta_test(argv, __doc__, EXAMPLE, task="mixture")
