"""The regions that people mark with QuPath, ASAP, ImageScope or NDP.view, as the cover of a slide's cells."""

import sys
from dataclasses import dataclass

import numpy as np

from fewshot_wsi.annotations.reading import read_marked
from fewshot_wsi.annotations.regions import cover
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.messages import say
from fewshot_wsi.prepare_data.cutting import Marks

RULES = 1  # raise it when the same annotation is to give other tiles


@dataclass(frozen=True)
class MarkedRegions:
    """What `cutting` asks of an annotation, for one file of regions a slide.

    names: the classes in label order; regions of other classes give no tiles, and keep their area."""
    names: tuple
    every_class = False

    def source(self):
        return {"rules": RULES, "classes": list(self.names)}

    def mark(self, job, slide, place, settings):
        marked = read_marked(job.files[0], slide)
        if not set(self.names) & set(marked.classes):
            raise UserError(f"{job.files[0].name} marks {', '.join(marked.classes)}: none of the classes wanted")
        return marks_of(marked, self.names, place)


def marks_of(marked, names, place):
    """`cutting.Marks` of the regions of a slide. marked: of `read_marked`; names: the classes in label order."""
    shares = [cover(marked.shapes[name], place) if name in marked.shapes else np.zeros(place.grid, np.float32)
              for name in names]
    points = tuple(marked.points.get(name, np.empty((0, 2))) for name in names)
    regions = tuple(marked.regions.get(name, []) for name in names)
    return Marks(np.stack(shares), points, regions, marked.notices)


def with_tiles(labels, names, cure, where=""):
    """(labels (N,) int64 numbered anew, names) of the classes that have a tile; each other one is said in a notice.

    labels: (N,) numbers of `names`; cure: what gives a class tiles; where: begins the UserError about fewer than two
    classes that have one."""
    counts = np.bincount(labels, minlength=len(names))
    for label in np.flatnonzero(counts == 0):
        say(f"notice: the class {names[label]!r} gives no tile and is left out; {cure}", file=sys.stderr)
    kept = np.flatnonzero(counts)
    if len(kept) < 2:
        raise UserError(f"{where}all tiles are of one class, {names[kept[0]]!r}; a classifier needs two")
    return np.searchsorted(kept, labels), tuple(names[label] for label in kept)
