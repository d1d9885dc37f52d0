"""Slides that OpenSlide reads: SVS, NDPI, MIRAX, SCN, BIF, Philips, DICOM and others."""

import openslide
from PIL import Image

from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.pixels import PART_PIXELS, TooManyPixels, check_pixels
from fewshot_wsi.slides.slide import Slide, positive_pair


class OpenSlideFile(Slide):
    """A slide of OpenSlide, cropped to the bounds that MIRAX and Leica files state."""

    reader = "OpenSlide"

    def __init__(self, path):
        """openslide.OpenSlideError: the file is of no format that OpenSlide knows, or damaged. UserError: its stored
        tiles are too large to be decoded."""
        self._file = openslide.OpenSlide(str(path))
        self.properties = dict(self._file.properties)
        self._check_tiles()
        self.mpp = positive_pair(*(self.properties.get(f"openslide.mpp-{axis}") for axis in "xy"))
        self.downsamples = tuple(self._file.level_downsamples)
        self.origin, self.size = self._bounds()
        self.level_sizes = tuple(self._file.level_dimensions) if self.size == self._file.dimensions else tuple(
            tuple(max(1, round(side / down)) for side in self.size) for down in self.downsamples)

    def read(self, x, y, level, size):
        place = (x + self.origin[0], y + self.origin[1])
        try:
            region = self._file.read_region(place, level, size)
        except (openslide.OpenSlideError, OSError) as error:
            raise UserError(f"is damaged: no image at {(x, y)} ({one_line(error)}); copy or download it again"
                            ) from None
        alpha = region.getchannel("A")
        if alpha.getextrema()[0] == 255:
            return region.convert("RGB")
        white = Image.new("RGB", region.size, (255, 255, 255))
        white.paste(region, mask=alpha)
        return white

    def close(self):
        self._file.close()

    def _check_tiles(self):
        try:
            for name, width in self.properties.items():
                if name.endswith("].tile-width"):
                    check_pixels(int(width), int(self.properties[name.replace("-width", "-height")]), PART_PIXELS)
        except TooManyPixels as error:
            self._file.close()
            raise UserError(f"is stored in tiles of {error}; convert it with other tiles") from None

    def _bounds(self):
        """((x, y), (width, height)) of the scan in the canvas: the stated bounds where they lie inside it."""
        try:
            left, top, width, height = (int(self.properties[f"openslide.bounds-{key}"])
                                        for key in ("x", "y", "width", "height"))
        except (KeyError, ValueError):
            return (0, 0), self._file.dimensions
        whole = self._file.dimensions
        inside = left >= 0 and top >= 0 and 0 < width <= whole[0] - left and 0 < height <= whole[1] - top
        return ((left, top), (width, height)) if inside else ((0, 0), whole)
