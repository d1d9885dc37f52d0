"""Whether what decoders, masks, polygons and tables hand over is right, or refused by name: drawn files in many forms.

    python benchmarks/readers.py [--seed 0]

Prints, for each kind, how many files were tried, came out right, were refused, and came out wrong without a word. What
is right is known from how the file was drawn. Bytes that rot inside a JPEG may give another valid JPEG, which no reader
can tell; they are counted too.
"""

import argparse
import io
import itertools
import logging
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np
import shapely
import tifffile
from PIL import Image

from fewshot_wsi.annotations.regions import cover, ellipse, polygon
from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.seeds import generator
from fewshot_wsi.foundation.tables import read_table
from fewshot_wsi.prepare_data.masks import mask_cover
from openselfsup.images import read_image

TURNED = {1: lambda a: a, 3: lambda a: a[::-1, ::-1], 6: lambda a: np.rot90(a, -1)}  # by TIFF orientation
COMPRESSIONS = (None, "lzw", "deflate", "packbits")


def picture(rng, side=61):
    """(side - 14, side, 3) uint8 of smooth colours, with the darkest and the brightest level."""
    few = rng.integers(0, 256, (7, 9, 3)).astype(np.uint8)
    image = cv2.resize(few, (side, side - 14), interpolation=cv2.INTER_CUBIC)
    image[0, 0], image[1, 1] = 255, 0
    return image


def same_image(path, want, tolerance=1):
    got = read_image(path)
    return got.shape == want.shape and np.abs(got.astype(int) - want).max() <= tolerance


def tiffs(rng, folder):
    """TIFFs of every depth, photometric interpretation, plane, compression, tiling, orientation and byte order."""
    colours = picture(rng)
    grey = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    depths = {"1": lambda a: a > 127, "8": lambda a: a, "16": lambda a: a.astype(np.uint16) * 257,
              "12 in 16": lambda a: a.astype(np.uint16) * 16, "float": lambda a: a.astype(np.float32) / 255,
              "32": lambda a: a.astype(np.uint32)}
    forms = itertools.product(depths, ("rgb", "minisblack", "miniswhite"), ("contig", "separate"), COMPRESSIONS,
                              (None, (32, 48)), TURNED, (False, True), "<>")
    for depth, photometric, planes, compression, tile, turn, big, order in forms:
        rgb = photometric == "rgb"
        if (planes == "separate" and not rgb) or (depth == "1" and (rgb or compression == "lzw")) or \
                (photometric == "miniswhite" and depth not in ("1", "8", "16")):
            continue
        image = colours if rgb else grey
        shown = np.where(image > 127, 255, 0) if depth == "1" else image
        levels = depths[depth](image if photometric != "miniswhite" else 255 - image)
        if photometric == "miniswhite" and depth == "1":
            levels = image <= 127
        tifffile.imwrite(folder / "a.tif", np.moveaxis(levels, 2, 0) if planes == "separate" else levels,
                         photometric=photometric, planarconfig=planes if rgb else None, compression=compression,
                         tile=tile, bigtiff=big, byteorder=order, extratags=[(274, 3, 1, turn, True)])
        want = TURNED[turn](shown if rgb else np.repeat(shown[..., None], 3, axis=2))
        yield f"TIFF, {depth} bit", lambda want=want: same_image(folder / "a.tif", want)


