"""Binary TIFF masks of a slide, decoded strip by strip or tile by tile: what is not shown black is inside."""

import numpy as np
import tifffile

from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.slides.tiff_files import BAD_TIFF, check_part

_LOSSY = {tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG, tifffile.COMPRESSION.JPEG2000,
          tifffile.COMPRESSION.APERIO_JP2000_RGB, tifffile.COMPRESSION.APERIO_JP2000_YCBC}


def mask_cover(path, place, sizes):
    """(rows, columns) float32: share of each cell of the grid of `place` (geometry.Geometry) inside the mask.

    sizes: (width, height) of each level of the slide. UserError: not a TIFF, damaged, its size is that of no level, or
    its levels do not say what is inside.
    """
    total = np.zeros(place.grid, dtype=np.float64)
    for inside, top, left, size in _parts(path):
        if size not in sizes:
            raise UserError(f"{path.name} has {size[0]} × {size[1]} px, the slide {sizes[0][0]} × {sizes[0][1]}; "
                            "a mask has the size of the slide or of one of its levels")
        inside = inside[:size[1] - top, :size[0] - left]  # tiles at the edge are padded
        across, down = place.width / size[0], place.height / size[1]  # level-0 pixels for one of the mask
        rows = ((top + np.arange(inside.shape[0]) + 0.5) * down).astype(np.int64) // place.cell
        columns = ((left + np.arange(inside.shape[1]) + 0.5) * across).astype(np.int64) // place.cell
        row, first_row = np.unique(rows, return_index=True)
        column, first_column = np.unique(columns, return_index=True)
        counts = np.add.reduceat(inside, first_column, axis=1, dtype=np.int64)
        total[row[:, None], column] += np.add.reduceat(counts, first_row, axis=0) * (across * down)
    return np.minimum(total / _cell_area(place), 1).astype(np.float32)


def _parts(path):
    """Of a TIFF's first page: (inside (h, w) bool, top, left, (width, height) of the page) for each decoded part."""
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            size = (page.imagewidth, page.imagelength)
            check_part(page)
            yield np.zeros((1, 1), dtype=bool), 0, 0, size  # the size is known before anything is decoded
            is_inside, planes = _rule(page, path), {}
            apart = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
            for data, (plane, _, top, left, _), _ in page.segments():
                if data is None or (apart and plane >= _colours(page)):  # empty part of a sparse TIFF; alpha
                    continue
                if apart:  # one colour after the other: a pixel is inside where any of them is
                    found = is_inside(data).any(axis=(0, 3))
                    planes[top, left] = planes.get((top, left), False) | found
                else:
                    yield is_inside(data[..., :_colours(page)]).any(axis=(0, 3)), top, left, size
            for (top, left), inside in planes.items():
                yield inside, top, left, size
    except BAD_TIFF as error:
        raise UserError(f"{path.name} is not a readable mask ({one_line(error)})") from None


def _colours(page):
    """Samples of a pixel without alpha and other extra samples."""
    return page.samplesperpixel - len(page.extrasamples)


def _rule(page, path):
    """Function from stored levels to which of them are inside: not shown black."""
    photometric = tifffile.PHOTOMETRIC
    if page.photometric == photometric.PALETTE:
        shown = np.asarray(page.colormap).any(axis=0)
        return lambda levels: shown[levels]
    if page.photometric == photometric.MINISWHITE:
        top = 2 ** page.bitspersample - 1 if page.dtype.kind == "u" else 1

        def inverted(levels):
            if ((levels != 0) & (levels != top)).any():
                raise UserError(f"{path.name} shows 0 as white and holds other levels than 0 and {top}, so what is "
                                "inside is not certain; save it with black as 0")
            return levels == 0
        return inverted
    if page.photometric in (photometric.MINISBLACK, photometric.RGB, photometric.MASK, photometric.YCBCR):
        least = 127 if page.compression in _LOSSY else 0  # compression leaves traces around the edges
        return lambda levels: levels > least
    raise UserError(f"{path.name} is a mask of colours ({page.photometric.name}); save it in grey levels")


def _cell_area(place):
    """(rows, columns): level-0 pixels in each cell; cells at the right and lower edge are cut."""
    rows, columns = place.grid
    heights = np.minimum(place.cell, place.height - np.arange(rows) * place.cell)
    widths = np.minimum(place.cell, place.width - np.arange(columns) * place.cell)
    return heights[:, None] * widths[None]
