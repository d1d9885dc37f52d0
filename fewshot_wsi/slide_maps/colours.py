"""One colour a class, the same in QuPath, picture and page: those of the report, then Matplotlib's."""

from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb

from fewshot_wsi.report.style import COLOURS

ABSTAINED = "#333333"  # of stripes over tiles whose conformal set is not one class


def colours_of(classes):
    """List of '#rrggbb', one for each class by its place; from the 28th class on they repeat."""
    known = [*COLOURS, *(to_hex(colour) for colour in colormaps["tab20"].colors)]
    return [known[place % len(known)] for place in range(len(classes))]


def rgb(colour):
    """(red, green, blue), 0 … 255."""
    return tuple(round(255 * part) for part in to_rgb(colour))
