"""What all extraction configs share: the encoder and how a tile becomes its input. Not run by itself.

Global average of the last stage, then unit length: openselfsup/apis/extract.py.
"""
model = dict(
    type='Extractor',
    backbone=dict(type='ResNet', depth=18, out_indices=[4], norm_cfg=dict(type='BN')))  # 4: the last stage
data = dict(
    imgs_per_gpu=256,
    workers_per_gpu=5,
    extract=dict(
        type='ExtractDataset',
        data_source=dict(type='ImageList'),
        pipeline=[
            dict(type='Resize', size=224),      # the shorter side; as Pillow does it, bilinear
            dict(type='CenterCrop', size=224),  # of tiles that are not square; no effect on square ones
            dict(type='ToTensor'),
            dict(type='Normalize', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]))
