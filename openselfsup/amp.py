"""Mixed precision with bfloat16, on GPUs and on the CPUs that have it."""

import contextlib
import platform

import torch
from mmengine.optim import OptimWrapper

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


class BF16OptimWrapper(OptimWrapper):
    """Forward passes under bfloat16 autocast. bfloat16 has float32's range: no loss scale is needed."""

    @contextlib.contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast(distributed.device().type, torch.bfloat16):
            yield
