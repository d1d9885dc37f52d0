"""DINOv2 ViT-B/14 of natural images, at 224²: position embeddings are interpolated from 518².

The weights are not redistributed: the preset is checked against the published number of parameters and runs with
random weights.
"""
kind = 'timm'
architecture = dict(name='vit_base_patch14_dinov2', img_size=518, dynamic_img_size=True)
resize, crop, interpolation = 256, 224, 'bicubic'
pooling = 'cls'
width = 768
parameters = 86_579_712
license = 'Apache-2.0'
weights = 'https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth'
citation = 'Oquab et al., DINOv2: learning robust visual features without supervision, TMLR 2024'
pretraining_data = ('LVD-142M',)
ignored_keys = ('mask_token',)
