"""A contact sheet: one row per class, named, with tiles sampled by a seed."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fewshot_wsi.foundation import seeds
from fewshot_wsi.foundation.files import replacing
from fewshot_wsi.foundation.names import visible
from openselfsup.images import BrokenImage, read_image

COLUMNS = 12
SIDE = 112      # pixels of a tile on the sheet
MARGIN = 4
NAMES = 180     # pixels for the names at the left


def write_sheet(path, checked, usable, seed=0):
    """Write the PNG of one CheckedList. usable: (N,) bool, False for images that do not decode."""
    labels = sorted(checked.classes)
    step = SIDE + MARGIN
    sheet = Image.new("RGB", (NAMES + COLUMNS * step + MARGIN, len(labels) * step + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for row, label in enumerate(labels):
        top = MARGIN + row * step
        members = np.flatnonzero(checked.labels == label)
        text = f"{label}  {visible(checked.classes[label])}\n{members.size:,} images"
        draw.multiline_text((MARGIN * 2, top + SIDE // 2 - 18), _fit(text, draw, font), fill="black", font=font)
        members = members[usable[members]]
        rng = seeds.generator(seed, "check_data/sheet", checked.name, int(label))
        chosen = rng.choice(members, min(COLUMNS, members.size), replace=False)
        for column, tile in enumerate(sorted(chosen.tolist())):
            sheet.paste(_thumbnail(checked.root / checked.images.names[tile]), (NAMES + column * step, top))
    with replacing(path) as stream:
        sheet.save(stream, "PNG")


def _thumbnail(path):
    try:
        image = Image.fromarray(read_image(path))
    except BrokenImage:  # it went away since it was measured
        return Image.new("RGB", (SIDE, SIDE), "red")
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _fit(text, draw, font):
    lines = []
    for line in text.split("\n"):
        while draw.textlength(line, font=font) > NAMES - 3 * MARGIN:
            line = line[:-2] + "…"
        lines.append(line)
    return "\n".join(lines)
