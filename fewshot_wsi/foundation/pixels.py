"""How many pixels any decoder may be asked for, compared with what a file claims before memory is taken."""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from fewshot_wsi.foundation.bounded import MIB, check_regular, check_unpacked

TILE_PIXELS = 40_000_000   # of an image that is read whole; the tiles of encoders have less than 17 million
SLIDE_PIXELS = 1 << 37     # of level 0 of a slide, which is never read whole
PART_PIXELS = 1 << 26      # of one stored tile or strip of a slide or mask
SCANNED_PIXELS = 2_500_000_000  # of a progressive JPEG, once for each of its scans, which all are decoded
_PACKINGS = {8: "deflate", 32946: "deflate", 34925: "lzma"}  # codes of TIFF that Python's own modules unpack


class TooManyPixels(ValueError):
    """An image that claims more pixels than are read."""


def check_pixels(width: int, height: int, limit: int = TILE_PIXELS) -> None:
    """TooManyPixels where an image of that size has more than `limit` pixels, or none."""
    if not 0 < width * height <= limit:
        raise TooManyPixels(_too_many(f"{width} × {height}", limit))


def _too_many(claimed, limit):
    return f"{claimed} pixels, where {limit / 1e6:,.0f} million are the most that is read"


def check_scans(width: int, height: int, data: bytes) -> None:
    """TooManyPixels where a JPEG of that size has so many scans that it takes minutes to decode."""
    scans = data.count(b"\xff\xda")  # these bytes are a marker wherever they stand outside of comments
    if width * height * scans > SCANNED_PIXELS:
        raise TooManyPixels(_too_many(f"{width} × {height} in each of {scans} scans:", SCANNED_PIXELS))


def check_packed(compression: int, data: bytes, size: int) -> None:
    """ValueError where a strip or tile of a TIFF, of `size` bytes, unpacks to more of them than padding explains."""
    if compression in _PACKINGS:
        check_unpacked(data, _PACKINGS[compression], 2 * size + MIB)


@contextlib.contextmanager
def open_image(source: bytes | str | Path, limit: int = TILE_PIXELS) -> Iterator[Image.Image]:
    """Pillow's image of the bytes of a file or of a regular file, not yet decoded.

    TooManyPixels: it claims more than `limit` pixels. Errors of Pillow and of the system as they are."""
    if not isinstance(source, bytes):
        check_regular(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is checked here
        try:
            opened = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        except Image.DecompressionBombError as error:
            claimed = int(re.findall(r"\d+", str(error))[0])
            raise TooManyPixels(_too_many(f"{claimed:,}", limit)) from None
        with opened as image:
            check_pixels(*image.size, limit)
            if image.info.get("progressive"):
                check_scans(*image.size, source if isinstance(source, bytes) else Path(source).read_bytes())
            yield image
