"""Contrastive pre-training for `quickstart.sh --tiles`: 64² crops of CRC5's training tiles, without their labels.

List and folder come from configs/protocols/tiles.py. Recipe: configs/tiles/clp_r18_64.py, which explains it.
"""
_base_ = '../tiles/clp_r18_64.py'

data = dict(workers_per_gpu=1)
custom_hooks = [dict(type='BYOLHook', end_momentum=1.0)]
performance = dict(amp=False)  # not every processor has bf16
checkpoint_config = dict(interval=100)
total_epochs = 6
