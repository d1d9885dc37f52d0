"""Which GPUs and CPUs compute in bfloat16."""

import platform

import torch

from openselfsup import distributed


def bf16_works(device=None):
    """Whether the device ('cpu', 'cuda'; None: the GPU where there is one) computes in bfloat16 itself.

    A processor without it imitates it, many times slower.
    """
    if (device or distributed.device().type) == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine().lower() in ("aarch64", "arm64") or not hasattr(torch.cpu, "_is_avx512_bf16_supported"):
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # else oneDNN imitates it
