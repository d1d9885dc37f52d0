"""torchvision's ResNets as encoders. Parameter names are torchvision's, which are OpenSelfSup's too."""

from torch import nn
from torchvision.models import resnet

from fewshot_wsi.foundation.errors import UserError
from openselfsup.distributed import sync_bn_works

_BLOCKS = {18: (resnet.BasicBlock, [2, 2, 2, 2]), 34: (resnet.BasicBlock, [3, 4, 6, 3]),
           50: (resnet.Bottleneck, [3, 4, 6, 3]), 101: (resnet.Bottleneck, [3, 4, 23, 3]),
           152: (resnet.Bottleneck, [3, 8, 36, 3])}
_NORMS = ("BN", "SyncBN")


class ResNet(resnet.ResNet):
    """ResNet without pooling and classifier.

    forward: (N, in_channels, H, W) -> (N, C, H/32, W/32), the map of the one stage in `out_indices`
    (0: first convolution, 1 … 4: stages; 4, the last, is the encoder's output). C is `.width`.
    Initial weights are PyTorch's defaults; `init_weights` gives those of supervised training.
    """

    def __init__(self, depth=18, in_channels=3, out_indices=(4,), norm_cfg=None):
        norm = (norm_cfg or {}).get("type", "BN")
        if depth not in _BLOCKS:
            raise UserError(f"backbone: no ResNet of depth {depth}; there are {', '.join(map(str, _BLOCKS))}")
        if norm not in _NORMS:
            raise UserError(f"backbone: norm_cfg type {norm!r}; known: BN, SyncBN")
        if len(out_indices) != 1 or out_indices[0] not in range(5):
            raise UserError(f"backbone: out_indices {tuple(out_indices)}; name one of 0 … 4")
        block, blocks = _BLOCKS[depth]
        synchronised = norm == "SyncBN" and sync_bn_works()
        super().__init__(block, blocks, norm_layer=nn.SyncBatchNorm if synchronised else nn.BatchNorm2d)
        self.out_index = out_indices[0]
        self.width = 64 * block.expansion * 2 ** (self.out_index - 1) if self.out_index else 64
        for unused in (self.layer1, self.layer2, self.layer3, self.layer4)[self.out_index:]:
            unused.requires_grad_(False)  # there so that files of weights fit, but nothing flows through
        del self.fc, self.avgpool
        if in_channels != 3:
            self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # torchvision initialises them by its own rule
                module.reset_parameters()

    def init_weights(self):
        """Convolutions from N(0, 2 / fan_in), BN weight 1 and bias 0: the published start of supervised training."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    def stages(self, x):
        """List of five maps: after the first convolution (before max-pooling) and after stages 1 … 4."""
        maps = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(maps[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4)[:self.out_index]:
            x = layer(x)
            maps.append(x)
        return maps

    def forward(self, x):
        return self.stages(x)[self.out_index]
