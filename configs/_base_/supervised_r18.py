"""Fully-supervised pre-training, FSP: ResNet-18 and a linear classifier, 100 epochs.

A config over this one sets data.train.data_source.list_file. 128 images a process: the '512' of the published file
names holds on 4 processes, on 8 a batch has 1,024.
"""
_base_ = '../base.py'

model = dict(
    type='Classification',
    pretrained=None,
    backbone=dict(type='ResNet', depth=18, in_channels=3, out_indices=[4], norm_cfg=dict(type='BN')),
    head=dict(type='ClsHead', with_avg_pool=True, in_channels=512, num_classes=9))

_normalize = dict(type='Normalize', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
train_pipeline = [
    dict(type='RandomResizedCrop', size=224),
    dict(type='RandomHorizontalFlip'),
    dict(type='ToTensor'),
    _normalize,
]
test_pipeline = [dict(type='Resize', size=224), dict(type='ToTensor'), _normalize]
data = dict(
    imgs_per_gpu=512 // 4,
    workers_per_gpu=5,
    train=dict(type='ClassificationDataset', data_source=dict(type='ImageList', root='data/NCT/data'),
               pipeline=train_pipeline),
    val=dict(type='ClassificationDataset',
             data_source=dict(type='ImageList', list_file='data/NCT/meta/test_labeled.txt', root='data/NCT/data'),
             pipeline=test_pipeline))  # of tools/test.py

optimizer = dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=0.0)
lr_config = dict(policy='step', step=[30, 60, 90])
checkpoint_config = dict(interval=100)
total_epochs = 100
