"""Pictures in the page: support and query tiles of the best and the worst task, and what encoders see."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from fewshot_wsi.foundation.archived import read_file
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.pixels import open_image
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.sources import sampled_rows

SIDE = 64            # pixels of a thumbnail
PER_CLASS = {"support": 5, "query": 8}
PICTURES = 12        # at most that many of visualize.py's
PICTURE_WIDTH = 1000
BUDGET = 1_200_000   # bytes of all pictures of one kind, so that the page stays under 5 MB


@dataclass(frozen=True)
class Tile:
    source: str      # data: URL
    alt: str
    wrong: bool = False


@dataclass
class ShownTask:
    """Tiles of one task: one row per class."""
    title: str
    f1: float
    rows: list = field(default_factory=list)  # (class name, supports, queries): lists of Tile


def shown_tasks(runs, sources):
    """[ShownTask] of the best and the worst task of each of the given runs; [] where no image is at hand."""
    shown, used = [], 0
    for run in runs:
        macro = run.macro
        for word, task in (("best", int(macro.argmax())), ("worst", int(macro.argmin()))):
            if used < BUDGET:
                found = _shown_task(run, word, task, sources)
                if found is not None:
                    used += sum(len(t.source) for _, *sides in found.rows for side in sides for t in side)
                    shown.append(found)
    return shown


def _shown_task(run, word, task, sources):
    result = read_result(run.path)
    names = {side: sources.names(result, side) for side in PER_CLASS}
    if None in names.values():
        return None
    rows, labels = ({side: sampled_rows(result, side)[part] for side in PER_CLASS} for part in (0, 1))
    predicted = {"support": labels["support"], "query": result.predictions[task]}
    shown = ShownTask(f"{word} task of {run.label} (task {task})", float(run.macro[task]))
    for label, name in enumerate(run.classes):
        sides = []
        for side, count in PER_CLASS.items():
            own = np.flatnonzero(labels[side] == label)
            own = own[np.argsort(predicted[side][own] == label, kind="stable")][:count]  # the wrong ones first
            sides.append([tile for place in own if (tile := _tile(
                sources.image_file(run.sets[side], names[side][rows[side][task, place]]), side, name,
                run.classes[predicted[side][place]])) is not None])
        shown.rows.append((name, *sides))
    return shown if any(supports or queries for _, supports, queries in shown.rows) else None


def _tile(path, side, true, predicted):
    if path is None:
        return None
    try:
        with open_image(read_file(path)) as image:
            image.draft("RGB", (2 * SIDE, 2 * SIDE))  # JPEG: decode no more than is shown
            small = image.convert("RGB").resize((SIDE, SIDE), Image.LANCZOS)
    except (OSError, SyntaxError, ValueError, UserError):
        return None  # a damaged tile: the table of leakage and check_data.py are the place to hear of it
    said = f", predicted {predicted}" if side == "query" else ""
    return Tile(data_url(small), f"{side}, {true}{said}", true != predicted)


def data_url(image, quality=72):
    """data: URL of an image, as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def encoder_pictures(folder):
    """[Tile] of the pictures that wsi_workdir/visualize.py wrote into `folder`; UserError where there are none."""
    if folder is None:
        return []
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not paths:
        raise UserError(f"{folder}: no pictures; make them with wsi_workdir/visualize.py --pretrained F LIST --out DIR")
    pictures, used = [], 0
    for path in paths[:PICTURES]:
        try:
            with open_image(path) as image:
                image = image.convert("RGB")
                image.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH))
                picture = Tile(data_url(image, 80), path.relative_to(folder).with_suffix("").as_posix())
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{path}: not a readable picture ({error}); make it again") from None
        used += len(picture.source)
        if used > BUDGET and pictures:
            break
        pictures.append(picture)
    return pictures
