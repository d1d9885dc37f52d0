"""The picture of the labelling page, of tiles that are drawn, not tissue.

    python docs/labelling_picture.py    # writes docs/labelling_1400.png and docs/labelling_390.png

Needs what docs/screenshots.py needs.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from docs.screenshots import browser, missing, show
from fewshot_wsi.commands import extract, select_tiles
from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.image_files import find_images
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.pipeline.drawn import Drawing, draw_all

CLASSES = ("tumour", "stroma", "lymphocytes", "muscle", "mucus")
SIZES = {1400: 860, 390: 1060}


def main(argv=None):
    if missing():
        raise UserError(missing())
    with tempfile.TemporaryDirectory() as work:
        page = make_page(Path(work))
        with browser() as driver:
            for width, height in SIZES.items():
                show(driver, page, width, height, dark=width == 390)
                if width == 1400:
                    for key in "21352414":
                        driver.find_element("tag name", "body").send_keys(key)
                driver.save_screenshot(str(ROOT / f"docs/labelling_{width}.png"))


def make_page(work):
    """Path of a page of 24 drawn tiles."""
    drawing = Drawing(size=224, train=12, test=1, groups=1, siblings=1, slides=1, per_slide=1)
    draw_all(work / "drawn", drawing, quiet=True)
    root = work / "drawn/NCT/data"
    write_list(work / "tiles.txt", [name for name in find_images(root) if "BACK" not in name])
    features = ("--list", work / "tiles.txt", "--root", root, "--output", work / "tiles.npy")
    extract.main([str(one) for one in ("--encoder", "color_histogram", "--quiet", "--config",
                                       ROOT / "configs/extraction/extract_feats_LC.py", *features)])
    select_tiles.main([str(one) for one in (work / "tiles.npy", "--budget", 24, "--images", root, "--out",
                                            work / "round", "--classes", *CLASSES)])
    return work / "round/label.html"


if __name__ == "__main__":
    sys.exit(run_command(main))
