"""CLP on CRC5's training tiles for one GPU: 128² pixels, batches of 256, 160 epochs.

    bash tools/dist_train.sh configs/tiles/clp_r18_128.py 1

The recipe of clp_r18_64.py with larger tiles and batches. `benchmarks/gpu.sh` runs it; GETTING_STARTED.md says how far
it gets and in how long.
"""
_base_ = 'clp_r18_64.py'

data = dict(imgs_per_gpu=256, workers_per_gpu=16, train=dict(pipeline=[
    dict(type='RandomResizedCrop', size=128, scale=(0.2, 1.0)),
    dict(type='RandomHorizontalFlip'),
    dict(type='RandomVerticalFlip'),
    dict(type='RandomAppliedTrans', p=0.8,
         transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)]),
    dict(type='RandomGrayscale', p=0.1),
    dict(type='RandomAppliedTrans', p=0.5, transforms=[dict(type='GaussianBlur', sigma_min=0.1, sigma_max=1.2)]),
]))
custom_hooks = [
    dict(type='BYOLHook', end_momentum=1.0),
    dict(type='KNNHook', list_file='data/CRC5/meta/train_labeled.txt', test_list_file='data/CRC5/meta/test_labeled.txt',
         root='data/CRC5/data', size=128, interval=20, batch_size=256, workers=16),
]
optimizer = dict(lr=1e-3)
lr_config = dict(warmup_iters=100)
checkpoint_config = dict(interval=160)
total_epochs = 160
