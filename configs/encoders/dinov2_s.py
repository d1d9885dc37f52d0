"""DINOv2 ViT-S/14 of natural images, at 224²: position embeddings are interpolated from 518².

The weights are not redistributed: the preset is checked against the published number of parameters and runs with
random weights.
"""
kind = 'timm'
architecture = dict(name='vit_small_patch14_dinov2', img_size=518, dynamic_img_size=True)
resize, crop, interpolation = 256, 224, 'bicubic'
pooling = 'cls'
width = 384
parameters = 22_056_192
license = 'Apache-2.0'
weights = 'https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth'
citation = 'Oquab et al., DINOv2: learning robust visual features without supervision, TMLR 2024'
pretraining_data = ('LVD-142M',)
ignored_keys = ('mask_token',)
