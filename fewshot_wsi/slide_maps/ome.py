"""The outputs of the classifier as a pyramidal OME-TIFF: a channel for each class, a pixel for each cell of the map."""

import io
import uuid

import numpy as np
import tifffile

from fewshot_wsi.foundation.files import arrays_sha256, replacing
from fewshot_wsi.foundation.names import visible

TILE = 256  # pixels a side of a stored tile; levels are halved until one holds the map


def write_ome(path, found):
    """<kind>.ome.tif, (ways, rows, columns) float32; NaN where there is no tile. Its pixel size is the stride of
    the tiles in µm, and each channel has the name of its class."""
    channels = np.stack([found.image(values.astype(np.float32), np.nan) for values in found.outputs.T])
    levels = [channels]
    while max(levels[-1].shape[1:]) > TILE:
        levels.append(halved(levels[-1]))
    step = [np.diff(edges).mean() * mpp for edges, mpp in zip((found.grid.x_edges, found.grid.y_edges), found.grid.mpp,
                                                              strict=True)]
    metadata = {"axes": "CYX", "PhysicalSizeX": float(step[0]), "PhysicalSizeXUnit": "µm",
                "PhysicalSizeY": float(step[1]), "PhysicalSizeYUnit": "µm",
                "UUID": uuid.uuid5(uuid.NAMESPACE_OID, arrays_sha256(channels=channels)).urn,  # equal maps, equal files
                "Channel": {"Name": [visible(name) for name in found.classes]}}
    options = dict(tile=(TILE, TILE), photometric="minisblack", compression="zlib")
    stored = io.BytesIO()  # tifffile asks a file for its name, which temporary ones lack
    with tifffile.TiffWriter(stored, ome=True) as tiff:
        tiff.write(levels[0], subifds=len(levels) - 1, metadata=metadata, **options)
        for level in levels[1:]:
            tiff.write(level, subfiletype=1, metadata=None, **options)
    with replacing(path) as stream:
        stream.write(stored.getbuffer())


def halved(channels):
    """(C, ceil(h / 2), ceil(w / 2)): means of 2 × 2 pixels, of those that are there; NaN where none is."""
    count, height, width = channels.shape
    even = np.full((count, height + height % 2, width + width % 2), np.nan, dtype=np.float32)
    even[:, :height, :width] = channels
    blocks = even.reshape(count, even.shape[1] // 2, 2, even.shape[2] // 2, 2)
    there = (~np.isnan(blocks)).sum(axis=(2, 4))
    total = np.nansum(blocks, axis=(2, 4))
    return np.where(there > 0, total / np.maximum(there, 1), np.nan).astype(np.float32)
