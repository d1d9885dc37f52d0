"""Extraction for the quick start's real tiles: as for the synthetic ones, at 96²."""
_base_ = 'extract.py'
data = dict(extract=dict(pipeline=[
    dict(type='Resize', size=96),
    dict(type='CenterCrop', size=96),
    dict(type='ToTensor'),
    dict(type='Normalize', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
]))
