"""Tiles of a slide as rows of features, read from the open file while the encoder computes."""

from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.files import file_stamp, json_sha256
from fewshot_wsi.predict.encoding import EncodedRows
from fewshot_wsi.slides.geometry import tile_pixels


class _SlideTiles:
    """Item i: (tile, tile, 3) uint8 through the encoder's pipeline. UserError: the slide is damaged there."""

    def __init__(self, slide, place, corners, pipeline):
        self.slide, self.place, self.corners, self.pipeline = slide, place, corners.tolist(), pipeline

    def get(self, item):
        image = tile_pixels(self.slide, self.place, *self.corners[item])
        return self.pipeline(np.ascontiguousarray(image), None)[0]


class SlideRows(EncodedRows):
    """Features of the tiles with upper left `corners` (n, 2) of an open Slide. path: its file."""

    def __init__(self, path, slide, place, corners, choice):
        super().__init__(_SlideTiles(slide, place, corners, choice.recipe.pipeline), len(corners), choice)
        self.path, self.place, self.corners = Path(path), place, corners

    @property
    def identity(self):
        """Hash of the slide's file (name, size and times: slides have gigabytes), place of the tiles, and encoder."""
        return json_sha256([self.path.name, file_stamp(self.path), repr(self.place), self.corners.tolist(),
                            self.encoder, self.block])
