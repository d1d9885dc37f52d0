"""An extraction config, read and checked: which images, which operations, which backbone."""

from dataclasses import dataclass
from functools import cached_property

from mmengine.config import Config

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import json_sha256, shipped
from fewshot_wsi.foundation.keys import check_keys
from openselfsup.transforms import build_pipeline

_MODEL = ("type", "backbone", "pretrained")
_DATA = ("imgs_per_gpu", "workers_per_gpu", "extract")
_EXTRACT = ("type", "data_source", "pipeline")
_SOURCE = ("type", "list_file", "root")
_TYPES = {"model": "Extractor", "data.extract": "ExtractDataset", "data.extract.data_source": "ImageList"}


@dataclass(frozen=True)
class Recipe:
    """How tiles become features."""
    path: str
    list_file: str
    root: str
    backbone: dict      # dict(type='ResNet', depth=…)
    operations: tuple   # of dicts, as in the config
    batch_size: int     # rows computed and stored together
    workers: int        # threads that read images

    @cached_property
    def sha256(self):
        """Hash of what the numbers depend on: backbone and operations, not lists, folders, batch size or wording."""
        return json_sha256([self.backbone, self.operations])

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
    file = shipped(path)
    if not file.is_file():
        raise UserError(f"{path}: no such extraction config; the published ones are in configs/extraction")
    try:
        config = Config.fromfile(str(file)).to_dict()
    except Exception as error:  # the file is a program: whatever it raises is for its author
        raise UserError(f"{path}: not a readable config ({type(error).__name__}: {error})") from None
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


def _part(config, key, known, path, required, inside=""):
    where = f"{inside}{key}"
    part = config.get(key)
    check_keys(part, known, f"{path}: {where}", required)
    if part.get("type", _TYPES.get(where)) != _TYPES.get(where):
        raise UserError(f"{path}: {where}.type is {part['type']!r}, extraction knows {_TYPES[where]!r} alone")
    return part
