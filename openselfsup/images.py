"""Image files to arrays."""

import contextlib

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from fewshot_wsi.foundation import pixels
from fewshot_wsi.foundation.archived import read_file
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.pixels import check_pixels, open_image
from openselfsup.jpeg import check_scans
from openselfsup.tiff import check_depth, read_tiff

_JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class BrokenImage(UserError):
    """An image file that is missing or does not decode."""


def read_image(path):
    """The image at `path` as (H, W, 3) uint8 RGB. BrokenImage where it is missing, truncated or no image."""
    return decode_image(read_bytes(path), path)


def read_bytes(path):
    """The bytes of the file `path`, in a zip archive too; BrokenImage where it cannot be read."""
    try:
        return read_file(path)
    except OSError as error:
        raise BrokenImage(f"{path}: cannot be read ({error.strerror or error})") from None
    except UserError as error:  # a pipe, a device, a file that is no archive or larger than any image
        raise BrokenImage(f"{error}") from None


def decode_image(data, path):
    """As `read_image`, from the bytes of the file; `path` names it in errors. An image that claims more than
    `pixels.TILE_PIXELS` is broken too; nothing of it is decoded."""
    try:
        if data.startswith(_JPEG):
            return _jpeg(data)
        if data.startswith(_TIFF):
            return _tiff(data)
        return _pillow(data)
    except UserError:
        raise
    except UnidentifiedImageError:  # its text is an address in memory
        raise BrokenImage(f"{path}: does not decode as an image (no known format)") from None
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise BrokenImage(f"{path}: does not decode as an image ({error})") from None


def _jpeg(data):
    """A strict decoder: libjpeg, and so Pillow and OpenCV, fill the rest of a damaged image with grey."""
    height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    check_pixels(width, height)
    pixels.check_scans(width, height, data)
    if space in ("CMYK", "YCCK"):
        return _pillow(data)
    image = simplejpeg.decode_jpeg(data, "RGB")
    check_scans(data)
    return image


def _tiff(data):
    """Pillow, the faster reader, where it keeps to the tags: one page of whole pixels with 8 bits a sample."""
    with contextlib.suppress(UnidentifiedImageError), open_image(data) as image:
        check_pixels(image.tag_v2.get(322, 1), image.tag_v2.get(323, 1))  # of a stored tile
        plain = image.n_frames == 1 and image.tag_v2.get(284, 1) == 1 and set(image.tag_v2.get(258, (1,))) == {8}
        if plain:
            return _pillow(data)
    return read_tiff(data)


def _pillow(data):
    with open_image(data) as image:
        return _rgb(image)


def _rgb(image):
    """Pillow image of any mode to (H, W, 3) uint8. Transparent parts become white, as an empty slide is."""
    if image.mode.startswith("I;16"):  # Pillow's own conversion cuts off all levels above 255
        levels = np.asarray(image)
        check_depth(levels.max())
        return np.repeat(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"its levels are 32-bit numbers of unknown range, mode {image.mode}; save it as 8 or 16 bit")
    if "RGB;16" in str(image.tile):  # Pillow keeps the upper 8 bits
        check_depth(256 * int(np.asarray(image).max()))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))
