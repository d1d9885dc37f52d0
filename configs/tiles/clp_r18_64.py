"""CLP on the same tiles without their labels, in CPU-sized steps: 64² pixels, batches of 32, 12 epochs, one process.

    bash tools/dist_train.sh configs/tiles/clp_r18_64.py 1

A thousand steps are not the published sixty thousand, so this recipe differs from it: AdamW instead of LARS (which got
nowhere in so few), sharper contrast, keys that follow sooner, milder changes of colour. k-nearest neighbours watch it.
GETTING_STARTED.md says how far it gets: above random weights on the training tiles, not on the test tiles.
"""
_base_ = '../_base_/moco_v3_r18.py'

_root = 'data/CRC5/data'
model = dict(temperature=0.2, base_momentum=0.99)
data = dict(
    imgs_per_gpu=32,
    train=dict(data_source=dict(list_file='data/CRC5/meta/train.txt', root=_root), pipeline=[
        dict(type='RandomResizedCrop', size=64, scale=(0.2, 1.0)),
        dict(type='RandomHorizontalFlip'),
        dict(type='RandomVerticalFlip'),
        dict(type='RandomAppliedTrans', p=0.8,
             transforms=[dict(type='ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.05)]),
        dict(type='RandomGrayscale', p=0.1),
        dict(type='RandomAppliedTrans', p=0.3, transforms=[dict(type='GaussianBlur', sigma_min=0.1, sigma_max=0.6)]),
    ]))
custom_hooks = [
    dict(type='BYOLHook', end_momentum=1.0),
    dict(type='KNNHook', list_file='data/CRC5/meta/train_labeled.txt', test_list_file='data/CRC5/meta/test_labeled.txt',
         root=_root, size=64, interval=2),
]
optimizer = dict(_delete_=True, type='AdamW', lr=5e-4, weight_decay=0.05)
lr_config = dict(warmup='linear', warmup_iters=50)
performance = dict(amp=True)  # bf16: half the time where the processor has it
log_config = dict(interval=20)
checkpoint_config = dict(interval=12)
total_epochs = 12
