"""Virchow, a ViT-H/14 of Paige; class token and mean patch token side by side.

The weights are gated: the preset is checked against the published number of parameters and runs with random weights.
"""
kind = 'timm'
architecture = dict(
    name='vit_huge_patch14_224', img_size=224, init_values=1e-05, mlp_ratio=5.3375, mlp_layer='SwiGLUPacked',
    act_layer='silu', dynamic_img_size=True)
resize, crop, interpolation = 224, 224, 'bicubic'
pooling = 'cls+mean'
width = 2560
parameters = 631_229_184
mpp = 0.5
license = 'Apache-2.0'
weights = 'https://huggingface.co/paige-ai/Virchow (pytorch_model.bin, gated)'
citation = (
    'Vorontsov et al., A foundation model for clinical-grade computational pathology and rare cancers detection, '
    'Nature Medicine 2024')
pretraining_data = ('MSKCC',)
