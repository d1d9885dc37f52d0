"""How many pixels any decoder may be asked for, compared with what a file claims before memory is taken."""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from fewshot_wsi.foundation.bounded import check_regular

TILE_PIXELS = 40_000_000   # of an image that is read whole; the tiles of encoders have less than 17 million
SLIDE_PIXELS = 1 << 37     # of level 0 of a slide, which is never read whole
PART_PIXELS = 1 << 26      # of one stored tile or strip of a slide or mask


class TooManyPixels(ValueError):
    """An image that claims more pixels than are read."""


def check_pixels(width: int, height: int, limit: int = TILE_PIXELS) -> None:
    """TooManyPixels where an image of that size has more than `limit` pixels, or none."""
    if not 0 < width * height <= limit:
        raise TooManyPixels(_too_many(f"{width} × {height}", limit))


def _too_many(claimed, limit):
    return f"{claimed} pixels, where {limit / 1e6:,.0f} million are the most that is read"


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
            yield image
