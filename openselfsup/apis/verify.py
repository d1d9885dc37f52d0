"""Ready features checked against their tiles: a few rows are made again, and where they differ, the cause is sought.

Compared are directions, so the length of a stored row is a finding of its own. A cause is named where features that
are made with it come at least four times as close to the stored rows as those made as asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

import numpy as np
import torch

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import open_features, unit_length
from fewshot_wsi.foundation.provenance import RAW, read_provenance
from fewshot_wsi.foundation.seeds import generator
from openselfsup.apis.blocks import CPU_SLICE
from openselfsup.apis.reading import check_listed
from openselfsup.encoders.network import NetworkEncoder, Pooling
from openselfsup.encoders.presets import Interpolation
from openselfsup.images import BrokenImage
from openselfsup.transforms import build_pipeline

EQUAL = 1e-3        # distance of unit rows up to which they are the same numbers, float16 files included
ROUNDING = 0.999    # cosine from which another precision or decoder is enough to explain a difference, if nothing else
CLOSER = 4          # times that a cause has to come closer than no cause
LENGTH = 5e-3       # deviation from unit length that float16 does not explain
_CHUNK = 65536      # rows of the file looked at in one go
NORMALISATIONS = {  # whose: (mean, standard deviation), for levels 0 … 1
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0.5 and 0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none, levels 0 … 1": ((0, 0, 0), (1, 1, 1)),
    "none, levels 0 … 255": ((0, 0, 0), (1 / 255, 1 / 255, 1 / 255)),
    "CLIP's": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "H-optimus's": ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517)),
    "Hibou's": ((0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816)),
    "Lunit's": ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464)),
}


@dataclass(frozen=True)
class Verdict:
    """What became of a check: `findings`, a line each, none where all agrees; `smallest` cosine (None: no row fits)."""
    rows: int
    smallest: float | None
    findings: tuple[str, ...]


def verify(job, encoder, count):
    """Verdict on `count` rows of the features at `job.output`, drawn at random, beside those that `encoder` gives now.

    job: ExtractionJob. Rows of another length than 1 are a finding unless their JSON says that they are raw; directions
    are compared either way. UserError: no such features, another number of rows than the list, images that are
    missing or do not decode.
    """
    features = open_features(job.output, len(job.tiles))
    check_listed(job.tiles, job.images.path)
    items = np.sort(generator(0, "verify").choice(len(features), min(count, len(features)), replace=False))
    stored, findings = np.asarray(features[items], dtype=np.float32), []
    if not np.isfinite(stored).all():
        return Verdict(len(items), None, ("rows hold NaN or infinite values",))
    raw = (read_provenance(job.output) or {}).get("normalize") == RAW
    if not raw and (off := _lengths(stored)) is not None:
        findings.append(off)
    stored = unit_length(stored)[0]
    images = _read(job.tiles, items)
    expected = features_of(encoder, images)
    if stored.shape[1] != expected.shape[1]:
        width = f"rows hold {stored.shape[1]:,} features, this encoder gives {expected.shape[1]:,}"
        cause = _best(stored, _layers(encoder, images))
        known = cause is not None and cause[1].max() <= np.sqrt(2 - 2 * ROUNDING)
        findings.append(f"{width}; likely cause: {cause[0]}" if known else f"{width}: another encoder or layer")
        return Verdict(len(items), None, tuple(findings))
    found = _distances(stored, expected)
    if found.max() > EQUAL:
        findings += _cause(job, encoder, features, items, images, stored, expected, found)
    return Verdict(len(items), _cosine(found), tuple(findings))


def features_of(encoder, images):
    """(n, D) float32 of unit length. images: (n, H, W, 3) uint8, or float32 levels of any range."""
    tiles = torch.from_numpy(images).permute(0, 3, 1, 2)
    return unit_length(np.concatenate([encoder(part).float().cpu().numpy() for part in tiles.split(CPU_SLICE)]))[0]


def _cause(job, encoder, features, items, images, stored, expected, found):
    """[the finding], [] where the difference is no more than rounding."""
    best = _best(stored, (*_preprocessing(job, encoder, items, images), *_layers(encoder, images)))
    order, nearest = _order(features, items, expected)
    if _cosine(moved := _distances(nearest, expected)) >= ROUNDING and (
            best is None or moved.mean() < best[1].mean()) and order:
        best = order, moved
    differ = int((found > EQUAL).sum())
    what = f"{differ} of {len(items)} rows differ from what the encoder gives, smallest cosine {_cosine(found):.6f}"
    if best is not None and best[1].mean() * CLOSER <= found.mean():
        return [f"{what}; likely cause: {best[0]} (with it {_cosine(best[1]):.6f})"]
    if _cosine(found) >= ROUNDING:
        return []
    return [f"{what}; no cause was found among order, channels, mean and standard deviation, resizing and pooling: "
            "other weights, another encoder or other images"]


def _best(stored, suspects):
    """(text, (n,) distances) of the suspect that comes closest to the stored rows; None without any of their width."""
    fitting = [(text, _distances(stored, made)) for text, made in suspects if made.shape == stored.shape]
    return min(fitting, key=lambda one: one[1].mean(), default=None)


def _order(features, items, expected):
    """(text, for each of `expected` the row of the file that is closest to it); '' where all are in their place."""
    closest, where = np.full(len(items), -2.0, np.float32), np.zeros(len(items), int)
    nearest = np.zeros_like(expected)
    for start in range(0, len(features), _CHUNK):
        rows = unit_length(features[start:start + _CHUNK])[0]
        cosines = expected @ rows.T                                  # (n, chunk)
        at = cosines.argmax(axis=1)
        closer = cosines[np.arange(len(items)), at] > closest
        closest[closer], where[closer] = cosines[closer, at[closer]], start + at[closer]
        nearest[closer] = rows[at[closer]]
    moved = np.flatnonzero(where != items)
    if not len(moved):
        return "", nearest
    return (f"rows are in another order than the list: the tile of row {items[moved[0]]} is row {where[moved[0]]} of "
            "the file"), nearest


def _preprocessing(job, encoder, items, images) -> Iterator[tuple[str, np.ndarray]]:
    """(text, features) of tiles that are prepared in other ways, those that change anything."""
    yield "channels are swapped (BGR instead of RGB)", features_of(encoder, np.ascontiguousarray(images[..., ::-1]))
    pipeline = job.recipe.pipeline
    if hasattr(encoder, "normalize") and getattr(encoder.preset, "kind", None) != "tflite":  # which takes whole levels
        mean, std = (np.float32(x) for x in (pipeline.mean or (0, 0, 0), pipeline.std or (1, 1, 1)))
        for whose, (other_mean, other_std) in NORMALISATIONS.items():
            if not np.allclose((mean, std), (other_mean, other_std)):
                # levels that the encoder's own normalisation turns into what the other one gives
                wanted = (images / 255 - other_mean) / other_std
                levels = (255 * (mean + std * wanted)).astype(np.float32)
                yield f"another mean and standard deviation ({whose})", features_of(encoder, levels)
    seen = [images]
    for text, operations in _resizings(job.recipe.operations, images.shape[1:3]):
        other = _read(replace(job.tiles, pipeline=build_pipeline(operations, job.recipe.path)), items, images.shape)
        if other is not None and not any(np.array_equal(other, one) for one in seen):
            seen.append(other)
            yield text, features_of(encoder, other)


def _resizings(operations, size):
    """(text, operations) with every other interpolation and rule of resizing to tiles of `size` (height, width)."""
    at = next((i for i, op in enumerate(operations) if op["type"] == "Resize"), None)
    resize = {"size": None, "interpolation": "bilinear"} if at is None else operations[at]
    rest = [op for op in operations if op["type"] not in ("Resize", "CenterCrop")]
    crop, own = {"type": "CenterCrop", "size": size}, resize.get("interpolation", "bilinear")
    side = min(size)
    rules = {"": resize["size"], f"the shorter side to {side}": side, f"to {size[0]} × {size[1]}": size,
             f"the shorter side to {side * 8 // 7}, then cropping": side * 8 // 7}
    for (rule, target), interpolation in product(rules.items(), (own, *get_args(Interpolation))):
        if target is not None:
            texts = [f"another interpolation ({interpolation} instead of {own})"] * (interpolation != own)
            texts += [f"another resizing ({rule})"] * bool(rule)
            step = {"type": "Resize", "size": target, "interpolation": interpolation}
            yield " and ".join(texts), (step, crop, *rest)
    yield "another resizing (none, the centre alone)", (crop, *rest)


def _layers(encoder, images) -> Iterator[tuple[str, np.ndarray]]:
    """(text, features) of other poolings of an encoder's tokens, or other stages of a ResNet."""
    if not isinstance(encoder, NetworkEncoder):
        return
    tiles = torch.from_numpy(images).permute(0, 3, 1, 2)
    if hasattr(encoder, "stages"):
        names = ("first convolution", *(f"stage {number}" for number in (1, 2, 3)))
        for name, maps in zip(names, _stages(encoder, tiles), strict=False):
            yield f"another layer (the mean over the map of the {name})", maps
    pool = encoder.pool
    if isinstance(pool, Pooling) and pool.how != "network":
        tokens = torch.cat([encoder.output(part) for part in tiles.split(CPU_SLICE)])
        others = (*((how, pool.skipped) for how in ("cls", "mean", "cls+mean")), ("mean", 0))
        for how, skipped in others if tokens.ndim == 3 else ():
            if (how, skipped) != (pool.how, pool.skipped):
                text = f"pooling = '{how}'" if skipped else "the mean of all tokens, class token included,"
                made = replace(pool, how=how, skipped=skipped)(tokens).cpu().numpy()
                yield f"another layer or pooling ({text} instead of '{pool.how}')", unit_length(made)[0]


