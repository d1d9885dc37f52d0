"""Which encoder makes the features, and tiles through it, block by block."""

import contextlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import unit_length
from fewshot_wsi.foundation.files import json_sha256
from fewshot_wsi.foundation.provenance import ENCODER, read_provenance
from fewshot_wsi.meta_test.protocol import is_preset, load_protocol
from fewshot_wsi.pipeline.extraction import recipe_of
from openselfsup.apis.blocks import batch_size, encoded
from openselfsup.apis.extract import pick_device, pick_workers
from openselfsup.apis.reading import ListedTiles, check_listed
from openselfsup.encoders import build_encoder

IDENTITY = (*ENCODER, "seed")  # what says which encoder made features; the seed is that of random weights


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder as the command line or a head names it. None: not named.

    encoder: a preset's file or an encoder without weights; pretrained: weights; config: extraction config of encoders
    without a preset; seed: of random weights; the rest is how to compute.
    """
    encoder: str | None = None
    pretrained: str | None = None
    config: str | None = None
    seed: int = 0
    device: str = "auto"
    runtime: str = "torch"
    workers: int | None = None
    trust: bool = False

    @property
    def named(self):
        return self.encoder is not None or self.pretrained is not None

    @cached_property
    def recipe(self):
        return recipe_of(self.encoder, self.config)

    @cached_property
    def built(self):
        return build_encoder(self.encoder, self.pretrained, self.recipe, pick_device(self.device), self.seed,
                             self.trust, self.runtime)

    @property
    def identity(self):
        """dict of IDENTITY, as the provenance of features has it."""
        random = "random" in (self.built.name, self.built.weights_sha256)
        return {"encoder": self.built.name, "weights_sha256": self.built.weights_sha256,
                "config_sha256": self.recipe.sha256, "seed": self.seed if random else None}

    @property
    def facts(self):
        """What a head keeps so that the encoder can be built again, and what it does to a tile."""
        where = None if self.pretrained in (None, "random") or str(self.pretrained).startswith("package:") \
            else str(Path(self.pretrained).absolute())
        return {"choice": {"encoder": self.encoder, "pretrained": where or self.pretrained, "config": self.config,
                           "seed": self.seed}, "preprocessing": list(self.recipe.operations)}


def of_protocol(choice, path, model):
    """The EncoderChoice of a protocol's model: its preset, weights, and the extraction config of its base set."""
    protocol = load_protocol(path)
    if model not in protocol.models:
        raise UserError(f"{protocol.path}: no model {model!r}; there are {', '.join(protocol.models)}")
    entry = protocol.models[model]
    weights = str(protocol.weights_file(model)) if entry.needs_weights else None
    config = None if is_preset(entry.encoder) else choice.config or protocol.set(protocol.dictionary.set).config
    return replace(choice, encoder=entry.encoder, pretrained=choice.pretrained or weights, config=config,
                   seed=protocol.seed if entry.encoder == "random" else choice.seed)


def features_identity(path):
    """dict of IDENTITY of a features file; {} where nothing says what made it."""
    made = read_provenance(path) or {}
    return {key: made.get(key) for key in IDENTITY} if made else {}


def check_same_encoder(one, other, what, where):
    """UserError where two dicts of IDENTITY are of different encoders; {} is not known and passes."""
    differ = [key for key in IDENTITY if one and other and one.get(key) != other.get(key)]
    if differ:
        raise UserError(f"{where}: made by another encoder than {what} ({other.get('encoder')} here, "
                        f"{one.get('encoder')} there; other {', '.join(differ)}); use features of the same encoder, "
                        "weights and preprocessing")


class EncodedRows:
    """Tiles as rows of features: blocks of `block` rows, computed when they are read.

    tiles: an object whose `get(row)` is the tile as (H, W, 3) uint8 after the pipeline of `choice`, or a BrokenImage.
    """

    def __init__(self, tiles, count, choice):
        self.tiles, self.count, self.choice, self.block = tiles, count, choice, choice.recipe.batch_size

    def __len__(self):
        return self.count

    def rows_of(self, number):
        return range(number * self.block, min((number + 1) * self.block, len(self)))

    @property
    def encoder(self):
        return self.choice.identity

    def read(self, numbers):
        """Yield (number, features (b, D) float32 of unit length, {place: why there is none}) of blocks, in order."""
        encoder = self.choice.built
        size = batch_size(encoder, self.tiles, numbers, self)
        slices = [self.rows_of(number)[at:at + size] for number in numbers
                  for at in range(0, len(self.rows_of(number)), size)]
        workers = pick_workers(self.choice.workers, self.choice.recipe)
        with contextlib.closing(encoded(self.tiles, slices, size, encoder, workers)) as parts:
            for number in numbers:
                features, faults, count = [], {}, 0
                while count < len(self.rows_of(number)):
                    part, broken = next(parts)
                    faults |= {count + place: text for place, text in broken.items()}
                    features.append(part)
                    count += len(part)
                yield number, unit_length(np.concatenate(features))[0], faults


class TileRows(EncodedRows):
    """Image files as rows of features. names: paths below root. UserError: an image is missing."""

    def __init__(self, names, root, choice, listed_in):
        self.names = tuple(names)
        super().__init__(ListedTiles(self.names, Path(root), choice.recipe.pipeline), len(self.names), choice)
        check_listed(self.tiles, listed_in)

    @cached_property
    def identity(self):
        """Hash of names, contents of the images and encoder."""
        return json_sha256([self.names, self.hashes(), self.encoder])

    def hashes(self):
        """SHA-256 of each image file."""
        return self.tiles.hashes_now(range(len(self)))
