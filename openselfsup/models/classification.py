"""Fully-supervised pre-training, FSP: backbone, pooled features, linear classifier, cross-entropy."""

from mmengine.model import BaseModel

from openselfsup.checkpoint import fit, load_weights


class Classification(BaseModel):
    """backbone, head: modules. pretrained: file whose backbone training starts from."""

    contrastive = False

    def __init__(self, backbone, head, pretrained=None, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.backbone, self.head = backbone, head
        backbone.init_weights()
        head.init_weights()
        if pretrained:
            fit(backbone, load_weights(pretrained), pretrained)

    def forward(self, images, labels=None, mode="loss"):
        """images: (N, 3, H, W), labels: (N,) int64. mode 'loss': dict of tensors; 'predict': scores (N, classes)."""
        scores = self.head(self.backbone(images))
        return self.head.loss(scores, labels) if mode == "loss" else scores
