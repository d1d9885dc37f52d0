"""Projector and predictor of contrastive learning, head of supervised learning."""

from torch import nn
from torch.nn import functional as F

from openselfsup.distributed import sync_bn_works


class NonLinearNeckSimCLR(nn.Module):
    """Multi-layer perceptron fc0, bn0, relu, fc1, bn1, … ; the last layer has BN (if `with_last_bn`) and no ReLU.

    (N, in_channels, H, W) with `with_avg_pool`, else (N, in_channels) -> (N, out_channels).
    sync_bn: statistics over all processes, where the device can (GPUs); else each process has its own.
    """

    def __init__(self, in_channels, hid_channels, out_channels, num_layers=2, sync_bn=True, with_bias=False,
                 with_last_bn=True, with_avg_pool=True):
        super().__init__()
        norm = nn.SyncBatchNorm if sync_bn and sync_bn_works() else nn.BatchNorm1d
        widths = [in_channels, *[hid_channels] * (num_layers - 1), out_channels]
        for i in range(num_layers):
            last = i == num_layers - 1
            self.add_module(f"fc{i}", nn.Linear(widths[i], widths[i + 1], bias=with_bias))
            if not last or with_last_bn:
                self.add_module(f"bn{i}", norm(widths[i + 1]))
        self.in_channels, self.out_channels = in_channels, out_channels
        self.num_layers, self.with_avg_pool = num_layers, with_avg_pool

    def forward(self, x):
        if self.with_avg_pool:
            x = x.mean((2, 3))
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
            norm = getattr(self, f"bn{i}", None)
            x = x if norm is None else norm(x)
            x = F.relu(x) if i < self.num_layers - 1 else x
        return x


class ClsHead(nn.Module):
    """Linear classifier on the average-pooled map: (N, in_channels, H, W) -> (N, num_classes) scores."""

    def __init__(self, in_channels, num_classes, with_avg_pool=True):
        super().__init__()
        self.in_channels, self.with_avg_pool = in_channels, with_avg_pool
        self.fc_cls = nn.Linear(in_channels, num_classes)

    def init_weights(self):
        """Weights from N(0, 0.01²), bias 0."""
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, x):
        return self.fc_cls(x.mean((2, 3)) if self.with_avg_pool else x)

    def loss(self, scores, labels):
        """Mean cross-entropy, and the share of images whose highest score is their label's."""
        correct = (scores.detach().argmax(1) == labels).float().mean()
        return {"loss": F.cross_entropy(scores, labels), "accuracy": correct}
