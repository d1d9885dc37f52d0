"""Midnight-12k, a ViT-g/14 of kaiko.ai, as a Hugging Face folder; class token and mean patch token side by side.

The weights are not redistributed: the preset is checked against the published number of parameters and runs with
random weights.
"""
kind = 'huggingface'
architecture = dict(
    model_type='dinov2', hidden_size=1536, num_hidden_layers=40, num_attention_heads=24, image_size=224,
    patch_size=14, mlp_ratio=4, use_swiglu_ffn=True)
resize, crop, interpolation = 224, 224, 'bilinear'
mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
pooling = 'cls+mean'
width = 3072
parameters = 1_134_771_200
license = 'MIT'
weights = 'https://huggingface.co/kaiko-ai/midnight (the folder, with config.json and model.safetensors)'
citation = (
    'Karasikov et al., Training state-of-the-art pathology foundation models with orders of magnitude less data, '
    'arXiv 2504.05186, 2025')
pretraining_data = ('TCGA',)
