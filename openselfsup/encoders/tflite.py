"""Encoders of kind 'tflite': a network in one .tflite file, run by LiteRT, one tile at a time."""

import threading
from pathlib import Path

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter

from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.files import file_sha256


def load(recipe, weights, device, seed=0, trust=False):
    """The encoder of a preset of kind 'tflite'."""
    return TfliteEncoder(recipe, weights)


class TfliteEncoder:
    """A network that takes one tile: its bytes where it is quantised, else normalised float32 as the preset says.

    The output, or the tensor whose number or name `architecture` gives (`tensor`), is brought back from its
    quantisation.
    """

    device = torch.device("cpu")

    def __init__(self, recipe, weights):
        self.name, self.dim, self.weights_sha256 = recipe.preset.name, recipe.preset.width, file_sha256(weights)
        self.preset, self.transform, self.normalize = recipe.preset, recipe.pipeline, recipe.pipeline.normalize
        self.content, self.path = Path(weights).read_bytes(), weights
        self.tensor = recipe.preset.architecture.get("tensor")
        self._own = threading.local()  # an interpreter serves one thread
        self._interpreter()

    def __call__(self, images):
        interpreter, source, target = self._interpreter()
        quantised = source["dtype"] == np.uint8
        values = images if quantised else self.normalize(images.float())
        values = values.permute(0, 2, 3, 1).contiguous().numpy()
        if values.shape[1:] != tuple(source["shape"][1:]):
            sizes = [" × ".join(map(str, shape[1:])) for shape in (source["shape"], values.shape)]
            raise UserError(f"{self.name}: the network takes {sizes[0]}, tiles come as {sizes[1]}; correct resize and "
                            "crop in its preset")
        features = np.empty((len(values), self.dim), np.float32)
        for row, tile in enumerate(values):
            interpreter.set_tensor(source["index"], tile[None])
            interpreter.invoke()
            features[row] = _real(interpreter.get_tensor(target["index"]), target).reshape(-1)
        return torch.from_numpy(features)

    def _interpreter(self):
        if not hasattr(self._own, "parts"):
            self._own.parts = self._start()
        return self._own.parts

    def _start(self):
        try:
            interpreter = Interpreter(model_content=self.content, num_threads=1,
                                      experimental_preserve_all_tensors=self.tensor is not None)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{self.path}: not a network that LiteRT reads ({one_line(error)[:200]})") from None
        target = interpreter.get_output_details()[0] if self.tensor is None else self._named(interpreter)
        if np.prod(target["shape"]) != self.dim:
            raise UserError(f"{self.path}: {target['name']} has shape {tuple(map(int, target['shape']))}, the preset "
                            f"says width = {self.dim}")
        return interpreter, interpreter.get_input_details()[0], target

    def _named(self, interpreter):
        found = [one for one in interpreter.get_tensor_details() if self.tensor in (one["index"], one["name"])]
        if not found:
            raise UserError(f"{self.path}: no tensor {self.tensor!r}")
        return found[0]


def _real(values, details):
    """Values of a quantised tensor as float32: scale · (value − zero)."""
    scale, zero = details["quantization"]
    return values.astype(np.float32) if not scale else np.float32(scale) * (values.astype(np.float32) - zero)
