"""A whole-slide image as tiles of a stated resolution and as a coarse grid of cells."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
from PIL import Image

from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.image_files import find_files

SUFFIXES = frozenset({".svs", ".ndpi", ".mrxs", ".scn", ".bif"})
CELL = 8.0         # micrometres a side: a tile at 20x is 14 cells wide
EXACT = 0.02       # a level this near to the target resolution is read as it is, without resampling
COARSEST = 1.1     # a slide may be this much coarser than the target resolution
_STRIP = 1 << 24   # pixels read at once for the grid


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


def open_slide(path):
    """OpenSlide object; UserError where it does not open."""
    try:
        return openslide.OpenSlide(str(path))
    except (openslide.OpenSlideError, OSError) as error:
        raise UserError(f"does not open as a slide ({one_line(error)}); copy or download it again") from None


def find_slides(folder):
    """Paths of the slides below `folder`, sorted by name and then by path. UserError where there is none."""
    slides = [Path(folder, name) for name in find_files(folder, SUFFIXES)]
    if not slides:
        raise UserError(f"{folder}: no slide below this folder ({', '.join(sorted(SUFFIXES))})")
    return sorted(slides, key=lambda path: (path.stem, path.as_posix()))


def geometry(slide, *, tile, mpp, slide_mpp=None):
    """Geometry of `slide` for tiles of `tile` pixels at `mpp` µm a pixel.

    slide_mpp: µm a pixel of level 0, whatever the slide states; None: what it states.
    UserError: no resolution known, or the slide is coarser than the target."""
    own = (slide_mpp, slide_mpp) if slide_mpp else _stated_mpp(slide)
    if not own:
        raise UserError("states no micrometres per pixel (mpp); give --mpp if you know it")
    scale = tuple(mpp / axis for axis in own)  # level-0 pixels for one pixel of a tile
    if min(scale) < 1 / COARSEST:
        raise UserError(f"has {max(own):.3g} µm a pixel, coarser than the {mpp:g} wanted; "
                        "give a larger --target_mpp, or leave the slide out")
    fine = [level for level, down in enumerate(slide.level_downsamples) if down <= min(scale) * (1 + EXACT)]
    level = max(fine or [0], key=lambda index: slide.level_downsamples[index])
    down = slide.level_downsamples[level]
    region = tuple(tile * axis / down for axis in scale)
    if all(abs(pixels / tile - 1) <= EXACT for pixels in region):
        region = (float(tile), float(tile))
    width, height = slide.dimensions
    return Geometry(width, height, tile, tuple(pixels * down for pixels in region), level, region,
                    max(1, round(CELL / math.sqrt(own[0] * own[1]))))


def read_tile(slide, place, x, y):
    """RGB image of `place.tile` pixels a side with its upper left corner at (x, y); outside the scan it is white."""
    width, height = place.region
    image = _read(slide, (x, y), place.level, (math.ceil(width), math.ceil(height)))
    if image.size == (place.tile, place.tile) == place.region:
        return image
    return image.resize((place.tile, place.tile), Image.Resampling.LANCZOS, box=(0, 0, width, height))


def read_grid(slide, place):
    """(rows, columns, 3) uint8: mean colour of each cell. Read in strips, so that memory stays bounded."""
    rows, columns = place.grid
    level = slide.get_best_level_for_downsample(place.cell)
    pixels = place.cell / slide.level_downsamples[level]  # of that level, a side of a cell
    step = max(1, int(_STRIP / (columns * pixels * pixels)))
    grid = np.empty((rows, columns, 3), dtype=np.uint8)
    for top in range(0, rows, step):
        count = min(step, rows - top)
        box = (0, 0, columns * pixels, count * pixels)
        strip = _read(slide, (0, top * place.cell), level, (math.ceil(box[2]), math.ceil(box[3])))
        grid[top:top + count] = strip.resize((columns, count), Image.Resampling.BOX, box=box)
    return grid


def _read(slide, location, level, size):
    try:
        region = slide.read_region(location, level, size)
    except (openslide.OpenSlideError, OSError) as error:
        raise UserError(f"is damaged: no image at {location} ({one_line(error)}); copy or download it again") from None
    white = Image.new("RGB", region.size, (255, 255, 255))
    white.paste(region, mask=region.getchannel("A"))
    return white


def _stated_mpp(slide):
    """(x, y) µm a pixel, or None where the slide states none that is a positive number."""
    try:
        values = tuple(float(slide.properties[f"openslide.mpp-{axis}"]) for axis in "xy")
    except (KeyError, ValueError):
        return None
    return values if all(math.isfinite(value) and value > 0 for value in values) else None
