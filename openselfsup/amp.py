"""Mixed precision with bfloat16, on GPUs and on the CPUs that have it."""

import contextlib

import torch
from mmengine.optim import OptimWrapper

from openselfsup import distributed


def bf16_works():
    """Whether the device computes in bfloat16 itself; a processor without it imitates it, many times slower."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


class BF16OptimWrapper(OptimWrapper):
    """Forward passes under bfloat16 autocast. bfloat16 has float32's range: no loss scale is needed."""

    @contextlib.contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast(distributed.device().type, torch.bfloat16):
            yield
