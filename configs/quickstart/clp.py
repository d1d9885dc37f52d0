"""The quick start's contrastive pre-training: the published recipe on 48² crops of drawn tiles, for a minute or two.

So few steps need longer ones than LARS takes with the published rate, which is for 62,400.
"""
_base_ = '../_base_/moco_v3_r18.py'

_data = 'wsi_workdir/workdir/quickstart/tiles/NCT'
data = dict(
    imgs_per_gpu=64,
    workers_per_gpu=1,
    train=dict(data_source=dict(list_file=f'{_data}/meta/train_labeled.txt', root=f'{_data}/data'), pipeline=[
        dict(type='RandomResizedCrop', size=48, scale=(0.2, 1.0)),
        dict(type='RandomHorizontalFlip'),
        dict(type='RandomAppliedTrans', p=0.8,
             transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)]),
        dict(type='RandomGrayscale', p=0.2),
        dict(type='RandomAppliedTrans', p=0.5, transforms=[dict(type='GaussianBlur', sigma_min=0.1, sigma_max=0.6)]),
        dict(type='RandomAppliedTrans', p=0.2, transforms=[dict(type='Solarization', threshold=128)]),
    ]))
optimizer = dict(lr=3.0)
log_config = dict(interval=10)
checkpoint_config = dict(interval=100)
total_epochs = 3
