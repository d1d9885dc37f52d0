"""One annotated slide becomes a folder of tiles: chosen on the coarse grid, read one by one, complete or absent."""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation import seeds
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256, read_json, write_json
from fewshot_wsi.prepare_data import annotation, slides
from fewshot_wsi.prepare_data.tissue import tissue_and_ink

RECORD = "tiles.json"
CLASSES = 3  # outside, whole but not viable, viable
MAX_INK = 0.01


@dataclass(frozen=True)
class CuttingSettings:
    tiles: int = 500           # of each class
    tile: int = 224            # pixels a side
    stride: int = 224          # pixels between neighbouring candidates
    target_mpp: float = 0.5    # micrometres a pixel: 20x
    mpp: float | None = None   # of slides that state none
    purity: float = 0.75       # share of a tile that its class covers at least
    min_tissue: float = 0.5
    seed: int = 0
    layer_ids: tuple = ()      # Ids of the XML's whole and viable Annotation


@dataclass(frozen=True)
class CuttingJob:
    name: str        # of the slide and of its folder of tiles
    slide: Path
    files: tuple     # annotation files


def cut(job, target, settings):
    """Tiles of one slide in the new folder `target`: `<class>/<x>+<y>+<class>.png`, x and y in pixels of level 0.

    Returns the record that is written to `target`/tiles.json: settings, source, and per class the candidates and the
    tiles' names. UserError: the slide or its annotation cannot be used, or a class has no candidate."""
    with slides.open_slide(job.slide) as slide:
        place = slides.geometry(slide, tile=settings.tile, mpp=settings.target_mpp, slide_mpp=settings.mpp)
        ids = dict(zip(settings.layer_ids, annotation.LAYERS, strict=False))
        cover = annotation.class_cover(job.files, place, slide.level_dimensions, ids)
        found = candidates(place, cover, *tissue_and_ink(slides.read_grid(slide, place)), settings)
        lacking = [str(label) for label, corners in enumerate(found) if not len(corners)]
        if lacking:
            raise UserError(f"lacks class {', '.join(lacking)}: no tile has {settings.purity:.0%} of it, "
                            f"{settings.min_tissue:.0%} tissue and no ink; lower --purity, --min_tissue or --stride")
        chosen = [choose(corners, settings, job.name, label) for label, corners in enumerate(found)]
        names = [[f"{label}/{x}+{y}+{label}.png" for x, y in corners] for label, corners in enumerate(chosen)]
        record = {**source(job, settings), "candidates": [len(corners) for corners in found], "tiles": names}
        _write(slide, place, chosen, record, target)
    return record


def candidates(place, cover, tissue, ink, settings):
    """For each class, (n, 2) int64 upper left corners (x, y) of the tiles that are clean enough."""
    step = [side * settings.stride / settings.tile for side in place.side]
    xs, ys = (np.arange(0, size - side + 1e-6, jump).astype(np.int64)
              for size, side, jump in zip((place.width, place.height), place.side, step, strict=True))
    if not xs.size or not ys.size:
        return [np.empty((0, 2), dtype=np.int64)] * CLASSES
    *shares, tissue_share, ink_share = (box_mean(each, place, xs, ys) for each in (*cover, tissue, ink))
    clean = (tissue_share >= settings.min_tissue) & (ink_share <= MAX_INK)
    rows = [np.argwhere(clean & (share >= settings.purity)) for share in shares]
    return [np.stack([xs[index[:, 1]], ys[index[:, 0]]], axis=1) for index in rows]


def box_mean(cells, place, xs, ys):
    """(len(ys), len(xs)): mean of `cells` (rows, columns) under each tile, by sums from the corner; the edges of a tile
    are rounded to whole cells."""
    rows, columns = place.grid
    sums = np.zeros((rows + 1, columns + 1))
    sums[1:, 1:] = cells.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    left, top = (np.rint(at / place.cell).astype(np.int64) for at in (xs, ys))
    right = np.clip(np.rint((xs + place.side[0]) / place.cell).astype(np.int64), left + 1, columns)
    bottom = np.clip(np.rint((ys + place.side[1]) / place.cell).astype(np.int64), top + 1, rows)
    upper, lower = sums[top], sums[bottom]
    total = lower[:, right] - lower[:, left] - upper[:, right] + upper[:, left]
    return total / ((bottom - top)[:, None] * (right - left))


def choose(corners, settings, name, label):
    """At most settings.tiles of the corners, seeded by slide and class, in their order."""
    count = min(settings.tiles, len(corners))
    rows = seeds.generator(settings.seed, "prepare_data/tiles", name, label).choice(len(corners), count, replace=False)
    return corners[np.sort(rows)].tolist()


def source(job, settings):
    """What the tiles depend on: settings, and the sizes and hashes of the files."""
    return {"settings": {**asdict(settings), "layer_ids": list(settings.layer_ids)}, "rules": annotation.RULES,
            "slide": {"file": job.slide.name, "bytes": job.slide.stat().st_size},
            "annotation": {path.name: file_sha256(path) for path in job.files}}


def finished(job, target, settings):
    """The record of a folder that an earlier run completed, or None where there is none. UserError: it was made from
    other files or with other settings, or tiles are missing or too many."""
    if not target.exists():
        return None
    if not (target / RECORD).is_file():
        raise UserError(f"{target}: was not made by this command; move it away or give --overwrite")
    record = read_json(target / RECORD, "record of tiles")
    if {key: record.get(key) for key in ("settings", "rules", "slide", "annotation")} != source(job, settings):
        raise UserError(f"{target}: was cut with other settings or from other files; give --overwrite or another --out")
    there = sorted(path.relative_to(target).as_posix() for path in target.glob("*/*.png"))
    if there != sorted(name for names in record["tiles"] for name in names):
        raise UserError(f"{target}: the tiles are not those that were cut; give --overwrite to cut them again")
    return record


def _write(slide, place, chosen, record, target):
    """Everything goes to a hidden folder beside `target`, which takes the name when complete."""
    work = target.with_name(f".{target.name}.cutting")
    old = target.with_name(f".{target.name}.old")
    for leftover in (work, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        for label, corners in enumerate(chosen):
            (work / str(label)).mkdir(parents=True)
            for (x, y), name in zip(corners, record["tiles"][label], strict=True):
                _save(slides.read_tile(slide, place, x, y), work / name)
        write_json(work / RECORD, record)
        if target.exists():
            os.replace(target, old)
        os.replace(work, target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _save(image, path):
    try:
        image.save(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # write() names no file
