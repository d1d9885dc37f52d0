"""CLP on the same tiles without their labels: 64² pixels, batches of 64, one process; k-nearest neighbours watch it.

    bash tools/dist_train.sh configs/tiles/clp_r18_64.py 1
"""
_base_ = '../_base_/moco_v3_r18.py'

_root = 'data/CRC5/data'
# A tenth of the published number of steps: sharper contrast, faster keys and larger steps than the published recipe.
model = dict(temperature=0.2, base_momentum=0.99)
optimizer = dict(lr=2.0)
performance = dict(amp=True)  # bf16: twice as fast where the processor has it
data = dict(
    imgs_per_gpu=64,
    train=dict(data_source=dict(list_file='data/CRC5/meta/train.txt', root=_root), pipeline=[
        dict(type='RandomResizedCrop', size=64, scale=(0.2, 1.0)),
        dict(type='RandomHorizontalFlip'),
        dict(type='RandomAppliedTrans', p=0.8,
             transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)]),
        dict(type='RandomGrayscale', p=0.2),
        dict(type='RandomAppliedTrans', p=0.5, transforms=[dict(type='GaussianBlur', sigma_min=0.1, sigma_max=0.6)]),
        dict(type='RandomAppliedTrans', p=0.2, transforms=[dict(type='Solarization', threshold=128)]),
    ]))
custom_hooks = [
    dict(type='BYOLHook', end_momentum=1.0),
    dict(type='KNNHook', list_file='data/CRC5/meta/train_labeled.txt', test_list_file='data/CRC5/meta/test_labeled.txt',
         root=_root, size=64, interval=5),
]
checkpoint_config = dict(interval=10)
total_epochs = 20