def jpegs(rng, folder):
    """JPEGs whole and damaged, of several qualities, samplings, progressive or not."""
    path, large = folder / "a.jpg", cv2.resize(picture(rng), (224, 224))
    for quality, sampling, progressive, restart in itertools.product((50, 75, 95), (0, 1, 2), (False, True), (0, 7)):
        stream = io.BytesIO()
        Image.fromarray(large).save(stream, "JPEG", quality=quality, subsampling=sampling, progressive=progressive,
                                    restart_marker_blocks=restart)
        whole = stream.getvalue()
        want = np.asarray(Image.open(io.BytesIO(whole)).convert("RGB")).astype(int)
        for _ in range(8):
            cut = int(rng.integers(len(whole) // 3, len(whole) - 40))
            begin = whole[:cut]
            for what, data in (("whole", whole), ("cut", begin), ("zeros", begin + bytes(len(whole) - cut)),
                               ("closed", begin + b"\xff\xd9"), ("rotten", begin + bytes(30) + whole[cut + 30:])):
                path.write_bytes(data)
                yield f"JPEG, {what}", lambda want=want: same_image(path, want, 2)


def masks(rng, folder):
    """Masks of every depth, photometric interpretation, plane, alpha, compression and tiling."""
    path, size = folder / "a.tif", (150, 110)
    place = SimpleNamespace(width=size[0], height=size[1], cell=16, grid=(7, 10))
    inside = rng.random(size[::-1]) < 0.4
    want = np.array([[inside[r:r + 16, c:c + 16].mean() for c in range(0, 150, 16)] for r in range(0, 110, 16)])
    forms = itertools.product(("minisblack", "miniswhite", "rgb", "palette"), COMPRESSIONS, (None, (64, 64)),
                              ("contig", "separate"), (False, True), (1, 8, 16))
    for photometric, compression, tile, planes, alpha, bits in forms:
        samples = (3 if photometric == "rgb" else 1) + alpha
        if (bits == 1 and (samples > 1 or compression == "lzw")) or (planes == "separate" and samples == 1) or \
                (photometric == "palette" and (bits != 8 or alpha)):
            continue
        options = dict(photometric=photometric, compression=compression, tile=tile)
        top, kind = {1: (1, bool), 8: (255, np.uint8), 16: (65535, np.uint16)}[bits]
        levels = ((~inside if photometric == "miniswhite" else inside) * top).astype(kind)
        if photometric == "palette":
            options["colormap"] = np.zeros((3, 256), np.uint16)
            levels, options["colormap"][1, 1] = inside.astype(np.uint8), 9999
        if samples > 1:
            others = [np.zeros_like(levels)] * 2 if photometric == "rgb" else []
            levels = np.dstack([levels, *others, *([np.full_like(levels, top)] if alpha else [])])
            options |= dict(planarconfig=planes, **(dict(extrasamples=["unassalpha"]) if alpha else {}))
        tifffile.imwrite(path, np.moveaxis(levels, 2, 0) if planes == "separate" else levels, **options)
        yield "mask", lambda: np.allclose(mask_cover(path, place, [size]), want, atol=1e-5)


def polygons(rng, folder):
    """Polygons that cross themselves, ellipses and unions of them, against the intersection with every cell."""
    for number in range(150):
        width, height, cell = (int(rng.integers(*bounds)) for bounds in ((40, 300), (40, 300), (5, 30)))
        place = SimpleNamespace(width=width, height=height, cell=cell, grid=(-(-height // cell), -(-width // cell)))
        middle = np.array([width, height]) / 2
        shape = polygon(rng.normal(size=(int(rng.integers(3, 30)), 2)) * middle + middle) if number % 3 else \
            ellipse(*(rng.random(4) * np.tile(2 * middle, 2)))
        shape = shape.union(polygon(rng.random((5, 2)) * 2 * middle)) if number % 5 == 0 else shape
        boxes = [[shapely.box(c * cell, r * cell, min((c + 1) * cell, width), min((r + 1) * cell, height))
                  for c in range(place.grid[1])] for r in range(place.grid[0])]
        want = shapely.area(shapely.intersection(shape, boxes)) / shapely.area(boxes)
        yield "polygon", lambda shape=shape, place=place, want=want: np.allclose(cover(shape, place), want, atol=1e-5)


def tables(rng, folder):
    """CSVs with every separator, line end, quoting, blanks, capitals and order of columns."""
    path, names = folder / "a.csv", ("path", "group", "label")
    forms = itertools.product(",;\t", (False, True), (b"", b"\xef\xbb\xbf"), ("\n", "\r\n", "\r"), *[(False, True)] * 4)
    for separator, says, mark, end, quoted, blanks, capitals, turned in forms:
        rows = [("a/ü b.png", "p 1", "t"), ("b/c.png", "p2", "n"), ("d,e;f.png" if quoted else "d.png", "p3", "t")]
        head = [name.capitalize() if capitals else name for name in names]
        form = '"{}"' if quoted else " {} " if blanks else "{}"
        lines = [separator.join(map(form.format, row[::-1] if turned else row)) for row in (head, *rows)]
        text = end.join(([f"sep={separator}"] if says else []) + lines) + end
        path.write_bytes(mark + text.encode())
        yield "table", lambda rows=rows: [tuple(row[name] for name in names)
                                          for _, row in read_table(path, names, ("path",))] == rows


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args(argv).seed
    logging.disable(logging.CRITICAL)  # tifffile's remarks on what is odd
    warnings.simplefilter("ignore")    # and Pillow's
    found = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for draw in (tiffs, jpegs, masks, polygons, tables):
            for kind, is_right in draw(generator(seed, "benchmarks/readers", draw.__name__), Path(folder)):
                try:
                    found[kind, "right" if is_right() else "wrong"] += 1
                except UserError:
                    found[kind, "refused"] += 1
    print("| kind | tried | right | refused | wrong |\n| --- | --- | --- | --- | --- |")
    for kind in dict.fromkeys(kind for kind, _ in found):
        counts = [found[kind, outcome] for outcome in ("right", "refused", "wrong")]
        print(f"| {kind} | {sum(counts)} | {' | '.join(map(str, counts))} |")


if __name__ == "__main__":
    sys.exit(run_command(main))
