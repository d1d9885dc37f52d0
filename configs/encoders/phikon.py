"""Phikon, a ViT-B/16 of Owkin, as a Hugging Face folder.

The weights are not redistributed: the preset is checked against the published number of parameters and runs with
random weights.
"""
kind = 'huggingface'
architecture = dict(
    model_type='vit', hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072,
    image_size=224, patch_size=16)
resize, crop, interpolation = (224, 224), 224, 'bilinear'
pooling = 'cls'
width = 768
parameters = 85_798_656
mpp = 0.5
license = 'Owkin non-commercial licence'
weights = 'https://huggingface.co/owkin/phikon (the folder, with config.json and model.safetensors)'
citation = (
    'Filiot et al., Scaling self-supervised learning for histopathology with masked image modeling, medRxiv '
    '2023.07.21.23292757, 2023')
pretraining_data = ('TCGA',)
