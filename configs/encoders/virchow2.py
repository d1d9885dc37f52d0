"""Virchow2, a ViT-H/14 of Paige with four register tokens; class token and mean patch token side by side.

The weights are gated: the preset is checked against the published number of parameters and runs with random weights.
"""
kind = 'timm'
architecture = dict(
    name='vit_huge_patch14_224', img_size=224, init_values=1e-05, mlp_ratio=5.3375, mlp_layer='SwiGLUPacked',
    act_layer='silu', reg_tokens=4, dynamic_img_size=True)
resize, crop, interpolation = 224, 224, 'bicubic'
pooling = 'cls+mean'
width = 2560
parameters = 631_239_424
mpp = 0.5
license = 'CC-BY-NC-ND-4.0'
weights = 'https://huggingface.co/paige-ai/Virchow2 (pytorch_model.bin or model.safetensors, gated)'
citation = (
    'Zimmermann et al., Virchow2: scaling self-supervised mixed magnification models in pathology, arXiv '
    '2408.00738, 2024')
pretraining_data = ('MSKCC',)
