"""How tiles become features: an extraction config or the preset of an encoder, read and checked."""

from dataclasses import dataclass
from functools import cached_property

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import json_sha256
from fewshot_wsi.foundation.keys import check_keys
from fewshot_wsi.foundation.python_config import read_python_config
from openselfsup.encoders.presets import Preset, load_preset
from openselfsup.transforms import build_pipeline

_MODEL = ("type", "backbone", "pretrained")
_DATA = ("imgs_per_gpu", "workers_per_gpu", "extract")
_EXTRACT = ("type", "data_source", "pipeline")
_SOURCE = ("type", "list_file", "root")
_TYPES = {"model": "Extractor", "data.extract": "ExtractDataset", "data.extract.data_source": "ImageList"}


@dataclass(frozen=True)
class Recipe:
    """How tiles become features.

    Attributes
    ----------
    path : str
        The config file.
    list_file, root : str
        Image list and folder of the images that the config names; '' where it names none.
    backbone : dict
        dict(type='ResNet', depth=…).
    operations : tuple of dict
        What is done to a tile, as in the config.
    batch_size : int
        Rows computed and stored together.
    workers : int
        Threads that read images.
    preset : Preset or None
        Of an encoder that a preset describes; its operations come last.
    """
    path: str
    list_file: str
    root: str
    backbone: dict
    operations: tuple
    batch_size: int = 256
    workers: int = 5
    preset: Preset | None = None

    @cached_property
    def sha256(self):
        """Hash of what the numbers depend on: network and operations, not lists, folders, batch size or wording."""
        parts = [self.backbone, self.operations]
        return json_sha256(parts if self.preset is None else [*parts, self.preset.sha256])

    @cached_property
    def pipeline(self):
        return build_pipeline(self.operations, f"{self.path}: data.extract.pipeline")

    @property
    def augmented(self):
        """Whether operations are random, so that an image has many views."""
        return any(op.width for op in self.pipeline.in_worker)


def load_recipe(path):
    """Recipe from the config file `path`; UserError for a missing file, unknown keys or operations.

    Top-level names other than `model` and `data` are the config's own helpers or the trainer's, and are not read.
    """
    config = read_python_config(path, "extraction config; the published ones are in configs/extraction")
    model = _part(config, "model", _MODEL, path, ("backbone",))
    data = _part(config, "data", _DATA, path, ("extract",))
    extract = _part(data, "extract", _EXTRACT, path, ("data_source", "pipeline"), "data.")
    source = _part(extract, "data_source", _SOURCE, path, ("list_file", "root"), "data.extract.")
    if model.get("pretrained"):
        raise UserError(f"{path}: model.pretrained is given on the command line, as --pretrained FILE")
    recipe = Recipe(str(path), source["list_file"], source["root"], model["backbone"], tuple(extract["pipeline"]),
                    data.get("imgs_per_gpu", 256), data.get("workers_per_gpu", 5))
    recipe.pipeline  # noqa: B018  (checks the operations now, not at the first image)
    return recipe


def preset_recipe(path, views=None):
    """Recipe of the preset in the file `path`, with the random operations of the Recipe `views` before its own."""
    preset = load_preset(path)
    before = () if views is None else tuple(
        op for op in views.operations if op["type"] not in ("ToTensor", "Normalize"))
    backbone = preset.architecture if preset.kind == "resnet" else {}
    recipe = Recipe(str(path), "", "", backbone, (*before, *preset.operations), preset=preset)
    recipe.pipeline  # noqa: B018  (checks the operations now, not at the first image)
    return recipe


def _part(config, key, known, path, required, inside=""):
    where = f"{inside}{key}"
    part = config.get(key)
    check_keys(part, known, f"{path}: {where}", required)
    if part.get("type", _TYPES.get(where)) != _TYPES.get(where):
        raise UserError(f"{path}: {where}.type is {part['type']!r}, extraction knows {_TYPES[where]!r} alone")
    return part
