"""Meta-test with augmented views of the support tiles: data augmentation, alone or times latent augmentation.

--aug_times A: each support tile is replaced by A views, the original and A - 1 augmented ones
(extracted_feats/<model>/NCT_aug). With --mode latent_aug each of the A views then stands for --num_aug_shots features.
The paper's ablation compares A = i^2 views, i^2 latent shots, and i views x i shots, i = 2 ... 16.
"""


from fewshot_wsi.meta_test.arguments import meta_test

EXAMPLE = ("python wsi_workdir/distributed_meta_test_wt_aug.py --mode latent_aug --aug_times 4 --num_aug_shots 4 "
           "--model clp_wo_78")


def main(argv=None):
    meta_test(argv, __doc__, EXAMPLE, task="NCT_78_aug")
