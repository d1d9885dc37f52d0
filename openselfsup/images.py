"""Image files to arrays."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lowshot.errors import UserError

_JPEG_BEGIN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # Pillow does not turn images by their EXIF tag either


class BrokenImage(UserError):
    """An image file that is missing or does not decode."""


def read_image(path):
    """The image at `path` as (H, W, 3) uint8 RGB. BrokenImage where it is missing, truncated or no image."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BrokenImage(f"{path}: cannot be read ({error.strerror or error})") from None
    # OpenCV decodes JPEG three times as fast, but fills the rest of a truncated one with grey and says nothing
    if data.startswith(_JPEG_BEGIN) and data.rstrip(b"\0")[-2:] == _JPEG_END:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
        if image is not None:
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                return _rgb(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenImage(f"{path}: does not decode as an image ({error})") from None


def _rgb(image):
    """Pillow image of any mode to (H, W, 3) uint8. Transparent parts become white, as an empty slide is."""
    if image.mode.startswith("I;16"):  # Pillow's own conversion cuts off all levels above 255
        levels = ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.repeat(levels[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"its levels are 32-bit numbers of unknown range, mode {image.mode}; save it as 8 or 16 bit")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))
