"""DINOv3 ViT-B/16 of natural images with four register tokens, at 256², as a Hugging Face folder.

The weights are gated: the preset is checked against the published number of parameters and runs with random weights.
"""
kind = 'huggingface'
architecture = dict(
    model_type='dinov3_vit', hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
    image_size=224, patch_size=16, num_register_tokens=4)
resize, crop, interpolation = (256, 256), 256, 'bilinear'
pooling = 'cls'
width = 768
parameters = 85_660_416
license = 'DINOv3 License'
weights = 'https://huggingface.co/facebook/dinov3-vitb16-pretrain-lvd1689m (the folder, gated)'
citation = 'Siméoni et al., DINOv3, arXiv 2508.10104, 2025'
pretraining_data = ('LVD-1689M',)
