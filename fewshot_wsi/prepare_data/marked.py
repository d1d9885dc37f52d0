"""The regions that people mark with QuPath, ASAP, ImageScope or NDP.view, as the cover of a slide's cells."""

from dataclasses import dataclass

import numpy as np

from fewshot_wsi.annotations.reading import read_marked
from fewshot_wsi.annotations.regions import cover
from fewshot_wsi.foundation.errors import UserError
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
        shares = [cover(marked.shapes[name], place) if name in marked.shapes else np.zeros(place.grid, np.float32)
                  for name in self.names]
        points = tuple(marked.points.get(name, np.empty((0, 2))) for name in self.names)
        regions = tuple(marked.regions.get(name, []) for name in self.names)
        return Marks(np.stack(shares), points, regions, marked.notices)
