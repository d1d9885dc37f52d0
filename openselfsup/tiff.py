"""TIFF files to arrays by their own tags: pages, planes, depth, photometric interpretation, alpha, orientation.

For what Pillow reads wrongly or in part; `images.read_image` decides. What the tags leave open is refused.
"""

import io
import math

import numpy as np
import tifffile
from tifffile import EXTRASAMPLE, PHOTOMETRIC

from fewshot_wsi.foundation.pixels import TILE_PIXELS, check_packed, check_pixels

BRIGHT = 2**14  # a 16-bit tile without any level of a quarter of the range has 10 to 14 bits, it is not a dark one
_KNOWN = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE)
# how each orientation is stored -> how it is shown: transposed, turned upside down, turned left to right
_ORIENTATIONS = {1: (False, False, False), 2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
                 5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False)}


def read_tiff(data):
    """The image in the bytes of a TIFF file: (H, W, 3) uint8 RGB. ValueError names what cannot be read for certain."""
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        series = _only_image(tiff)
        page = series.keyframe
        if page.photometric not in _KNOWN:
            raise ValueError(f"its colours are stored as {page.photometric.name}; save it as 8-bit RGB")
        _check_sizes(series)
        for one in series.pages:
            _check_whole(one, data)
        levels = _rows_columns_samples(series)
        levels = _eight_bits(levels, page)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        levels[..., 0] = 255 - levels[..., 0]
    elif page.photometric == PHOTOMETRIC.PALETTE:
        levels = ((page.colormap.T.astype(np.uint32) + 128) // 257).astype(np.uint8)[levels[..., 0]]
    orientation = page.tags.valueof(274, 1)
    return _turned(_on_white(levels, page.extrasamples), orientation)


def _only_image(tiff):
    """The one image of a file: smaller copies and masks do not count."""
    images = [one for one in tiff.series if not one.keyframe.subfiletype & 5]
    if len(images) != 1:
        raise ValueError(f"it holds {len(images)} images; save one a file")
    return images[0]


def _rows_columns_samples(series):
    axes = series.axes
    if axes == "CYX" and series.shape[0] == 3 and series.keyframe.photometric == PHOTOMETRIC.MINISBLACK:
        axes = "SYX"  # ImageJ's and OME's way to store colours: a page for red, green and blue each
    if axes not in ("YX", "YXS", "SYX"):
        raise ValueError(f"it holds {len(series.pages)} pages of {'×'.join(map(str, series.keyframe.shape))} pixels "
                         f"(axes {axes}), which may be channels, layers or times; save it as RGB")
    levels = series.asarray()
    return levels[..., None] if axes == "YX" else np.moveaxis(levels, 0, 2) if axes == "SYX" else levels


def _check_sizes(series):
    """TooManyPixels where the image, or one of the tiles that it is stored in, claims more than is read."""
    page = series.keyframe
    check_pixels(page.imagewidth, page.imagelength)
    check_pixels(math.prod(series.shape), 1, 4 * TILE_PIXELS)  # with all channels
    if page.is_tiled:
        check_pixels(page.tilewidth, page.tilelength)


def _check_whole(page, data):
    """ValueError where parts of the pixels lie beyond the end of the file, as they would be read as black, or unpack to
    more than they claim."""
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if any(count == 0 or offset + count > len(data) for offset, count in parts):
        raise ValueError("it is cut short: parts of its pixels are missing")
    page = page.keyframe
    whole = page.imagewidth * page.imagelength if not page.is_tiled else page.tilewidth * page.tilelength
    for offset, count in parts:
        check_packed(page.compression, data[offset:offset + count], whole * page.samplesperpixel * page.dtype.itemsize)


def _eight_bits(levels, page):
    """Levels of any unsigned depth as 0 … 255; indices of a palette stay as they are."""
    if levels.dtype.kind not in "bu" or levels.dtype.itemsize > 2:
        raise ValueError(f"its levels are {8 * levels.dtype.itemsize}-bit numbers of unknown range ({levels.dtype}); "
                         "save it as 8 or 16 bit")
    if page.photometric == PHOTOMETRIC.PALETTE:
        return levels
    top = page.tags.valueof(281, None)  # MaxSampleValue
    top = min(np.atleast_1d(top)) if top is not None else 2**page.bitspersample - 1
    if top == 2**16 - 1:
        check_depth(levels.max())
    if levels.max(initial=0) > top:
        raise ValueError(f"its levels go up to {levels.max()}, beyond the {top} that it states")
    table = ((np.arange(top + 1, dtype=np.uint32) * 255 + top // 2) // top).astype(np.uint8)
    scaled = np.empty(levels.shape, dtype=np.uint8)
    for row in range(0, len(levels), 256):  # indexing makes eight bytes of each level
        scaled[row:row + 256] = table[levels[row:row + 256].astype(np.uint16)]
    return scaled


def check_depth(highest):
    """ValueError where the highest level of a 16-bit image says that it has fewer bits, and no tag says how many."""
    if 0 < highest < BRIGHT:
        raise ValueError(f"its 16-bit levels end at {highest}, as those of a camera of fewer bits; save it with levels "
                         "scaled to 16 bits, or as 8 bit")


def _on_white(levels, extra):
    """(H, W, 3) of grey or colours (H, W, S), the last ones `extra` samples: alpha shows white, others are left out."""
    count = levels.shape[2] - len(extra)
    colours = np.repeat(levels[..., :1], 3, axis=2) if count == 1 else levels[..., :3]
    alphas = [place for place, kind in enumerate(extra) if kind in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)]
    if not alphas:
        return colours
    alpha = levels[..., count + alphas[0], None].astype(np.uint32)
    weight = 255 if extra[alphas[0]] == EXTRASAMPLE.ASSOCALPHA else alpha
    return ((colours * weight + (255 - alpha) * 255 + 127) // 255).clip(0, 255).astype(np.uint8)


def _turned(image, orientation):
    swap, down, left = _ORIENTATIONS.get(orientation, _ORIENTATIONS[1])
    image = image.swapaxes(0, 1) if swap else image
    return np.ascontiguousarray(image[::-1 if down else 1, ::-1 if left else 1])
