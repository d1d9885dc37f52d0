"""TIFF pyramids that tifffile reads: OME-TIFF with sub-resolutions, generic tiled, striped and planar files."""

import logging
import math
import struct
import zlib
from xml.etree.ElementTree import ParseError

import numpy as np
import tifffile
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from PIL import Image

from fewshot_wsi.foundation.byte_cache import ByteCache
from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.pixels import PART_PIXELS, check_packed, check_pixels
from fewshot_wsi.slides.slide import Slide, crop_white, positive_pair

BAD_TIFF = (tifffile.TiffFileError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError,
            RuntimeError, MemoryError, OSError, zlib.error, struct.error)  # what tifffile raises for damaged files
COARSEST_STATED = 20.0  # µm a pixel; tags that say more hold the dots per inch of a screen (96 dpi are 265 µm)
_CACHE = 1 << 27        # bytes of decoded tiles or strips that stay in memory
_UNIT = {tifffile.RESUNIT.INCH: 25400.0, tifffile.RESUNIT.CENTIMETER: 10000.0, tifffile.RESUNIT.MILLIMETER: 1000.0,
         tifffile.RESUNIT.MICROMETER: 1.0}
_LENGTH = {"nm": 0.001, "µm": 1.0, "μm": 1.0, "um": 1.0, "mm": 1000.0, "cm": 10000.0}  # two letters look like µ

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs is raised here, where it matters


