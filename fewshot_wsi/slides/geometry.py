"""Where tiles of a stated size and resolution lie in a slide, and the slide as a coarse grid of cells."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fewshot_wsi.foundation.errors import UserError

CELL = 8.0         # micrometres a side: a tile at 20x is 14 cells wide
EXACT = 0.02       # a level this near to the target resolution is read as it is, without resampling
COARSEST = 1.1     # a slide may be this much coarser than the target resolution


@dataclass(frozen=True)
class Geometry:
    """Where tiles of `tile` pixels a side, at `mpp` micrometres a pixel, lie in a slide. Pixels of level 0 unless said.

    width, height: of the slide. side: (w, h) of one tile, float. level, region: the level to read and the (w, h) float
    pixels of it that make one tile. cell: whole pixels a side of one cell of the grid."""
    width: int
    height: int
    tile: int
    side: tuple
    level: int
    region: tuple
    cell: int

    @property
    def grid(self):
        """(rows, columns) of the grid of cells."""
        return math.ceil(self.height / self.cell), math.ceil(self.width / self.cell)


def geometry(slide, *, tile, mpp, slide_mpp=None):
    """Geometry of `slide` for tiles of `tile` pixels at `mpp` µm a pixel.

    slide_mpp: µm a pixel of level 0, whatever the slide states; None: what it states.
    UserError: no resolution known, or the slide is coarser than the target."""
    own = (slide_mpp, slide_mpp) if slide_mpp else slide.mpp
    if not own:
        raise UserError("states no micrometres per pixel (mpp); give --mpp if you know it")
    scale = tuple(mpp / axis for axis in own)  # level-0 pixels for one pixel of a tile
    if min(scale) < 1 / COARSEST:
        raise UserError(f"has {max(own):.3g} µm a pixel, coarser than the {mpp:g} wanted; "
                        "give a larger --target_mpp, or leave the slide out")
    level = slide.level_for(min(scale) * (1 + EXACT))
    down = slide.downsamples[level]
    region = tuple(tile * axis / down for axis in scale)
    if all(abs(pixels / tile - 1) <= EXACT for pixels in region):
        region = (float(tile), float(tile))
    width, height = slide.size
    return Geometry(width, height, tile, tuple(pixels * down for pixels in region), level, region,
                    max(1, round(CELL / math.sqrt(own[0] * own[1]))))


def read_tile(slide, place, x, y):
    """RGB image of `place.tile` pixels a side with its upper left corner at (x, y); outside the scan it is white."""
    width, height = place.region
    image = slide.read(x, y, place.level, (math.ceil(width), math.ceil(height)))
    if image.size == (place.tile, place.tile) == place.region:
        return image
    return image.resize((place.tile, place.tile), Image.Resampling.LANCZOS, box=(0, 0, width, height))


def tile_pixels(slide, place, x, y):
    """(tile, tile, 3) uint8: `read_tile` as an array."""
    if place.region == (place.tile, place.tile):
        return slide.pixels(x, y, place.level, (place.tile, place.tile))
    return np.asarray(read_tile(slide, place, x, y))


def read_grid(slide, place):
    """(rows, columns, 3) uint8: mean colour of each cell."""
    return slide.reduced(place.cell, place.grid)
