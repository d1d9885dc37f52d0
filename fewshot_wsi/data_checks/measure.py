"""One image file measured: does it decode, how large, which mode, what it holds, how it looks, its colours."""

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import UnidentifiedImageError

from fewshot_wsi.foundation.pixels import open_image
from openselfsup.images import BrokenImage, decode_image, read_bytes

VERSION = 3     # of the measurements; another version is measured anew
THUMB = 16      # pixels, side of the grey thumbnail that confirms a near duplicate
GRID = 32       # pixels, side of the grey image whose lowest 8 × 8 frequencies are hashed
BINS = 4        # per channel of the colour histogram
WHITE = 245     # a bottom this bright is glass, not filling
FLAT = 3.0      # grey levels: standard deviation of the grey thumbnail under which a tile is too uniform to compare

RECORD = np.dtype([
    ("height", "<i4"), ("width", "<i4"), ("mode", "S8"), ("sha256", "u1", 32), ("hash", "u1", 8),
    ("thumb", "u1", (THUMB, THUMB)), ("mean_rgb", "<f4", 3), ("histogram", "<f4", BINS**3), ("spread", "<f4"),
    ("filled", "<f4"), ("brightest", "u1")])


@dataclass(frozen=True)
class Broken:
    """An image that could not be measured, and why, in one line."""
    reason: str


def measure(path):
    """A RECORD scalar, or Broken. Mean RGB in 0 … 255; histogram sums to 1; spread in grey levels;
    filled: share of the height, from the bottom, that is one single colour; brightest: highest level of any channel."""
    cv2.setNumThreads(1)
    try:
        data = read_bytes(path)
        image = decode_image(data, path)
        mode = _mode(data)
        digest = hashlib.sha256(data).digest()
    except (BrokenImage, OSError) as error:
        return Broken(str(error))
    record = np.zeros((), RECORD)
    record["height"], record["width"] = image.shape[:2]
    record["mode"], record["sha256"] = mode.encode(), np.frombuffer(digest, np.uint8)
    small = cv2.resize(image, (GRID, GRID), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    record["thumb"] = cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA)
    record["spread"] = record["thumb"].std()
    record["hash"] = np.packbits(low_frequencies(grey) > 0)
    record["mean_rgb"] = image.reshape(-1, 3).mean(axis=0)
    cells = (image // (256 // BINS)).reshape(-1, 3) @ np.array([BINS * BINS, BINS, 1])
    record["histogram"] = np.bincount(cells, minlength=BINS**3) / cells.size
    record["filled"], record["brightest"] = _filled_rows(image) / len(image), image.max()
    return record


def _filled_rows(image):
    """How many rows at the bottom are one colour, not white: what decoders fill a cut image with."""
    last = image[-1, 0]
    if last.min() >= WHITE:
        return 0
    other = np.flatnonzero((image != last).any(axis=(1, 2)))
    return len(image) - 1 - other[-1] if other.size else len(image)


def _mode(data):
    """Pillow's name for how a readable image is stored, 'other' where it has none."""
    try:
        with open_image(data) as header:
            return header.mode
    except UnidentifiedImageError:
        return "other"


def low_frequencies(grey):
    """(8, 8) float32: the lowest cosine frequencies of (GRID, GRID) grey, without the mean.

    A flip changes the sign of every odd frequency along its axis and a transposition transposes them, so the hashes
    of all eight flips and rotations follow from one: see `duplicates.turned`."""
    lowest = cv2.dct(grey.astype(np.float32) / 255)[:8, :8]
    lowest[0, 0] = 0
    return lowest
