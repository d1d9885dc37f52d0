"""The quick start's contrastive pre-training: MoCo-v3 on 32² crops of synthetic tiles, for some minutes.

Six hundred steps are not the published sixty thousand, so the recipe differs from it: AdamW, sharper contrast, keys
that follow at once, and changes of stain as wide as those between the tiles, so that the stain does not tell one tile
from another. Small crops, from a fifth of the tile on, make it look at the tissue rather than at its layout.
"""
_base_ = '../_base_/moco_v3_r18.py'

_data = 'wsi_workdir/workdir/quickstart/tiles/NCT'
model = dict(temperature=0.2, base_momentum=0.9)
data = dict(
    imgs_per_gpu=64,
    workers_per_gpu=1,
    train=dict(data_source=dict(list_file=f'{_data}/meta/train_labeled.txt', root=f'{_data}/data'), pipeline=[
        dict(type='RandomResizedCrop', size=32, scale=(0.2, 1.0)),
        dict(type='RandomHorizontalFlip'),
        dict(type='RandomVerticalFlip'),
        dict(type='StainJitter', scale=0.8, shift=0.1),
        dict(type='RandomAppliedTrans', p=0.8,
             transforms=[dict(type='ColorJitter', brightness=0.2, contrast=0.4, saturation=0.4, hue=0.15)]),
        dict(type='RandomGrayscale', p=0.2),
        dict(type='RandomAppliedTrans', p=0.3, transforms=[dict(type='GaussianBlur', sigma_min=0.1, sigma_max=0.6)]),
    ]))
optimizer = dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05)
lr_config = dict(warmup='linear', warmup_iters=1, warmup_by_epoch=True)
log_config = dict(interval=25)
checkpoint_config = dict(interval=100)
total_epochs = 24