class TiffSlide(Slide):
    """The largest RGB image of a TIFF, with its smaller levels. Only the tiles or strips of a region are decoded."""

    reader = "tifffile"

    def __init__(self, path):
        """tifffile.TiffFileError: no TIFF. UserError: no 8-bit RGB image in it, or damaged."""
        try:
            self._file = tifffile.TiffFile(path)
        except (tifffile.TiffFileError, OSError):
            raise
        except BAD_TIFF as error:
            raise UserError(f"is no TIFF that can be read ({one_line(error)}); copy it again") from None
        try:
            self._pages = self._levels()
            self._check_pages()
            for page in self._pages:
                check_part(page)
            first = self._pages[0]
            self.size = (first.imagewidth, first.imagelength)
            self.level_sizes = tuple((page.imagewidth, page.imagelength) for page in self._pages)
            self.downsamples = tuple(math.sqrt(self.size[0] / width * self.size[1] / height)
                                     for width, height in self.level_sizes)
            self.mpp = _ome_mpp(self._file, self._index) or _tag_mpp(first)
            self.properties = {"tiff.ImageDescription": first.description}
        except BaseException as error:
            self._file.close()
            if isinstance(error, BAD_TIFF):
                raise UserError(f"is no TIFF that can be read ({one_line(error)}); copy it again") from None
            raise
        self._cache = ByteCache(_CACHE)

    def read(self, x, y, level, size):
        return Image.fromarray(self.pixels(x, y, level, size))

    def pixels(self, x, y, level, size):
        page, width, height = self._pages[level], *size
        left, top = round(x / self.downsamples[level]), round(y / self.downsamples[level])
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + width, page.imagewidth), min(top + height, page.imagelength)
        if x1 <= x0 or y1 <= y0:
            return crop_white(np.empty((0, 0, 3), np.uint8), left, top, width, height)
        part = self._box(level, x0, y0, x1, y1)
        if part.shape[:2] == (height, width):
            return part
        return crop_white(part, left - x0, top - y0, width, height)

    def close(self):
        self._file.close()

    def _levels(self):
        """Pages of the levels, finest first, of the image with most pixels that is RGB."""
        series = list(self._file.series)
        coloured = [(one.keyframe.imagewidth * one.keyframe.imagelength, -index) for index, one in enumerate(series)
                    if _is_rgb(one.keyframe)]
        if not coloured:
            page = series[0].keyframe
            kind = getattr(page.photometric, "name", page.photometric)
            raise UserError(f"has {page.samplesperpixel} channel(s) of {page.dtype} ({kind}); a slide has 8-bit RGB "
                            "colours")
        self._index = -max(coloured)[1]
        levels = [level.keyframe for level in series[self._index].levels]
        if len(levels) == 1:  # a pyramid of plain pages
            levels += [one.keyframe for one in series if _is_reduced(one.keyframe, levels[0])]
        return sorted(levels, key=lambda page: -page.imagewidth)

    def _check_pages(self):
        """ValueError for sizes that are none. UserError where the file ends before its image does: a copy cut short."""
        sizes = [size for page in self._pages for size in (page.imagewidth, page.imagelength, *_part(page))]
        if not all(isinstance(size, int) and 0 < size < 2**31 for size in sizes):
            raise ValueError(f"sizes of {sizes}")
        ends = [max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))) for page in self._pages]
        if max(ends) > self._file.filehandle.size:
            raise UserError("does not open as a slide (the file ends before its image does); copy or download it again")

    def _box(self, level, x0, y0, x1, y1):
        """(y1 - y0, x1 - x0, 3) uint8 of the box, which lies inside the level."""
        page = self._pages[level]
        wide, high = _part(page)
        box = np.empty((y1 - y0, x1 - x0, 3), dtype=np.uint8)
        for row in range(y0 // high, -(-y1 // high)):
            for column in range(x0 // wide, -(-x1 // wide)):
                left, top = max(x0, column * wide), max(y0, row * high)
                right, bottom = min(x1, (column + 1) * wide), min(y1, (row + 1) * high)
                at = (level, row, column)
                tile = self._cache.get(at, lambda at=at: self._tile(*at, wide, high))
                box[top - y0:bottom - y0, left - x0:right - x0] = tile[top - row * high:bottom - row * high,
                                                                       left - column * wide:right - column * wide]
        return box

    def _tile(self, level, row, column, wide, high):
        """(≤ high, ≤ wide, 3) uint8, one decoded tile or strip; empty ones of sparse files are white."""
        page = self._pages[level]
        across, down = -(-page.imagewidth // wide), -(-page.imagelength // high)
        apart = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
        planes = [self._decoded(page, plane * across * down + row * across + column, (column * wide, row * high))
                  for plane in range(3 if apart else 1)]
        if any(plane is None for plane in planes):
            return np.full((high, wide, 3), 255, dtype=np.uint8)
        tile = np.concatenate([plane[0] for plane in planes], axis=-1) if apart else planes[0][0]
        return np.ascontiguousarray(tile[..., :3])

    def _decoded(self, page, index, place):
        try:
            offset, count = page.dataoffsets[index], page.databytecounts[index]
            if not count:
                return None
            with self._file.filehandle.lock:
                self._file.filehandle.seek(offset)
                data = self._file.filehandle.read(count)
            if len(data) < count:
                raise ValueError("the file ends too early")
            check_packed(page.compression, data, math.prod(_part(page)) * page.samplesperpixel)
            return page.decode(data, index, jpegtables=page.jpegtables)[0]
        except BAD_TIFF as error:
            size = f"{page.imagewidth} × {page.imagelength}"
            raise UserError(f"is damaged: no image at {place} of the level with {size} px ({one_line(error)}); copy or "
                            "download it again") from None


def _part(page):
    """(width, height) of the tiles or strips of a page."""
    if page.is_tiled:
        return page.tilewidth, page.tilelength
    return page.imagewidth, min(page.rowsperstrip, page.imagelength)  # 2**32 - 1 means all rows


def check_part(page):
    """TooManyPixels where one tile or strip of a page is too large to be decoded at once."""
    check_pixels(*_part(page), PART_PIXELS)


def _is_rgb(page):
    colours = page.photometric == tifffile.PHOTOMETRIC.RGB or (
        page.photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression == tifffile.COMPRESSION.JPEG)
    return colours and page.dtype == np.uint8 and page.samplesperpixel in (3, 4) and page.imagedepth == 1


def _is_reduced(page, whole):
    """Whether `page` is the image of `whole` in fewer pixels: tiled like it, of its proportions up to rounding."""
    scale = whole.imagewidth / page.imagewidth
    return (_is_rgb(page) and page.is_tiled and whole.is_tiled and scale > 1.2
            and abs(whole.imagelength / scale - page.imagelength) <= 2)


def _ome_mpp(file, index):
    """(x, y) micrometres a pixel of image number `index` by the OME-XML, or None where it states no valid size."""
    if not file.is_ome:
        return None
    try:
        root = fromstring(file.ome_metadata, forbid_dtd=True)
    except (ParseError, DefusedXmlException, TypeError, ValueError):
        return None
    pixels = [one for one in root.iter() if one.tag.rpartition("}")[2] == "Pixels"]
    if index >= len(pixels):
        return None
    stated = positive_pair(*(pixels[index].get(f"PhysicalSize{axis}") for axis in "XY"))
    factors = [_LENGTH.get(pixels[index].get(f"PhysicalSize{axis}Unit", "µm")) for axis in "XY"]
    return None if stated is None or None in factors else tuple(np.multiply(stated, factors).tolist())


def _tag_mpp(page):
    """Micrometres a pixel by the tags XResolution, YResolution and ResolutionUnit, or None where they make no sense."""
    tags = [page.tags.get(name) for name in ("XResolution", "YResolution", "ResolutionUnit")]
    if any(tag is None for tag in tags) or tags[2].value not in _UNIT:
        return None
    pairs = [tag.value for tag in tags[:2]]
    if not all(isinstance(pair, tuple) and len(pair) == 2 and min(pair) > 0 for pair in pairs):
        return None
    stated = positive_pair(*(_UNIT[tags[2].value] * pair[1] / pair[0] for pair in pairs))
    return stated if stated and max(stated) <= COARSEST_STATED else None
