"""CLP on the same tiles without their labels, in CPU-sized steps: 64² pixels, batches of 32, 16 epochs, one process.

    bash tools/dist_train.sh configs/tiles/clp_r18_64.py 1

A thousand steps are not the published sixty thousand, so this recipe differs from it: sharper contrast (temperature),
keys that follow sooner, larger steps, and milder changes of hue. k-nearest neighbours watch it.
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
             transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2)]),
        dict(type='RandomGrayscale', p=0.2),
        dict(type='RandomAppliedTrans', p=0.3, transforms=[dict(type='GaussianBlur', sigma_min=0.1, sigma_max=0.6)]),
    ]))
custom_hooks = [
    dict(type='BYOLHook', end_momentum=1.0),
    dict(type='KNNHook', list_file='data/CRC5/meta/train_labeled.txt', test_list_file='data/CRC5/meta/test_labeled.txt',
         root=_root, size=64, interval=4),
]
optimizer = dict(lr=3.0)
lr_config = dict(warmup='linear', warmup_iters=1, warmup_by_epoch=True)
performance = dict(amp=True)  # bf16: half the time where the processor has it
log_config = dict(interval=20)
checkpoint_config = dict(interval=16)
total_epochs = 16
