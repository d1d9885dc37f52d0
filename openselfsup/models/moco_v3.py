"""MoCo-v3 (Chen, Xie, He, 2021) on ResNets: contrastive-learning pre-training, CLP.

loss = 2T · (CE(q1 · k2ᵀ / T) + CE(q2 · k1ᵀ / T)), q from encoder_q, k from encoder_k (no gradient), unit lengths;
the target of row i is column i. After every iteration (BYOLHook) encoder_k ← m · encoder_k + (1 − m) · encoder_q.
"""

import copy
import math

import torch
from mmengine.model import BaseModel
from torch import nn
from torch.nn import functional as F

from fewshot_wsi.foundation.errors import UserError
from openselfsup import distributed
from openselfsup.checkpoint import fit, load_weights


def momentum_at(step, total, start, end=1.0):
    """Key momentum of iteration `step` (iterations done before it) of `total`: cosine from `start` to `end`."""
    return end - (end - start) * (math.cos(math.pi * step / total) + 1) / 2


def contrastive_loss(q, k, temperature, first=0):
    """2T · cross-entropy of q · kᵀ / T. q: (N, d), k: (M, d), unit rows; the positive of q[i] is k[first + i]."""
    logits = q @ k.T / temperature  # (N, M)
    targets = torch.arange(first, first + len(q), device=q.device)
    return 2 * temperature * F.cross_entropy(logits, targets)


class MOCOv3(BaseModel):
    """
    backbone, projector, predictor: modules. temperature: T. base_momentum: m of the first iteration.
    negatives: 'local' (published: the process's own batch) or 'gathered' (keys of all processes).
    momentum_buffers: also average BN's running statistics into encoder_k (published: each keeps its own).
    pretrained: file whose backbone both encoders start from.
    """

    contrastive = True

    def __init__(self, backbone, projector, predictor, temperature=1.0, base_momentum=0.996, negatives="local",
                 momentum_buffers=False, pretrained=None, data_preprocessor=None):
        super().__init__(data_preprocessor)
        if negatives not in ("local", "gathered"):
            raise UserError(f"model.negatives is {negatives!r}; choose 'local' or 'gathered'")
        if pretrained:
            fit(backbone, load_weights(pretrained), pretrained)
        self.encoder_q = nn.Sequential(backbone, projector, predictor)
        self.encoder_k = nn.Sequential(copy.deepcopy(backbone), copy.deepcopy(projector)).requires_grad_(False)
        self.backbone = backbone  # a second name, as published: checkpoints hold 'backbone.' keys
        self.temperature, self.base_momentum, self.momentum = temperature, base_momentum, base_momentum
        self.negatives, self.momentum_buffers = negatives, momentum_buffers

    def forward(self, images, labels=None, mode="loss"):
        """images: (2, N, 3, H, W), two augmented views of N tiles. Returns the loss and what to watch."""
        if mode != "loss":
            raise UserError("a contrastive model gives no predictions; measure its backbone with the KNNHook or with "
                            "wsi_workdir/extract.py")
        x1, x2 = images.unbind(0)
        q1, q2 = (F.normalize(self.encoder_q(x), dim=1) for x in (x1, x2))
        with torch.no_grad():
            k1, k2 = (F.normalize(self.encoder_k(x), dim=1) for x in (x1, x2))
        first = 0
        if self.negatives == "gathered":
            first = distributed.first_row(len(k1))
            k1, k2 = distributed.gather_rows(k1), distributed.gather_rows(k2)
        loss = contrastive_loss(q1, k2, self.temperature, first) + contrastive_loss(q2, k1, self.temperature, first)
        # 1 for embeddings spread evenly over the sphere, 0 when all are the same
        spread = q1.detach().float().std(0).mean() * math.sqrt(q1.shape[1])
        return {"loss": loss, "embedding_std": spread}

    @torch.no_grad()
    def momentum_update(self):
        """encoder_k ← momentum · encoder_k + (1 − momentum) · encoder_q, parameters (and buffers if asked for)."""
        for module_q, module_k in zip(self.encoder_q, self.encoder_k, strict=False):  # the predictor has no partner
            _average(module_k.parameters(), module_q.parameters(), self.momentum)
            if self.momentum_buffers:
                _average(_float_buffers(module_k), _float_buffers(module_q), self.momentum)


def _average(keys, queries, momentum):
    keys = list(keys)
    torch._foreach_mul_(keys, momentum)
    torch._foreach_add_(keys, list(queries), alpha=1 - momentum)


def _float_buffers(module):
    return [buffer for buffer in module.buffers() if buffer.is_floating_point()]
