"""kaiko.ai's ViT-S/16.

The weights are not redistributed: the preset is checked against the published number of parameters and runs with
random weights.
"""
kind = 'timm'
architecture = dict(name='vit_small_patch16_224', dynamic_img_size=True)
resize, crop, interpolation = 224, 224, 'bilinear'
mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
pooling = 'cls'
width = 384
parameters = 21_665_664
license = 'Kaiko non-commercial licence'
weights = 'https://github.com/kaiko-ai/towards_large_pathology_fms/releases (vits16.pth)'
citation = 'kaiko.ai et al., Towards large-scale training of pathology foundation models, arXiv 2404.15217, 2024'
pretraining_data = ('TCGA',)
