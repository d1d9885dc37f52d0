"""How figures look: one palette that survives grey print and colour-blind eyes, text as text, no background."""

import functools
import io
import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib import font_manager  # noqa: E402
from matplotlib.ft2font import FT2Font  # noqa: E402

from fewshot_wsi.foundation.names import printable  # noqa: E402

logger = logging.getLogger(__name__)

INK = "#1a1a1a"      # becomes the page's text colour where the figure is part of the page
FAINT = "#8c8c8c"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7a5c00", "#56B4E9", "#E69F00")  # after Okabe and Ito
MARKERS = "os^DvP*"

FONT = "DejaVu Sans"  # comes with Matplotlib

_RC = {"svg.fonttype": "none", "svg.hashsalt": "lowshot", "font.family": "sans-serif", "font.size": 9,
       "font.sans-serif": [FONT], "axes.spines.top": False, "axes.spines.right": False,
       "axes.edgecolor": FAINT, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
       "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.linewidth": 0.7,
       "xtick.major.width": 0.7, "ytick.major.width": 0.7, "legend.frameon": False, "figure.constrained_layout.use":
       True, "text.parse_math": False, "lines.linewidth": 1.4, "lines.markersize": 4.5, "axes.axisbelow": True}


@dataclass(frozen=True)
class Figure:
    """One figure: key (file name), title, caption, alt text, SVG text and PNG bytes."""
    key: str
    title: str
    caption: str
    alt: str
    svg: str
    png: bytes

    @property
    def inline(self):
        """SVG for the page: ids of its own, the page's text colour and font, no prologue, no fixed size (style.css
        may ask for the natural width)."""
        svg = self.svg[self.svg.index("<svg"):]
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
        svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{self.key}-", svg)
        svg = re.sub(rf"'{FONT}'(, '[^']*')*(, sans-serif)?", "inherit", svg.replace(INK, "currentColor"))
        head, body = svg.split(">", 1)
        width = re.search(r'\swidth="([^"]*)"', head)[1]
        head = re.sub(r'\s(width|height)="[^"]*"', "", head)
        return f'{head} role="presentation" style="--natural: {width}">{body}'


@contextmanager
def drawing(width=7.2, height=3.2, rows=1, columns=1, **options):
    """Matplotlib figure and a flat list of axes, in the style above; closed afterwards."""
    with matplotlib.rc_context(_RC):
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)
        try:
            yield figure, list(axes.flat)
        finally:
            plt.close(figure)


def finish(figure, key, title, caption, alt):
    """Figure from a Matplotlib drawing: equal drawings make equal bytes."""
    found = figure.findobj(matplotlib.text.Text)
    for text in found:  # names among them: a hidden character would break the SVG
        text.set_text("\n".join(map(printable, text.get_text().split("\n"))))
    texts = (text.get_text() for text in found)
    matplotlib.rcParams["font.sans-serif"] = [FONT, *fallback_fonts(frozenset("".join(texts)))]
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=200, facecolor="white", metadata={"Software": None})
    return Figure(key, title, caption, alt, svg.getvalue(), png.getvalue())


@functools.cache
def fallback_fonts(characters):
    """List of installed fonts to use after FONT for those of `characters` (a frozenset of str) that it lacks.

    Fonts are tried in order of name, and each that adds a character is taken; unprintable characters are ignored. Where
    no font has some, a warning names the first by code point: PNGs show a box for it, a browser may draw it in SVG.
    """
    missing = {char for char in characters if char.isprintable()} - _glyphs(font_manager.findfont(FONT))
    names = []
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda one: (one.name, one.fname)) if missing else ():
        found = set() if entry.name.startswith("Last Resort") else missing & _glyphs(entry.fname)  # a box for each
        if found:
            names.append(entry.name)
            missing -= found
    if missing:
        logger.warning(f"no installed font has {min(missing)!r}: figures saved as PNG show a box for it; install one, "
                       "such as Noto Sans CJK")
    return list(dict.fromkeys(names))


@functools.cache
def _glyphs(path):
    """The characters that a font file has."""
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (RuntimeError, OSError):  # not a font that FreeType reads
        return frozenset()


def colours_of(families):
    """dict from encoder family to colour: FSP and CLP always the same ones."""
    fixed = {"fsp": COLOURS[0], "clp": COLOURS[1]}
    rest = [c for c in COLOURS if c not in fixed.values()]
    others = [f for f in sorted(families) if f not in fixed]
    return {f: fixed[f] for f in families if f in fixed} | {f: rest[i % len(rest)] for i, f in enumerate(others)}


def grid_lines(ax, axis="y"):
    ax.grid(axis=axis, color=FAINT, alpha=0.25, linewidth=0.6)


def legend_below(figure, handles, labels, columns=4):
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), columns), fontsize=8)
