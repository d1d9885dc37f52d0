"""Flat images as slides of one level: PNG, JPEG, BMP, WebP, JPEG 2000."""

import numpy as np
from PIL import Image, UnidentifiedImageError

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.pixels import TooManyPixels, check_pixels, open_image
from fewshot_wsi.slides.slide import Slide, crop_white

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".jp2"})
_LIMIT = 1 << 27  # pixels; half of it where some are transparent, which takes a second copy


class FlatFile(Slide):
    """An image that is decoded whole. Its microns per pixel are unknown: dots per inch are those of a screen."""

    reader, mpp = "Pillow", None

    def __init__(self, path):
        """PIL.UnidentifiedImageError: no image. UserError: too large, cut short, or not 8 bits a channel."""
        self._pixels = _decoded(path)
        self.size = self._pixels.shape[1::-1]
        self.level_sizes, self.downsamples, self.properties = (self.size,), (1.0,), {}

    def read(self, x, y, level, size):
        return Image.fromarray(crop_white(self._pixels, x, y, *size))

    def close(self):
        self._pixels = None


def _decoded(path):
    """(h, w, 3) uint8; transparent pixels are white."""
    try:
        with open_image(path, _LIMIT) as image:
            if image.mode not in ("RGB", "RGBA", "P", "PA"):
                raise UserError(f"has pixels of the kind {image.mode}; a slide has 8-bit RGB colours")
            if image.has_transparency_data:
                check_pixels(*image.size, _LIMIT // 2)
            elif image.mode == "RGB":
                return np.array(image)  # without the copy that `convert` makes
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    except TooManyPixels:
        raise UserError("is too large to be read as a flat image; convert it to a pyramidal TIFF, as with "
                        "`vips tiffsave IN OUT.tif --tile --pyramid --compression jpeg`") from None
    except UnidentifiedImageError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"is damaged ({error}); copy or download it again") from None
    if image.mode == "RGBA":
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        image = white
    return np.asarray(image)
