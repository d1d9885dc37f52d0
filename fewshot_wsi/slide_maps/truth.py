"""What maps are worth by annotations of the same slides: macro F1 of each slide, and its interval over slides."""

import logging

import numpy as np

from fewshot_wsi.annotations.reading import read_marked
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.predict.columns import read_columns
from fewshot_wsi.prepare_data.marked import marks_of
from fewshot_wsi.slides.geometry import geometry
from fewshot_wsi.slides.opening import open_slide
from fewshot_wsi.slides.tiles import tile_corners, tile_shares
from lowshot.leave_out import grouped_f1

logger = logging.getLogger(__name__)


def known_tiles(path, annotation, table, head, settings):
    """((truth, predicted) or None, [(logging level, line)]): numbers of head.classes, (n,) int64 each, of the tiles of
    the slide `path` of which one class of the file `annotation` covers settings.purity.

    table: its tiles.csv or tiles.parquet. None, and a line that says why: the slide gave supports to the head, the
    annotation cannot be used, or no tile is known."""
    if any(name.rpartition(" ")[0] == path.name for name in head.names):
        return None, [(logging.WARNING, f"{path.name}: not scored by {annotation}: the classifier is fitted to labels "
                       "of this slide")]
    try:
        with open_slide(path) as slide:
            marked = read_marked(annotation, slide)
            place = geometry(slide, tile=settings.tile, mpp=settings.target_mpp, slide_mpp=settings.mpp)
    except UserError as error:
        return None, [(logging.WARNING, f"{path.name}: not scored: {annotation}: {error}")]
    said = [(logging.WARNING, f"{path.name}: {notice}") for notice in marked.notices]
    others = sorted(set(marked.classes) - set(head.classes))
    if others:
        said.append((logging.WARNING, f"{path.name}: not scored by regions of {', '.join(others)}, which the "
                     "classifier does not know"))
    columns = read_columns(table, ("x", "y", "class"))
    truth = _truth(marks_of(marked, head.classes, place), place, settings, *(
        np.array(columns[name], dtype=np.int64) for name in "xy"))
    number = {name: label for label, name in enumerate(head.classes)}
    predicted = np.array([number[name] for name in columns["class"]], dtype=np.int64)
    known = truth >= 0
    if not known.any():
        said.append((logging.WARNING, f"{path.name}: not scored: no tile has {settings.purity:.0%} of one class of "
                     f"{annotation}"))
        return None, said
    return (truth[known], predicted[known]), said


def _truth(marks, place, settings, x, y):
    """(n,) int64: the class of which a tile at x, y (n,) has the share settings.purity, or that of a point in it; −1
    where there is neither."""
    xs, ys = tile_corners(place, settings.stride)
    shares = np.stack([tile_shares(cover, place, xs, ys) for cover in marks.cover])
    shares = shares[:, np.searchsorted(ys, y), np.searchsorted(xs, x)]
    truth = np.where(shares.max(axis=0) >= settings.purity, shares.argmax(axis=0), -1)
    middle = np.stack([x, y], axis=1) + np.array(place.side) / 2
    reach = np.array(place.side) * settings.stride / settings.tile / 2
    for label, points in enumerate(marks.points):
        for point in points:
            truth[(np.abs(middle - point) <= reach).all(axis=1)] = label
    return truth


def summarised(scored, classes, where):
    """dict from slide name to its macro F1, over the classes that are known on it; that of all tiles of all slides is
    printed, with its interval over slides. scored: [(slide name, (truth, predicted))]; where: of the annotations."""
    if not scored:
        logger.warning(f"no F1: {where} says the class of no tile of a slide that gave no labels")
        return {}
    ways = len(classes)
    found = {name: grouped_f1(truth, predicted, np.zeros(len(truth), dtype=np.int64), ways)[0]
             for name, (truth, predicted) in scored}
    slides = np.repeat(np.arange(len(scored)), [len(truth) for _, (truth, _) in scored])
    truth, predicted = (np.concatenate(parts) for parts in zip(*(known for _, known in scored), strict=True))
    macro, low, high, count = grouped_f1(truth, predicted, slides, ways)
    interval = f"95 % interval {100 * low:.1f} to {100 * high:.1f} % ({count} slides)" if count > 1 else (
        "one slide, so no interval")
    logger.info(f"macro F1 of {len(truth)} tiles that {where} names: {100 * macro:.1f} %, {interval}")
    return found
