"""case.html: the map of one slide in one file, nothing fetched, every name data."""

from importlib.resources import files

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from fewshot_wsi import __version__
from fewshot_wsi.foundation.files import write_text
from fewshot_wsi.foundation.names import visible
from fewshot_wsi.slide_maps.colours import ABSTAINED, colours_of
from fewshot_wsi.slide_maps.picture import abstained_layer, bar_length, class_layer, data_url, length_text
from fewshot_wsi.slides.geometry import read_tile

UNSURE = 12   # tiles shown of those with the smallest margin
SIDE = 224    # pixels of such a tile


def _asset(name):
    return files("fewshot_wsi.slide_maps").joinpath(name).read_text(encoding="utf-8")


def _shown(value):
    """What the template gets, before it is escaped: text without hidden characters."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def write_page(path, found, slide, thumbnail, made):
    """Write the page of a SlideMap. slide: open, for the tiles it is least sure of. made: [(what, how)], text."""
    environment = Environment(loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True, finalize=_shown)
    width = found.grid.place.width * found.grid.mpp[0] / 1000
    length = bar_length(width)
    total = found.areas.sum()
    classes = [dict(name=name, colour=colour, tiles=int(count), area=f"{area:.4g}", share=f"{100 * area / total:.1f}",
                    layer=data_url(class_layer(found, label, thumbnail.size), "PNG") if count else "")
               for label, (name, colour, count, area) in enumerate(zip(
                   found.classes, colours_of(found.classes), found.counts, found.areas, strict=True))]
    if found.inside is not None:
        classes.append(_abstained(found, total, thumbnail.size))
    write_text(path, environment.get_template("page.html.j2").render(
        title=found.name, tiles=len(found.labels), area=f"{total:.4g}", classes=classes, made=made,
        thumbnail=data_url(thumbnail), size=thumbnail.size, bar=f"{100 * length / width:.4g}",
        length=length_text(length), unsure=_unsure(found, slide), kind=found.kind, version=__version__,
        style=Markup(_asset("style.css")), script=Markup(_asset("script.js"))))


def _abstained(found, total, size):
    """The row of the tiles whose conformal set is not one class; they have a class above, too."""
    count, area = int(found.abstained.sum()), found.abstained_area
    return dict(name="abstained (in a class above, too)", colour=ABSTAINED, tiles=count, area=f"{area:.4g}",
                share=f"{100 * area / total:.1f}", layer=data_url(abstained_layer(found, size), "PNG") if count else "")


def _unsure(found, slide):
    """The tiles with the smallest margin, the least sure first; none where the classifier has no outputs."""
    if found.margin is None:
        return []
    chosen = np.argsort(found.margin, kind="stable")[:UNSURE]
    tiles = []
    for place in chosen.tolist():
        x, y = found.grid.corners[place].tolist()
        first, second = np.argsort(-found.outputs[place], kind="stable")[:2]
        image = read_tile(slide, found.grid.place, x, y)
        image.thumbnail((SIDE, SIDE))
        tiles.append(dict(image=data_url(image), x=x, y=y, first=found.classes[first], second=found.classes[second],
                          scores=[f"{found.outputs[place, label]:.2f}" for label in (first, second)]))
    return tiles
