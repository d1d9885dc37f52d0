"""Training in mixed precision with bfloat16: apart from `amp`, as MMEngine's optimisers take seconds to import."""

import contextlib

import torch
from mmengine.optim import OptimWrapper

from openselfsup import distributed


class BF16OptimWrapper(OptimWrapper):
    """Forward passes under bfloat16 autocast. bfloat16 has float32's range: no loss scale is needed."""

    @contextlib.contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast(distributed.device().type, torch.bfloat16):
            yield
