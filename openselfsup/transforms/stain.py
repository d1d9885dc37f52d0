"""Stain jitter: the strength of haematoxylin, eosin and a third stain changes, as it does between laboratories.

Same interface as color.py. Tellez et al., IEEE TMI 37(9), 2018, with the stains of Ruifrok & Johnston, 2001.
"""

import cv2
import numpy as np
import torch

from fewshot_wsi.foundation.errors import UserError

# Rows: optical density of haematoxylin, eosin and DAB in red, green and blue; unit lengths.
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)
_UNMIX = np.linalg.inv(STAINS)
_DENSITY = -np.log((np.arange(256) + 1) / 256).astype(np.float32)


class StainJitter:
    """Amounts of three stains, times α and plus β, each uniform: α in [1 − scale, 1 + scale], β in [−shift, shift].

    Density d = −ln((I + 1) / 256) of levels I; amounts a = d · S⁻¹, S the three stains as rows; then
    d' = (α a + β) · S and I' = 256 exp(−d') − 1, cut off to 0 … 255.
    """

    width = 6  # α of the three stains, then β

    def __init__(self, scale=0.2, shift=0.02):
        if not 0 <= scale <= 1 or not 0 <= shift < np.inf:
            raise UserError(f"StainJitter: 0 <= scale <= 1 and shift >= 0, got {scale} and {shift}")
        self.scale, self.shift = scale, shift

    def draw(self, rng, height, width):
        return np.concatenate([rng.uniform(1 - self.scale, 1 + self.scale, 3), rng.uniform(-self.shift, self.shift, 3)])

    def apply(self, image, parameters):
        mixing, offset = _in_density(np.asarray(parameters))
        density = cv2.transform(cv2.LUT(image, _DENSITY), np.column_stack([mixing.T, offset]).astype(np.float32))
        return np.clip(np.rint(256 * cv2.exp(-density) - 1), 0, 255).astype(np.uint8)

    def apply_batch(self, images, parameters):
        mixing, offset = (torch.as_tensor(part).to(images, non_blocking=True)
                          for part in _in_density(parameters.double().numpy()))
        density = -torch.log((images + 1) / 256).flatten(2)  # (n, 3, H · W)
        density = torch.baddbmm(offset[..., None], mixing.mT, density)
        return (256 * torch.exp(-density) - 1).clamp_(0, 255).view_as(images)


def _in_density(parameters):
    """(M (…, 3, 3), o (…, 3)): densities d, a row, become d · M + o. parameters: (…, 6)."""
    scale, shift = parameters[..., :3], parameters[..., 3:]
    return _UNMIX @ (scale[..., None] * STAINS), shift @ STAINS
