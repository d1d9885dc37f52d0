"""Extraction for the quick start's real tiles, at 96²; lists and folders come from the protocol."""
_base_ = '../extraction/base.py'
data = dict(
    imgs_per_gpu=128,
    workers_per_gpu=2,
    extract=dict(
        data_source=dict(list_file='', root=''),
        pipeline=[
            dict(type='Resize', size=96),
            dict(type='CenterCrop', size=96),
            dict(type='ToTensor'),
            dict(type='Normalize', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]))
