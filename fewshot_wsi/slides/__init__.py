"""Whole slides: one interface to every file format, tissue and ink, the grid of tiles.

| module | idea |
| --- | --- |
| `slide` | what a slide is: size, microns per pixel, levels, `read`, `thumbnail` |
| `opening` | a file to a slide, by its content; the slides of a folder |
| `openslide_files`, `tiff_files`, `flat_files` | the three readers |
| `geometry` | tiles of a stated size and resolution in the pixels of a slide; the coarse grid of cells |
| `tissue` | stained tissue and ink on the coarse grid |
| `tiles` | corners of the tile grid, and the share of each tile that cells cover |
"""