def _stages(encoder, tiles):
    """Unit-length means over the maps of each stage, a list of (n, C)."""
    parts = [[maps.mean(dim=(2, 3)) for maps in encoder.stages(part)] for part in tiles.split(CPU_SLICE)]
    return [unit_length(torch.cat(stage).cpu().numpy())[0] for stage in zip(*parts, strict=True)]


def _read(tiles, items, shape=None):
    """(n, H, W, 3) uint8 of `items`. With `shape`: None where the tiles come out at another one."""
    images = [tiles.get(int(item)) for item in items]
    broken = [str(image) for image in images if isinstance(image, BrokenImage)]
    if broken:
        raise UserError(f"{len(broken)} of the tiles that are to be compared do not decode: {broken[0]}")
    if len({image.shape for image in images}) > 1 or (shape is not None and images[0].shape != shape[1:]):
        if shape is not None:
            return None
        raise UserError("the images come out of the pipeline at different sizes; add dict(type='CenterCrop', size=…) "
                        "to the config")
    return np.stack(images)


def _lengths(stored):
    """A finding where rows have another length than 1; rows of zeros have none."""
    lengths = np.linalg.norm(stored[stored.any(axis=1)], axis=1)
    if not len(lengths) or np.abs(lengths - 1).max() <= LENGTH:
        return None
    return (f"rows are not of unit length ({lengths.min():.4g} … {lengths.max():.4g}), as extraction writes them: "
            "divide each by its Euclidean length")


def _distances(stored, made):
    return np.linalg.norm(stored - made, axis=1)


def _cosine(distances):
    """The cosine of two unit rows at the largest of `distances`."""
    return float(1 - distances.max() ** 2 / 2)
