"""The quick start with three trainings of each recipe: does pre-training beat colour and random weights, by any seed?

    python wsi_workdir/run_protocol.py --protocol benchmarks/quickstart_seeds.py

The report's table of comparisons answers it, a mean over seeds beside their spread.
"""
_base_ = '../configs/protocols/quickstart.py'

name = 'quickstart_seeds'
workdir = 'wsi_workdir/workdir/quickstart_seeds'
models = dict(fsp_wo_8=dict(pretrain_seeds=(0, 1, 2)), clp_wo_8=dict(pretrain_seeds=(0, 1, 2)))
