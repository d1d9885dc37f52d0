"""UNI, a ViT-L/16 of the Mahmood lab.

The weights are gated: the preset is checked against the published number of parameters and runs with random weights.
"""
kind = 'timm'
architecture = dict(
    name='vit_large_patch16_224', img_size=224, patch_size=16, init_values=1e-05, dynamic_img_size=True)
resize, crop, interpolation = 224, 224, 'bilinear'
pooling = 'cls'
width = 1024
parameters = 303_350_784
mpp = 0.5
license = 'CC-BY-NC-ND-4.0'
weights = 'https://huggingface.co/MahmoodLab/UNI (pytorch_model.bin, gated)'
citation = 'Chen et al., Towards a general-purpose foundation model for computational pathology, Nature Medicine 2024'
pretraining_data = ('Mass-100K', 'GTEx')
