"""UNI2-h, a ViT-H/14 of the Mahmood lab with eight register tokens.

The weights are gated: the preset is checked against the published number of parameters and runs with random weights.
"""
kind = 'timm'
architecture = dict(
    name='vit_giant_patch14_224', img_size=224, patch_size=14, depth=24, num_heads=24, init_values=1e-05,
    embed_dim=1536, mlp_ratio=5.33334, no_embed_class=True, mlp_layer='SwiGLUPacked', act_layer='silu',
    reg_tokens=8, dynamic_img_size=True)
resize, crop, interpolation = 224, 224, 'bilinear'
pooling = 'cls'
width = 1536
parameters = 681_394_176
mpp = 0.5
license = 'CC-BY-NC-ND-4.0'
weights = 'https://huggingface.co/MahmoodLab/UNI2-h (pytorch_model.bin, gated)'
citation = 'Chen et al., Towards a general-purpose foundation model for computational pathology, Nature Medicine 2024'
pretraining_data = ('Mass General Brigham', 'GTEx')
