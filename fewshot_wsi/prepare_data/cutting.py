"""One annotated slide becomes a folder of tiles: chosen on the coarse grid, read one by one, complete or absent."""

import contextlib
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from fewshot_wsi.foundation import seeds
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256, read_json, write_json
from fewshot_wsi.slides.geometry import geometry, read_grid, read_tile
from fewshot_wsi.slides.opening import open_slide
from fewshot_wsi.slides.tiles import tile_corners, tile_shares
from fewshot_wsi.slides.tissue import check_brightfield, tissue_and_ink

RECORD = "tiles.json"
_PLAN = ".plan.json"  # the record, before the tiles are there
_HALF = ".half.png"   # a tile that is being written
MAX_INK = 0.01


@dataclass(frozen=True)
class CuttingSettings:
    tiles: int = 500           # of each class
    tile: int = 224            # pixels a side
    stride: int = 224          # pixels between neighbouring candidates
    target_mpp: float = 0.5    # micrometres a pixel: 20x
    mpp: float | None = None   # of the slides, whatever they state
    purity: float = 0.75       # share of a tile that its class covers at least
    min_tissue: float = 0.5
    seed: int = 0
    layer_ids: tuple = ()      # Ids of PAIP19's whole and viable Annotation


@dataclass(frozen=True)
class CuttingJob:
    """One slide to cut.

    annotation: an object with `every_class`, whether a slide that lacks a class is left out; `source()`, a dict of what
    its marks depend on beside the files; `mark(job, slide, place, settings)`, Marks."""
    name: str          # of the slide and of its folder of tiles
    slide: Path
    files: tuple       # annotation files
    annotation: Any


@dataclass(frozen=True)
class Marks:
    """What is marked on a slide: cover (classes, rows, columns), the share of each cell that is of each class; points,
    for each class (n, 2), each the middle of a tile; regions, for each class the shapes that were marked one by one;
    notices, lines for the user."""
    cover: np.ndarray
    points: tuple = ()
    regions: tuple = ()
    notices: tuple = ()


def cut(job, target, settings):
    """Tiles of one slide in the new folder `target`: `<class>/<x>+<y>+<class>.png`, x and y in pixels of level 0.

    Returns the record that is written to `target`/tiles.json: settings, source, and per class the candidates and the
    tiles' names. UserError: the slide or its annotation cannot be used, or a class has no candidate."""
    with open_slide(job.slide) as slide:
        place = geometry(slide, tile=settings.tile, mpp=settings.target_mpp, slide_mpp=settings.mpp)
        marks = job.annotation.mark(job, slide, place, settings)
        grid = read_grid(slide, place)
        check_brightfield(grid)
        found = candidates(place, marks, *tissue_and_ink(grid), settings)
        check_classes(found, job.annotation.every_class, settings)
        chosen = [choose(corners, settings, job.name, label) for label, corners in enumerate(found)]
        names = [[f"{label}/{x}+{y}+{label}.png" for x, y in corners] for label, corners in enumerate(chosen)]
        record = {**source(job, settings), "candidates": [len(corners) for corners in found], "tiles": names,
                  "regions": regions_of(chosen, marks, place), "stated_mpp": slide.mpp and list(slide.mpp),
                  "notices": list(marks.notices)}
        _write(slide, place, chosen, record, target)
    return record


def candidates(place, marks, tissue, ink, settings):
    """For each class, (n, 2) int64 upper left corners (x, y) of the tiles that are clean enough.

    A tile around a point is taken as it is: whoever clicked there has looked at it."""
    xs, ys = tile_corners(place, settings.stride)
    if not xs.size or not ys.size:
        return [np.empty((0, 2), dtype=np.int64)] * len(marks.cover)
    *shares, tissue_share, ink_share = (tile_shares(each, place, xs, ys) for each in (*marks.cover, tissue, ink))
    clean = (tissue_share >= settings.min_tissue) & (ink_share <= MAX_INK)
    rows = [np.argwhere(clean & (share >= settings.purity)) for share in shares]
    found = [np.stack([xs[index[:, 1]], ys[index[:, 0]]], axis=1) for index in rows]
    for label, points in enumerate(marks.points):
        last = np.array([place.width, place.height]) - place.side
        corners = np.clip(np.rint(points - np.array(place.side) / 2), 0, last).astype(np.int64)
        found[label] = np.array(sorted({*map(tuple, found[label].tolist()), *map(tuple, corners.tolist())}),
                                dtype=np.int64).reshape(-1, 2)
    return found


