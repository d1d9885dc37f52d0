"""From a file to a slide, by what is in it; and the slides of a folder."""

from pathlib import Path

import openslide
import tifffile
from PIL import UnidentifiedImageError

from fewshot_wsi.foundation.bounded import check_regular
from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.image_files import find_files
from fewshot_wsi.foundation.pixels import SLIDE_PIXELS, TooManyPixels, check_pixels
from fewshot_wsi.slides import flat_files
from fewshot_wsi.slides.openslide_files import OpenSlideFile
from fewshot_wsi.slides.slide import Slide
from fewshot_wsi.slides.tiff_files import TiffSlide

SUFFIXES = frozenset({".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".czi", ".vms", ".vmu", ".svslide", ".dcm", ".tif",
                      ".tiff", ".btf"})


def open_slide(path) -> Slide:
    """The slide of `path`, by its content: OpenSlide where it knows the scanner, then tifffile, then a flat image.

    UserError: none of them reads it."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        check_regular(path)  # a pipe would be waited for
    slide = _opened(path)
    try:
        check_pixels(*slide.size, SLIDE_PIXELS)
    except TooManyPixels as error:
        slide.close()
        raise UserError(f"claims {error}; copy or download it again") from None
    return slide


def _opened(path):
    try:
        slide = OpenSlideFile(path)
    except (openslide.OpenSlideError, OSError) as error:
        return _otherwise(path, one_line(error))
    if slide.properties.get("openslide.vendor") != "generic-tiff":
        return slide
    slide.close()  # of a TIFF of no scanner OpenSlide knows neither sub-resolutions nor microns per pixel
    return _otherwise(path, "")


def _otherwise(path, reason):
    try:
        return TiffSlide(path)
    except (tifffile.TiffFileError, OSError) as error:
        reason = reason or one_line(error)
    if path.suffix.lower() in flat_files.SUFFIXES:
        try:
            return flat_files.FlatFile(path)
        except UnidentifiedImageError:
            reason = "no image"
    raise UserError(f"does not open as a slide ({reason}); copy or download it again")


def find_slides(folder, suffixes=SUFFIXES, but=()):
    """Paths of the slides below `folder`, sorted by name and then by path.

    suffixes: of files that may be slides. but: ends of names (without suffix) that are none, as of masks. Files of one
    DICOM series are one slide, the first of them; a flat image with the name of a slide is its thumbnail, and no slide.
    UserError where there is none."""
    slides = [path for path in (Path(folder, name) for name in find_files(folder, suffixes))
              if not path.stem.endswith(tuple(but))]
    scanned = {path.stem for path in slides if path.suffix.lower() in SUFFIXES}
    slides = [path for path in slides if path.suffix.lower() in SUFFIXES or path.stem not in scanned]
    if not slides:
        raise UserError(f"{folder}: no slide below this folder ({', '.join(sorted(suffixes))})")
    slides = _one_a_series(slides)
    return sorted(slides, key=lambda path: (path.stem, path.as_posix()))


def _one_a_series(paths):
    """`paths` without further files of a DICOM series; each level of a pyramid is a file."""
    kept, seen = [], set()
    for path in paths:
        series = _series(path) if path.suffix.lower() == ".dcm" else None
        if series is None or series not in seen:
            kept.append(path)
        seen.add(series)
    return kept


def _series(path):
    """(folder, series) of a DICOM file, or None where OpenSlide does not open it."""
    try:
        with openslide.OpenSlide(str(path)) as slide:
            return path.parent, slide.properties.get("dicom.SeriesInstanceUID")
    except (openslide.OpenSlideError, OSError):
        return None
