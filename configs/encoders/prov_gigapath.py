"""The tile encoder of Prov-GigaPath, a ViT-g/16.

The weights are gated: the preset is checked against the published number of parameters and runs with random weights.
"""
kind = 'timm'
architecture = dict(
    name='vit_giant_patch14_dinov2', img_size=224, patch_size=16, embed_dim=1536, depth=40, num_heads=24,
    init_values=1e-05, mlp_ratio=5.33334)
resize, crop, interpolation = 256, 224, 'bicubic'
pooling = 'cls'
width = 1536
parameters = 1_134_953_984
mpp = 0.5
license = 'Apache-2.0'
weights = 'https://huggingface.co/prov-gigapath/prov-gigapath (pytorch_model.bin, gated)'
citation = 'Xu et al., A whole-slide foundation model for digital pathology from real-world data, Nature 2024'
pretraining_data = ('Providence',)
