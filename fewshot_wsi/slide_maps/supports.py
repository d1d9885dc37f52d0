"""Labelled tiles from annotated regions: the tiles that one class covers, with regions or slides as groups."""

import sys
from pathlib import Path

import numpy as np

from fewshot_wsi.annotations.reading import annotation_files, read_marked
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import refuse_alike
from fewshot_wsi.foundation.messages import say
from fewshot_wsi.predict.supports import Supports
from fewshot_wsi.prepare_data.cutting import candidates, choose, regions_of
from fewshot_wsi.prepare_data.marked import marks_of, with_tiles
from fewshot_wsi.slide_maps.grid import tissue_grid
from fewshot_wsi.slide_maps.rows import SlideRows
from fewshot_wsi.slides.opening import open_slide


def annotations_of(path, slides, option="--annotations"):
    """dict from slide to annotation file: of the folder or file `path`; one file and one slide belong together, else
    names tell (`a.geojson` of `a.svs`). option: that names it. UserError: no slide has one, or several."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"{option} {path}: no such file or folder")
    if path.is_file() and len(slides) == 1:
        return {slides[0]: path}
    if path.is_file():
        found = [slide for slide in slides if path.stem in (slide.stem, slide.name)]
        if not found:
            raise UserError(f"{path}: names none of {len(slides)} slides; call it {slides[0].stem}{path.suffix} if it "
                            f"belongs to {slides[0].name}")
        return {found[0]: path}
    files, _, several = annotation_files(path, slides)
    if several:
        slide, paths = next(iter(several.items()))
        raise UserError(f"{slide}: {len(paths)} annotation files, {' and '.join(map(str, paths))}; leave the one that "
                        "counts")
    if not files:
        raise UserError(f"{path}: no annotation with the name of a slide, as {slides[0].stem}.geojson")
    return files


def annotated_supports(files, settings, choice):
    """(Supports, features (n, D) float32) of the tiles that annotated regions cover, at most `settings.tiles` a class
    and slide. files: dict from slide to annotation. Regions are groups; with several slides the slides are.

    UserError names the slide: it or its annotation cannot be used, all tiles are of one class."""
    marked = {}
    for path, file in files.items():
        with _naming(path), open_slide(path) as slide:
            marked[path] = read_marked(file, slide)
    classes = tuple(sorted({name for one in marked.values() for name in one.classes}))
    refuse_alike(classes)
    names, labels, groups, features = [], [], [], []
    for path, one in marked.items():
        for notice in one.notices:
            say(f"notice: {path.name}: {notice}", file=sys.stderr)
        with _naming(path), open_slide(path) as slide:
            chosen, regions, found = _tiles_of(path, slide, one, classes, settings, choice)
        features.append(found)
        for label, corners in enumerate(chosen):
            names += [f"{path.name} {x},{y}" for x, y in corners]
            labels += [label] * len(corners)
            groups += [path if len(files) > 1 else (path, region if region >= 0 else tuple(corner))
                       for region, corner in zip(regions[label], corners, strict=True)]
    return _supports(files, classes, names, labels, groups, settings), np.concatenate(features)


def _tiles_of(path, slide, marked, classes, settings, choice):
    """(for each class its corners, for each class the region of each corner, features in this order)."""
    grid, tissue, ink = tissue_grid(slide, settings)
    marks = marks_of(marked, classes, grid.place)
    found = candidates(grid.place, marks, tissue, ink, settings)
    chosen = [choose(corners, settings, path.stem, label) for label, corners in enumerate(found)]
    corners = np.array([corner for own in chosen for corner in own], dtype=np.int64).reshape(-1, 2)
    if not len(corners):
        raise UserError(f"its regions hold no tile: none of {settings.tile} px at {settings.target_mpp:g} µm a pixel "
                        f"has {settings.purity:.0%} of one class and {settings.min_tissue:.0%} tissue; mark larger "
                        "regions, or lower --purity, --min_tissue or --tile")
    rows = SlideRows(path, slide, grid.place, corners, choice)
    blocks = [block for _, block, _ in rows.read(range(-(-len(rows) // rows.block)))]
    return chosen, regions_of(chosen, marks, grid.place), np.concatenate(blocks)


def _supports(files, classes, names, labels, groups, settings):
    where = ", ".join(str(file) for file in files.values())
    labels, classes = with_tiles(labels, classes, "mark larger regions of it, or lower --purity or --min_tissue",
                                 f"{where}: ")
    together = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return Supports(where, Path(), tuple(names), labels, classes,
                    np.array([together[group] for group in groups]), True)


class _naming:
    """A context in which a UserError gets the slide's path in front."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, UserError):
            raise UserError(f"{self.path}: {error}") from None
