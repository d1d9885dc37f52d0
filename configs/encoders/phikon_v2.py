"""Phikon-v2, a ViT-L/16 of Owkin, as a Hugging Face folder.

The weights are not redistributed: the preset is checked against the published number of parameters and runs with
random weights.
"""
kind = 'huggingface'
architecture = dict(
    model_type='dinov2', hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, image_size=224,
    patch_size=16, mlp_ratio=4)
resize, crop, interpolation = 224, 224, 'bicubic'
pooling = 'cls'
width = 1024
parameters = 303_351_808
mpp = 0.5
license = 'Owkin non-commercial licence'
weights = 'https://huggingface.co/owkin/phikon-v2 (the folder, with config.json and model.safetensors)'
citation = (
    'Filiot et al., Phikon-v2, a large and public feature extractor for biomarker prediction, arXiv '
    '2409.09173, 2024')
pretraining_data = ('TCGA', 'CPTAC', 'GTEx', 'PANCAN-XL')
