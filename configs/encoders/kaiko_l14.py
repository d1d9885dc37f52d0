"""kaiko.ai's ViT-L/14 with four register tokens, at 224²: position embeddings are interpolated from 518².

The weights are not redistributed: the preset is checked against the published number of parameters and runs with
random weights.
"""
kind = 'timm'
architecture = dict(name='vit_large_patch14_reg4_dinov2', img_size=518, dynamic_img_size=True)
resize, crop, interpolation = 224, 224, 'bilinear'
mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
pooling = 'cls'
width = 1024
parameters = 304_370_688
license = 'Kaiko non-commercial licence'
weights = (
    'https://huggingface.co/1aurent/vit_large_patch14_reg4_224.kaiko_ai_towards_large_pathology_fms '
    '(model.safetensors)')
citation = 'kaiko.ai et al., Towards large-scale training of pathology foundation models, arXiv 2404.15217, 2024'
pretraining_data = ('TCGA',)