def regions_of(chosen, marks, place):
    """For each class, for each of its tiles: the number within the slide of the region that covers most of the tile,
    or -1 for one around a point. chosen: for each class its corners (x, y). Empty where no regions are told apart."""
    numbers, first = [], 0
    for corners, shapes in zip(chosen, marks.regions, strict=False):
        tree, own = shapely.STRtree(shapes), []
        for x, y in corners:
            tile = shapely.box(x, y, x + place.side[0], y + place.side[1])
            near = tree.query(tile, predicate="intersects")
            areas = [shapes[row].intersection(tile).area for row in near]
            own.append(first + int(near[int(np.argmax(areas))]) if len(near) and max(areas) > 0 else -1)
        numbers.append(own)
        first += len(shapes)
    return numbers


def check_classes(found, every_class, settings):
    """UserError for a class without a candidate where every class is needed, else for a slide without any."""
    rule = (f"no tile has {settings.purity:.0%} of it, {settings.min_tissue:.0%} tissue and no ink; lower --purity, "
            "--min_tissue or --stride")
    lacking = [str(label) for label, corners in enumerate(found) if not len(corners)]
    if lacking and every_class:
        raise UserError(f"lacks class {', '.join(lacking)}: {rule}")
    if len(lacking) == len(found):
        raise UserError(f"gives no tile of any class: {rule}")


def choose(corners, settings, name, label):
    """At most settings.tiles of the corners, seeded by slide and class, in their order."""
    count = min(settings.tiles, len(corners))
    rows = seeds.generator(settings.seed, "prepare_data/tiles", name, label).choice(len(corners), count, replace=False)
    return corners[np.sort(rows)].tolist()


def source(job, settings):
    """What the tiles depend on: settings, and the sizes and hashes of the files."""
    return {"settings": {**asdict(settings), "layer_ids": list(settings.layer_ids)}, **job.annotation.source(),
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
    if any(record.get(key) != value for key, value in source(job, settings).items()):
        raise UserError(f"{target}: was cut with other settings or from other files; give --overwrite or another --out")
    there = sorted(path.relative_to(target).as_posix() for path in target.glob("*/*.png"))
    if there != sorted(name for names in record["tiles"] for name in names):
        raise UserError(f"{target}: the tiles are not those that were cut; give --overwrite to cut them again")
    return record


def _write(slide, place, chosen, record, target):
    """Everything goes to a hidden folder beside `target`, which takes the name when complete. Of a run that was killed
    that folder is left, and its tiles are not read again."""
    work = target.with_name(f".{target.name}.cutting")
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if not _is_begun(work, record):
        shutil.rmtree(work, ignore_errors=True)
    try:
        write_json(work / _PLAN, record)
        for label, corners in enumerate(chosen):
            (work / str(label)).mkdir(exist_ok=True)
            for (x, y), name in zip(corners, record["tiles"][label], strict=True):
                if not (work / name).exists():
                    _save(read_tile(slide, place, x, y), work / name, work / _HALF)
        write_json(work / RECORD, record)
        (work / _HALF).unlink(missing_ok=True)
        (work / _PLAN).unlink()
        if target.exists():
            os.replace(target, old)
        os.replace(work, target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _is_begun(work, record):
    """Whether a killed run has begun to write just these tiles into `work`."""
    with contextlib.suppress(UserError):
        return read_json(work / _PLAN, "plan of tiles") == record
    return False


def _save(image, path, half):
    """The image at `path`, whole or not at all; `half` is where it is written first."""
    try:
        image.save(half, format="PNG")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # write() names no file
    os.replace(half, path)
