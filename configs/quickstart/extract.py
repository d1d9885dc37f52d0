"""Extraction for the quick start's synthetic tiles, at their own size; lists and folders come from the protocol."""
_base_ = '../extraction/base.py'
data = dict(
    imgs_per_gpu=128,
    workers_per_gpu=2,
    extract=dict(
        data_source=dict(list_file='', root=''),
        pipeline=[
            dict(type='Resize', size=64),
            dict(type='CenterCrop', size=64),
            dict(type='ToTensor'),
            dict(type='Normalize', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]))
