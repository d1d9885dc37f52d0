"""Lunit's ViT-S/16, pre-trained with DINO on tiles of 224², which need no resizing.

The weights are not redistributed: the preset is checked against the published number of parameters and runs with
random weights.
"""
kind = 'timm'
architecture = dict(name='vit_small_patch16_224', dynamic_img_size=True)
resize, crop, interpolation = 224, 224, 'bicubic'
mean, std = (0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464)
pooling = 'cls'
width = 384
parameters = 21_665_664
license = 'Lunit non-commercial licence'
weights = 'https://github.com/lunit-io/benchmark-ssl-pathology/releases (dino_vit_small_patch16_ep200.torch)'
citation = 'Kang et al., Benchmarking self-supervised learning on diverse pathology datasets, CVPR 2023'
pretraining_data = ('TCGA',)
