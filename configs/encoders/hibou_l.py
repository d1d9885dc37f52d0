"""Hibou-L, a ViT-L/14 of HistAI with four register tokens, as a Hugging Face folder.

The folder's own code is not run: its config.json names a class that transformers has as dinov2_with_registers.
The weights are gated: the preset is checked against the published number of parameters and runs with random weights.
"""
kind = 'huggingface'
architecture = dict(
    model_type='dinov2_with_registers', hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
    image_size=224, patch_size=14, mlp_ratio=4, use_swiglu_ffn=True, num_register_tokens=4)
resize, crop, interpolation = (224, 224), 224, 'bicubic'
mean, std = (0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816)
pooling = 'cls'
width = 1024
parameters = 303_659_264
license = 'Apache-2.0'
weights = 'https://huggingface.co/histai/hibou-L (the folder, with config.json and model.safetensors, gated)'
citation = 'Nechaev et al., Hibou: a family of foundational vision transformers for pathology, arXiv 2406.05074, 2024'
pretraining_data = ('HistAI',)
