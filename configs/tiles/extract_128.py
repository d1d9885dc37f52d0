"""Extraction of CRC5's tiles at 128², for encoders trained by clp_r18_128.py."""
_base_ = '../extraction/base.py'
data = dict(extract=dict(data_source=dict(list_file='', root='data/CRC5/data'), pipeline=[
    dict(type='Resize', size=(128, 128)),
    dict(type='ToTensor'),
    dict(type='Normalize', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
]))
