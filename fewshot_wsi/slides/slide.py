"""What a whole slide is to the rest of the project, whichever library reads its file."""

import math
from abc import ABC, abstractmethod

import numpy as np
from PIL import Image

_STRIP = 1 << 24  # pixels that are read at once


class Slide(ABC):
    """A slide of `size` pixels. All positions are pixels of level 0, counted from the upper left corner of the scan.

    size: (width, height). mpp: (x, y) micrometres a pixel of level 0, or None where the file states none.
    level_sizes: (width, height) of each level, finest first. downsamples: level-0 pixels for one pixel of each level.
    origin: (x, y) where the scan lies in the file's own canvas, other than (0, 0) where formats leave a margin (MIRAX,
    Leica); QuPath counts from the scan as we do, ASAP from the canvas.
    properties: what the file states, as text. reader: the library that reads it. Usable as a context manager.
    """

    reader: str
    size: tuple[int, int]
    mpp: tuple[float, float] | None
    level_sizes: tuple[tuple[int, int], ...]
    downsamples: tuple[float, ...]
    origin: tuple[int, int] = (0, 0)
    properties: dict[str, str]

    @abstractmethod
    def read(self, x, y, level, size):
        """RGB image (PIL) of `size` = (width, height) pixels of `level`, its upper left corner at (x, y).

        What lies outside the scan is white. UserError: the file is damaged there."""

    def pixels(self, x, y, level, size):
        """(height, width, 3) uint8: `read` as an array."""
        return np.asarray(self.read(x, y, level, size))

    @abstractmethod
    def close(self):
        """Close the file."""

    def level_for(self, downsample):
        """The coarsest level that is no coarser than `downsample`, else level 0."""
        fine = [level for level, down in enumerate(self.downsamples) if down <= downsample]
        return max(fine or [0], key=lambda level: self.downsamples[level])

    def reduced(self, step, shape):
        """(rows, columns, 3) uint8: mean colour of squares of `step` level-0 pixels, as many as `shape` says.

        Read in strips, so that memory stays bounded. Beyond the slide it is white."""
        rows, columns = shape
        level = self.level_for(step)
        down = self.downsamples[level]
        pixels = step / down  # of that level, a side of a square
        count = max(1, int(_STRIP / (columns * pixels * pixels)))
        squares = np.empty((rows, columns, 3), dtype=np.uint8)
        for top in range(0, rows, count):
            number, y = min(count, rows - top), int(top * step)
            first = (top * step - y) / down
            box = (0, first, columns * pixels, first + number * pixels)
            strip = self.read(0, y, level, (math.ceil(box[2]), math.ceil(box[3])))
            squares[top:top + number] = strip.resize((columns, number), Image.Resampling.BOX, box=box)
        return squares

    def thumbnail(self, longest):
        """RGB image (PIL) of the whole slide; its longer side has `longest` pixels, or those of a smaller slide."""
        step = max(1.0, max(self.size) / longest)
        width, height = (max(1, round(side / step)) for side in self.size)
        return Image.fromarray(self.reduced(step, (height, width)))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def positive_pair(x, y):
    """(x, y) as floats, or None unless both are numbers above 0."""
    try:
        values = float(x), float(y)
    except (TypeError, ValueError):
        return None
    return values if all(math.isfinite(value) and value > 0 for value in values) else None


def crop_white(array, left, top, width, height):
    """(height, width, 3) uint8, the box of `array` ((h, w, 3) uint8) at (left, top); white beyond its edges."""
    box = np.full((height, width, 3), 255, dtype=np.uint8)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + width, array.shape[1]), min(top + height, array.shape[0])
    if x1 > x0 and y1 > y0:
        box[y0 - top:y1 - top, x0 - left:x1 - left] = array[y0:y1, x0:x1]
    return box
