"""The page on which tiles get their labels: one file, nothing fetched, every name data."""

import base64
import io
from dataclasses import asdict, dataclass
from importlib.resources import files

import cv2
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from fewshot_wsi.foundation.files import json_sha256
from openselfsup.images import read_image

SIDE = 512  # pixels, longest side of an embedded tile; larger ones are reduced
QUALITY = 90


@dataclass(frozen=True)
class PageTile:
    path: str    # as in the list
    group: str   # slide or patient; '' where none is known
    image: str   # data: URL
    shape: float  # width / height


def page_tile(path, group, file):
    """PageTile of the image `file`. BrokenImage where it does not decode."""
    image = read_image(file)
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=QUALITY, subsampling=0)
    url = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
    return PageTile(path, group, url, round(width / height, 4))


def render(tiles, *, classes=(), earlier=(), title="Label tiles"):
    """HTML text. tiles: PageTiles in the order to be labelled. classes: names to begin with. earlier: (path, label,
    group) of labels given before, which the exported CSV holds too.

    Progress is kept under a key made of tiles, classes and earlier labels: another page has its own.
    """
    environment = Environment(loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    data = {"tiles": [asdict(tile) for tile in tiles], "classes": list(classes), "earlier": [list(e) for e in earlier]}
    data["key"] = json_sha256(data)
    return environment.get_template("page.html.j2").render(
        title=title, data=data, earlier=len(earlier), style=Markup(_asset("style.css")),
        script=Markup(_asset("script.js")))


def _asset(name):
    return files("fewshot_wsi.labelling").joinpath(name).read_text(encoding="utf-8")
