"""CONCH's image tower, a ViT-B/16 with attention pooling (Mahmood lab): 512 features before the projection.

The weights are gated: the preset follows the published code, its names of tensors included, and runs with random
weights.
"""
kind = 'timm'
architecture = dict(
    name='vit_base_patch16_224', img_size=448, patch_size=16, dynamic_img_size=True,
    attention_pool=dict(width=512, heads=8))
resize, crop, interpolation = 448, 448, 'bicubic'
pooling = 'cls'
width = 512
mpp = 0.5
license = 'CC-BY-NC-ND-4.0'
weights = 'https://huggingface.co/MahmoodLab/CONCH (pytorch_model.bin, gated)'
citation = 'Lu et al., A visual-language foundation model for computational pathology, Nature Medicine 2024'
pretraining_data = ('PubMed Central OA', 'educational notes')
ignored_keys = ('attn_pool_caption.*', 'ln_caption.*', 'proj_contrast')  # for captions and contrast with text
