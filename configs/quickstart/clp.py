"""The quick start's contrastive pre-training: MoCo-v3 on 48² crops of synthetic tiles, for a minute or two.

Two hundred steps are not the published sixty thousand, so the recipe differs from it as configs/tiles/clp_r18_64.py
does: sharper contrast, keys that follow sooner, larger steps, milder changes of colour.
"""
_base_ = '../_base_/moco_v3_r18.py'

_data = 'wsi_workdir/workdir/quickstart/tiles/NCT'
model = dict(temperature=0.2, base_momentum=0.99)
data = dict(
    imgs_per_gpu=32,
    workers_per_gpu=1,
    train=dict(data_source=dict(list_file=f'{_data}/meta/train_labeled.txt', root=f'{_data}/data'), pipeline=[
        dict(type='RandomResizedCrop', size=48, scale=(0.2, 1.0)),
        dict(type='RandomHorizontalFlip'),
        dict(type='RandomVerticalFlip'),
        dict(type='RandomAppliedTrans', p=0.8,
             transforms=[dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)]),
        dict(type='RandomGrayscale', p=0.1),
        dict(type='RandomAppliedTrans', p=0.3, transforms=[dict(type='GaussianBlur', sigma_min=0.1, sigma_max=0.6)]),
    ]))
optimizer = dict(lr=1.0)
lr_config = dict(warmup='linear', warmup_iters=1, warmup_by_epoch=True)
log_config = dict(interval=10)
checkpoint_config = dict(interval=100)
total_epochs = 5
