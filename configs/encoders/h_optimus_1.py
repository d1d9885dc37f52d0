"""H-optimus-1, a ViT-g/14 of Bioptimus with four register tokens.

The weights are gated: the preset is checked against the published number of parameters and runs with random weights.
"""
kind = 'timm'
architecture = dict(name='vit_giant_patch14_reg4_dinov2', img_size=224, init_values=1e-05, dynamic_img_size=False)
resize, crop, interpolation = 224, 224, 'bicubic'
mean, std = (0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517)
pooling = 'cls'
width = 1536
parameters = 1_134_774_272
mpp = 0.5
license = 'CC-BY-NC-ND-4.0'
weights = 'https://huggingface.co/bioptimus/H-optimus-1 (pytorch_model.bin, gated)'
citation = 'Bioptimus, H-optimus-1, 2025, https://huggingface.co/bioptimus/H-optimus-1'
pretraining_data = ('Bioptimus, a million slides',)
