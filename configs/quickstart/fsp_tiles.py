"""Supervised pre-training for `quickstart.sh --tiles`: 64² crops of CRC5's training tiles.

List and folder come from configs/protocols/tiles.py. Recipe: configs/tiles/fsp_r18_96.py.
"""
_base_ = '../tiles/fsp_r18_96.py'

_normalize = dict(type='Normalize', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
data = dict(workers_per_gpu=1, train=dict(pipeline=[
    dict(type='RandomResizedCrop', size=64, scale=(0.2, 1.0)), dict(type='RandomHorizontalFlip'),
    dict(type='ToTensor'), _normalize]))
performance = dict(amp=False)  # not every processor has bf16
checkpoint_config = dict(interval=100)
total_epochs = 8
