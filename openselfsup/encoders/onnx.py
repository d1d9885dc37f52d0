"""Encoders of kind 'onnx': a network in one .onnx file, run by onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.files import file_sha256
from openselfsup.encoders.network import check_width, pooled


def load(recipe, weights, device, seed=0, trust=False):
    """The encoder of a preset of kind 'onnx'."""
    return OnnxEncoder(recipe, weights, device)


class OnnxEncoder:
    """The first input takes (n, 3, H, W) float32, normalised as the preset says; the output that `architecture` names
    (`output`, default the first) gives (n, dim), or tokens and maps, which `pooling` pools."""

    def __init__(self, recipe, weights, device):
        self.name, self.dim, self.weights_sha256 = recipe.preset.name, recipe.preset.width, file_sha256(weights)
        self.preset, self.transform, self.normalize = recipe.preset, recipe.pipeline, recipe.pipeline.normalize
        cuda = torch.device(device).type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        self.device = torch.device("cuda" if cuda else "cpu")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # extraction computes on several threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                Path(weights).read_bytes(), options,
                providers=["CUDAExecutionProvider"] if cuda else ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no common class of errors
            raise UserError(f"{weights}: not a network that onnxruntime reads ({one_line(error)[:200]}); its weights "
                            "have to lie in the file itself") from None
        first = self.session.get_inputs()[0]
        self.input, self.batch = first.name, first.shape[0] if isinstance(first.shape[0], int) else None
        self.pool = pooled(self.preset, 1 + self.preset.register_tokens)
        self.output = recipe.preset.architecture.get("output", self.session.get_outputs()[0].name)
        known = [one.name for one in self.session.get_outputs()]
        if self.output not in known:
            raise UserError(f"{weights}: no output {self.output!r}; there are {', '.join(known)}")

    def __call__(self, images):
        values = self.normalize(images.float()).numpy()
        size = self.batch or len(values)
        parts = [self._run(values[at:at + size], size) for at in range(0, len(values), size)]
        found = torch.from_numpy(np.concatenate(parts)[:len(values)])
        return check_width(self.pool(found), self.preset)

    def _run(self, values, size):
        """Output for at most `size` tiles; a network with a fixed batch gets black tiles beside them."""
        values = np.concatenate([values, np.zeros((size - len(values), *values.shape[1:]), values.dtype)])
        try:
            return self.session.run([self.output], {self.input: values})[0]
        except Exception as error:  # onnxruntime has no common class of errors
            raise UserError(f"{self.preset.path}: the network does not take tiles of {values.shape[1:]} float32 "
                            f"({one_line(error)[:200]})") from None
