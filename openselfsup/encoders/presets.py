"""Presets: what there is to know about an encoder beside its weights, as data in configs/encoders/<name>.py."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import json_sha256
from fewshot_wsi.foundation.python_config import read_python_config
from fewshot_wsi.foundation.validation import validated

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Pixels = Annotated[int, Field(ge=1)]
Size = Pixels | tuple[Pixels, Pixels]


class Preset(BaseModel):
    """An encoder: its network, the preprocessing that belongs to its weights, and where it comes from.

    Attributes
    ----------
    kind
        What builds the network: 'resnet', 'timm', 'huggingface', 'onnx', 'tflite' or 'torchscript'.
    architecture
        Arguments of the network; each kind says which.
    resize, interpolation
        Resizing of a tile, by Pillow: a whole number for the shorter side, (height, width), or None.
    crop
        Central pixels after resizing: a whole number or (height, width).
    mean, std
        Of the three channels, for levels 0 … 1.
    pooling, register_tokens
        'network': the network pools by itself; 'cls', 'mean' or 'cls+mean' of its tokens, see `network.pooled`.
        `register_tokens`: their number, where the file of the network does not say it (onnx, torchscript).
    width
        Number of features.
    mpp
        Microns per pixel of the tiles that the encoder was trained on; None where they vary or have none.
    parameters
        Published number of parameters up to the features, where it is known.
    license, weights, citation
        Text: the licence of the weights, where they are had, and the paper.
    pretraining_data
        Names of the data sets that it was trained on.
    key_names, ignored_keys
        How tensors are called in published files (see `key_names`), and shell patterns of those without use here.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    path: str
    kind: Literal["resnet", "timm", "huggingface", "onnx", "tflite", "torchscript"]
    architecture: dict[str, Any] = {}
    resize: Size | None = None
    interpolation: Interpolation = "bilinear"
    crop: Size
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    pooling: Literal["network", "cls", "mean", "cls+mean"] = "network"
    register_tokens: int = Field(default=0, ge=0)
    width: int = Field(ge=1)
    mpp: float | None = Field(default=None, gt=0)
    parameters: int | None = None
    license: str
    weights: str
    citation: str
    pretraining_data: tuple[str, ...] = ()
    key_names: str | None = None
    ignored_keys: tuple[str, ...] = ()

    @property
    def tile(self):
        """Pixels a side of the tiles that need no resizing."""
        return self.resize if isinstance(self.resize, int) else max(self.resize or self.input_size)

    @field_validator("mean", "std", "mpp", mode="before")
    @classmethod
    def _real(cls, value):
        return tuple(map(float, value)) if isinstance(value, tuple) else value if value is None else float(value)

    @model_validator(mode="after")
    def _positive(self):
        if min(self.std) <= 0:
            raise ValueError("std holds numbers above 0")
        return self

    @property
    def name(self):
        return Path(self.path).stem

    @property
    def input_size(self):
        """(height, width) of the tiles that the network sees."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop

    @property
    def operations(self):
        """The preprocessing, as operations of an extraction config."""
        resize = dict(type="Resize", size=self.resize, interpolation=self.interpolation)
        rest = (dict(type="CenterCrop", size=self.crop), dict(type="ToTensor"),
                dict(type="Normalize", mean=self.mean, std=self.std))
        return rest if self.resize is None else (resize, *rest)

    @property
    def sha256(self):
        """Hash of what the features depend on beside the weights: network, preprocessing, pooling."""
        return json_sha256([self.kind, self.architecture, self.operations, self.pooling, self.register_tokens])


def load_preset(path):
    """Preset of the file `path`; UserError where it is missing, or a key is unknown, missing or of another type."""
    values = read_python_config(path, "preset of an encoder; those that come with the project are in configs/encoders")
    if "path" in values:
        raise UserError(f"{path}: unknown key 'path'")
    return validated(Preset, {**values, "path": str(path)}, str(path))
