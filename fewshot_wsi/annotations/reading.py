"""An annotation file to regions, by what is in it; the annotation files of a folder, by slide."""

from dataclasses import replace
from pathlib import Path

from fewshot_wsi.annotations import asap, geojson, imagescope, ndpa
from fewshot_wsi.annotations.classes import mark_classes
from fewshot_wsi.annotations.xml import read_root
from fewshot_wsi.foundation.bounded import check_regular
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import find_files

SUFFIXES = (".geojson", ".json", ".xml", ".ndpa")


def annotation_files(folder, slides):
    """(dict from slide to its annotation file, files that belong to no slide, dict from slide to several files).

    A file belongs to the slide that it is named after: `a.geojson` or `a.svs.geojson` to `a.svs`."""
    files = [Path(folder, name) for name in find_files(folder, SUFFIXES)]
    by_name = {}
    for path in files:
        by_name.setdefault(path.stem, []).append(path)
    of_slide = {slide: [path for name in dict.fromkeys((slide.stem, slide.name)) for path in by_name.get(name, [])]
                for slide in slides}
    used = {path for paths in of_slide.values() for path in paths}
    return ({slide: paths[0] for slide, paths in of_slide.items() if len(paths) == 1},
            [path for path in files if path not in used],
            {slide: paths for slide, paths in of_slide.items() if len(paths) > 1})


def read_marked(path, slide):
    """Marked (see `classes`) of the annotation file `path` of the slide `slide`. UserError names the file."""
    regions, others = read_regions(path, slide)
    try:
        marked = mark_classes(regions, slide.size)
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from None
    lines = (f"{others} detections, cells or tiles: not used",) if others else ()
    return replace(marked, notices=lines + marked.notices)


def read_regions(path, slide):
    """(list of Region, number of objects that are no annotations) of the file `path`, whichever program wrote it.

    QuPath's GeoJSON, the XML of ASAP and ImageScope, Hamamatsu's NDPA; the first bytes tell which. slide: the Slide
    that it belongs to. UserError: none of these, or damaged."""
    path = Path(path)
    try:
        check_regular(path)
        with open(path, "rb") as stream:
            first = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    except OSError as error:
        raise UserError(f"{path.name} is not readable ({error.strerror})") from None
    if first in (b"{", b"["):
        return geojson.regions(path)
    root = read_root(path)
    if root.tag == "ASAP_Annotations":
        return asap.regions(path, root, slide.origin), 0
    if root.tag == "Annotations":
        return imagescope.regions(path, root, imagescope.named), 0
    if root.tag == "annotations":
        return ndpa.regions(path, root, slide), 0
    raise UserError(f"{path.name} begins with <{root.tag}>, which is the XML of neither ASAP, ImageScope nor NDP.view")
