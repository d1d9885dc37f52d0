"""The picture of a map: the thumbnail, and beside it the same with a colour for each class, a legend, a scale bar."""

import base64
import io

import matplotlib
import numpy as np
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from fewshot_wsi.foundation.files import replacing
from fewshot_wsi.foundation.names import visible
from fewshot_wsi.report.style import FONT, drawing, fallback_fonts, legend_below
from fewshot_wsi.slide_maps.colours import ABSTAINED, colours_of, rgb

LONGEST = 1400  # pixels of the thumbnail
OPACITY = 0.55
STRIPE = 6      # pixels from one stripe to the next of what is abstained from


def class_layer(found, label, size):
    """RGBA image (PIL) of `size` = (width, height): the tiles of class `label` in its colour, all else transparent."""
    return Image.fromarray(_filled(found, found.labels == label, size, rgb(colours_of(found.classes)[label])))


def abstained_layer(found, size):
    """RGBA image (PIL) of `size`: grey stripes over the tiles whose conformal set is not one class."""
    picture = _filled(found, found.abstained, size, rgb(ABSTAINED))
    rows, columns = np.ogrid[:size[1], :size[0]]
    picture[(rows + columns) % STRIPE >= STRIPE // 2] = 0
    return Image.fromarray(picture)


def _filled(found, chosen, size, colour):
    """(h, w, 4) uint8 RGBA: the tiles that are `chosen` (n,) bool in one colour."""
    picture = np.zeros((*size[::-1], 4), dtype=np.uint8)
    scale = np.array([*size, *size]) / np.array([found.grid.place.width, found.grid.place.height] * 2)
    for x0, y0, x1, y1 in np.rint(found.grid.boxes[chosen] * scale).astype(int):
        picture[y0:max(y1, y0 + 1), x0:max(x1, x0 + 1)] = (*colour, 255)
    return picture


def coloured(found, thumbnail):
    """RGB image (PIL): the thumbnail under the colours of the classes."""
    shown = thumbnail.convert("RGBA")
    layers = [class_layer(found, label, thumbnail.size) for label in np.unique(found.labels)]
    if found.inside is not None:
        layers.append(abstained_layer(found, thumbnail.size))
    for layer in layers:
        layer.putalpha(layer.getchannel("A").point(lambda level: round(level * OPACITY)))
        shown = Image.alpha_composite(shown, layer)
    return shown.convert("RGB")


def bar_length(millimetres):
    """The largest of 1, 2, 5 × 10^k mm that is at most a quarter of `millimetres`."""
    power = 10.0 ** np.floor(np.log10(millimetres / 4))
    return max(step * power for step in (1, 2, 5) if step * power <= millimetres / 4)


def length_text(millimetres):
    """'2 mm', '500 µm'."""
    return f"{millimetres:g} mm" if millimetres >= 1 else f"{1000 * millimetres:.3g} µm"


def write_overlay(path, found, thumbnail):
    """overlay.png: thumbnail and map side by side, below each other for wide slides."""
    width, height = thumbnail.size
    wide = width > 1.6 * height
    rows, columns = (2, 1) if wide else (1, 2)
    across, name = 9.0, visible(found.name)
    names = [f"{visible(name)}: {area:.3g} mm²" for name, area in zip(found.classes, found.areas, strict=True)]
    with drawing(across, across * height / width * rows / columns + 0.8, rows, columns) as (figure, axes):
        for ax, image, title in zip(axes, (thumbnail, coloured(found, thumbnail)), (name, "Map"), strict=True):
            ax.imshow(image, interpolation="nearest")
            ax.set_title(title)
            ax.set_axis_off()
        _scale_bar(axes[0], found, thumbnail.size)
        handles = [Patch(color=colour) for colour in colours_of(found.classes)]
        if found.inside is not None:
            handles.append(Patch(facecolor="white", edgecolor=ABSTAINED, hatch="//////", linewidth=0))
            names.append(f"abstained: {found.abstained_area:.3g} mm²")
        legend_below(figure, handles, names)
        matplotlib.rcParams["font.sans-serif"] = [FONT, *fallback_fonts(frozenset("".join([name, *names])))]
        with replacing(path) as stream:
            figure.savefig(stream, format="png", dpi=160, facecolor="white", metadata={"Software": None})


def _scale_bar(ax, found, size):
    width = found.grid.place.width * found.grid.mpp[0] / 1000
    length = bar_length(width)
    pixels, thick = length / width * size[0], max(2, size[1] / 150)
    left, top = 0.03 * size[0], size[1] - 0.03 * size[1] - thick
    ax.add_patch(Rectangle((left, top), pixels, thick, facecolor="black", edgecolor="white", linewidth=0.5))
    ax.text(left, top - thick, length_text(length), color="black", verticalalignment="bottom",
            bbox=dict(facecolor="white", edgecolor="none", alpha=0.7, pad=1))


def data_url(image, kind="JPEG"):
    """The image as text that a page holds: JPEG, or PNG where it is transparent."""
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 88} if kind == "JPEG" else {"compress_level": 6}))
    return f"data:image/{kind.lower()};base64," + base64.b64encode(stream.getvalue()).decode()
