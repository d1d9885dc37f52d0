"""PAIP19: slides and annotations become tiles of three classes, at the scale and of the places they should be."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from data_material import ROOT, make_masks, make_slide, rectangle, run_as_user, xml_text
from PIL import Image

from fewshot_wsi.commands import paip19
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import read_groups, read_list
from fewshot_wsi.prepare_data import annotation
from fewshot_wsi.slides import slide as slide_module
from fewshot_wsi.slides.geometry import geometry, read_grid, read_tile
from fewshot_wsi.slides.opening import find_slides, open_slide
from fewshot_wsi.slides.tissue import otsu, tissue_and_ink

SIZE = (1200, 900)
FAST = ("--tile", "64", "--tiles", "20", "--workers", "1", "--quiet")


@pytest.fixture
def cohort(tmp_path):
    """Four slides with masks, in a folder with blanks, umlauts and commas."""
    folder = tmp_path / "slides ü, 1"
    folder.mkdir()
    for name in ("01_a", "01_b", "02 ä, c", "03"):
        make_masks(make_slide(folder / f"{name}.svs", SIZE), SIZE)
    return folder


def prepare(folder, *arguments, train="2", out=None):
    return paip19.main(["--slides", str(folder), "--out", str(out or folder.parent / "PAIP19"), "--train_slides", train,
                        *FAST, *map(str, arguments)])


def side(folder, name, out="PAIP19"):
    return read_list(folder.parent / out / "meta" / f"paip_{name}_labeled.txt", labeled=True)


def test_lists_tiles_and_classes_are_as_published(cohort):
    assert prepare(cohort) == 0
    train, test = side(cohort, "train"), side(cohort, "test")
    assert {name.split("/")[0] for name in train.names} == {"01_a", "01_b"}
    assert {name.split("/")[0] for name in test.names} == {"02 ä, c", "03"}
    for images in (train, test):
        assert np.bincount(images.labels).tolist() == [40, 40, 40]
        for name, label in zip(images.names, images.labels, strict=True):
            x, y, again = Path(name).stem.split("+")
            assert name.split("/")[1] == again == str(label)
            middle = int(x) + 32
            assert label == (0 if middle < 500 else 1 if middle < 850 else 2)
            assert int(x) >= 200 - 32  # the left sixth is blank
            with Image.open(cohort.parent / "PAIP19" / "data" / name) as image:
                assert (image.size, image.mode, image.format) == ((64, 64), "RGB", "PNG")
    groups = read_groups(cohort.parent / "PAIP19" / "meta" / "groups.csv")
    assert all(groups[name] == name.split("/")[0] for name in train.names + test.names)


def test_the_same_seed_gives_the_same_tiles_whatever_the_workers(cohort):
    prepare(cohort, out=cohort.parent / "a")
    prepare(cohort, "--workers", "3", out=cohort.parent / "b")
    prepare(cohort, "--seed", "1", out=cohort.parent / "c")
    assert side(cohort, "train", "a").names == side(cohort, "train", "b").names != side(cohort, "train", "c").names
    for name in side(cohort, "test", "a").names:
        assert (cohort.parent / "a/data" / name).read_bytes() == (cohort.parent / "b/data" / name).read_bytes()


def test_finished_slides_are_kept_and_the_rest_is_cut(cohort):
    prepare(cohort)
    data = cohort.parent / "PAIP19" / "data"
    before = {path: path.stat().st_ino for path in data.rglob("*.png")}
    shutil.rmtree(data / "03")
    (data / ".03.cutting" / "0").mkdir(parents=True)  # as a killed run leaves it
    assert prepare(cohort) == 0
    after = {path: path.stat().st_ino for path in data.rglob("*.png")}
    assert before.keys() == after.keys() and not list(data.glob(".*"))
    assert all(before[path] == after[path] for path in before if path.parts[-3] != "03")


def test_other_settings_are_refused_and_overwrite_cuts_again(cohort):
    prepare(cohort)
    with pytest.raises(UserError, match="01_a: was cut with other settings or from other files; give --overwrite"):
        prepare(cohort, "--purity", "0.9")
    assert prepare(cohort, "--purity", "0.9", "--overwrite") == 0
    next((cohort.parent / "PAIP19/data/03/0").iterdir()).unlink()
    with pytest.raises(UserError, match="03: the tiles are not those that were cut"):
        prepare(cohort, "--purity", "0.9")
    assert prepare(cohort, "--purity", "0.9", "--overwrite") == 0


def break_slide(cohort):
    path = cohort / "01_b.svs"
    path.write_bytes(path.read_bytes()[:3000])


def break_middle(cohort):  # it opens, but a tile of level 0 points beyond the end
    path = cohort / "01_b.svs"
    make_slide(path, SIZE, levels=(1,))
    path.write_bytes(path.read_bytes()[:-2_000_000])


FAULTS = {
    "truncated": (break_slide, "does not open as a slide|is damaged: no image at"),
    "cut in the middle": (break_middle, "does not open as a slide|is damaged: no image at"),
    "no slide at all": (lambda c: (c / "01_b.svs").write_bytes(b"<html>gone</html>"), "does not open as a slide"),
    "no mask": (lambda c: (c / "01_b_viable.tif").unlink(), "has no annotation: neither 01_b_viable.tif nor 01_b.xml"),
    "mask of another size": (lambda c: make_masks(c / "01_b.svs", (1199, 900)),
                             "01_b_whole.tif has 1199 × 900 px, the slide 1200 × 900"),
    "mask cut short": (lambda c: (c / "01_b_whole.tif").write_bytes((c / "01_b_whole.tif").read_bytes()[:5000]),
                       "01_b_whole.tif is not a readable mask"),
    "mask that is no image": (lambda c: (c / "01_b_whole.tif").write_bytes(b"no"), "is not a readable mask"),
    "a class is absent": (lambda c: make_masks(c / "01_b.svs", SIZE, viable=(1199, 899)), "lacks class 2: no tile has"),
    "no resolution": (lambda c: make_slide(c / "01_b.svs", SIZE, mpp=None), "states no micrometres per pixel.*--mpp"),
    "too coarse": (lambda c: make_slide(c / "01_b.svs", SIZE, mpp=1.0), "has 1 µm a pixel, coarser than the 0.5"),
    "same name but for case": (lambda c: shutil.copy(c / "02 ä, c.svs", c / "02 Ä, c.svs"),
                               "has the name of 02 Ä, c but for case"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_slide_that_cannot_be_used_is_listed_and_the_others_finish(cohort, capsys, fault):
    damage, message = FAULTS[fault]
    damage(cohort)
    assert prepare(cohort) == 1
    errors = capsys.readouterr().err
    assert re.search(rf"left out: .*svs: .*({message})", errors)
    others = {name.split("/")[0] for which in ("train", "test") for name in side(cohort, which).names}
    assert len(others) == 3 and "03" in others
    assert not list((cohort.parent / "PAIP19" / "data").glob(".*"))


def test_a_mended_slide_joins_the_lists_without_cutting_the_others(cohort):
    mask = (cohort / "01_b_viable.tif").read_bytes()
    (cohort / "01_b_viable.tif").unlink()
    assert prepare(cohort) == 1
    (cohort / "01_b_viable.tif").write_bytes(mask)
    with pytest.raises(UserError, match="give --overwrite to replace"):
        prepare(cohort)
    assert prepare(cohort, "--overwrite") == 0
    assert {name.split("/")[0] for name in side(cohort, "train").names} == {"01_a", "01_b"}


def test_the_split_does_not_depend_on_slides_left_out(cohort):
    break_slide(cohort)
    prepare(cohort)
    assert {name.split("/")[0] for name in side(cohort, "train").names} == {"01_a"}


def test_nothing_usable_is_exit_code_2(cohort, run, tmp_path):
    for path in cohort.glob("*.tif"):
        path.unlink()
    result = run("tools/prepare_data/paip19.py", "--slides", cohort, "--out", tmp_path / "o", "--train_slides", "2")
    assert result.returncode == 2 and "none of 4 slides could be used" in result.stderr
    assert result.stderr.count("left out:") == 4


def test_too_few_slides_for_the_split_are_refused_at_once(cohort):
    with pytest.raises(UserError, match="4 slides, of which --train_slides 4 train and none is left"):
        prepare(cohort, train="4")
    assert not (cohort.parent / "PAIP19").exists()


def test_fewer_tiles_than_wanted_are_said(cohort, capsys):
    prepare(cohort, "--tiles", "10000")
    assert "notice: 01_a: only" in capsys.readouterr().err


def test_terminated_keeps_finished_slides_and_leaves_no_half_one(cohort, tmp_path):
    for number in range(12):
        for path in cohort.glob("03*"):
            shutil.copy(path, cohort / path.name.replace("03", f"1{number:02}"))
    command = [sys.executable, ROOT / "tools/prepare_data/paip19.py", "--slides", cohort, "--out", tmp_path / "o",
               "--train_slides", "2", "--tile", "64", "--tiles", "40", "--workers", "1"]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list((tmp_path / "o").glob("data/*/tiles.json")):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (143, 0), errors
    for folder in (tmp_path / "o" / "data").iterdir():
        assert not folder.name.startswith(".")
        tiles = json.loads((folder / "tiles.json").read_text())["tiles"]
        assert all((folder / name).is_file() for names in tiles for name in names)
    assert (tmp_path / "o" / "meta").exists() == (process.returncode == 0)


def test_a_full_disk_stops_the_run_and_leaves_no_half_slide(cohort):
    arguments = ("--slides", cohort, "--out", "out", "--train_slides", "2", *FAST)
    result = run_as_user("tools/prepare_data/paip19.py", *arguments, cwd=cohort.parent, file_limit=3000)
    assert result.returncode == 2
    assert re.search(r"png: the file would grow over the size limit; free some space", result.stderr)
    assert os.listdir(cohort.parent / "out") == ["data"] and os.listdir(cohort.parent / "out" / "data") == []


# --- scale -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mpp, levels, level, side", [
    (0.5, (1, 2), 0, 64), (0.499, (1,), 0, 64), (0.25, (1, 2), 1, 128), (0.25, (1,), 0, 128), (0.125, (1, 2), 1, 256),
    (0.3, (1, 2), 0, 64 * 5 / 3)])
def test_level_and_scale_follow_from_the_slides_resolution(tmp_path, mpp, levels, level, side):
    with open_slide(make_slide(tmp_path / "a.svs", SIZE, mpp=mpp, levels=levels)) as slide:
        place = geometry(slide, tile=64, mpp=0.5)
        assert place.level == level and place.side == pytest.approx((side, side), rel=0.003)
        image = read_tile(slide, place, 400, 300)
        assert image.size == (64, 64)


def test_a_tile_shows_the_place_that_its_name_says(tmp_path):
    def paint(draw):
        draw.rectangle((600, 400, 727, 527), fill=(10, 20, 30))
    for mpp, levels in ((0.25, (1, 2)), (0.25, (1,))):
        with open_slide(make_slide(tmp_path / "a.svs", SIZE, mpp=mpp, levels=levels, paint=paint)) as slide:
            place = geometry(slide, tile=64, mpp=0.5)
            tile = np.asarray(read_tile(slide, place, 600, 400), dtype=int)
            assert np.abs(tile[2:-2, 2:-2] - (10, 20, 30)).max() <= 2
            half = np.asarray(read_tile(slide, place, 600 - 64, 400), dtype=int)
            assert half[:, :30].mean() > 100 and half[:, 34:].mean() < 30


def test_a_given_resolution_overrules_what_the_slide_states(tmp_path):
    with open_slide(make_slide(tmp_path / "a.svs", SIZE, mpp=0.25)) as slide:
        assert geometry(slide, tile=64, mpp=0.5).side == (128, 128)
        assert geometry(slide, tile=64, mpp=0.5, slide_mpp=0.5).side == (64, 64)
    with open_slide(make_slide(tmp_path / "b.svs", SIZE, mpp=None)) as slide:
        assert geometry(slide, tile=64, mpp=0.5, slide_mpp=0.25).side == (128, 128)


def test_hidden_files_are_no_slides_and_no_annotations(tmp_path):
    for name in ("a.svs", "._a.svs", "x/b.svs", ".x/c.svs", "a.xml", "._a.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_slides(tmp_path)] == ["a.svs", "b.svs"]
    assert annotation.find_annotations(tmp_path) == {"a.xml": tmp_path / "a.xml"}


def test_two_annotations_of_one_name_are_refused(tmp_path):
    for folder in ("corrected", "old"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a_viable.tif").write_bytes(b"")
    with pytest.raises(UserError, match=r"old/a_viable\.tif: .*corrected/a_viable\.tif has the same name"):
        annotation.find_annotations(tmp_path)


def test_the_grid_is_the_mean_of_each_cell_however_it_is_read(tmp_path, monkeypatch):
    with open_slide(make_slide(tmp_path / "a.svs", (1210, 907))) as slide:
        place = geometry(slide, tile=64, mpp=0.5)
        whole = read_grid(slide, place)
        assert whole.shape == (*place.grid, 3) == (57, 76, 3)
        pixels = np.asarray(slide.read(0, 0, 0, slide.size), dtype=float)
        cell = place.cell
        assert np.abs(whole[3, 40] - pixels[3 * cell:4 * cell, 40 * cell:41 * cell].mean(axis=(0, 1))).max() < 2
        monkeypatch.setattr(slide_module, "_STRIP", 1)
        assert np.abs(read_grid(slide, place).astype(int) - whole)[:-1].max() <= 2


# --- tissue and ink --------------------------------------------------------------------------------------------------

INKS = {"blue": (30, 60, 160), "green": (40, 140, 70), "black": (25, 25, 28), "red": (200, 30, 40),
        "turquoise": (0, 130, 130)}


@pytest.mark.parametrize("ink", INKS)
def test_pen_is_not_tissue_and_tissue_is_not_pen(ink):
    rng = np.random.default_rng(0)
    grid = np.full((60, 60, 3), 240, dtype=np.uint8)
    eosin, nuclei = np.array([225, 150, 190]), np.array([110, 70, 150])
    share = rng.random((60, 30, 1))
    grid[:, 30:] = (share * eosin + (1 - share) * nuclei).astype(np.uint8)
    grid[10:15, 5:55] = INKS[ink]
    tissue, pen = tissue_and_ink(grid)
    assert pen[10:15, 5:55].all() and not (tissue & pen).any()
    away = np.ones((60, 60), dtype=bool)
    away[5:20] = False
    assert not pen[away].any()
    assert tissue[:, 30:][away[:, 30:]].all() and not tissue[:, :30].any()


def test_grey_dust_and_shadow_are_not_tissue():
    grid = np.full((20, 20, 3), 240, dtype=np.uint8)
    grid[5:10, 5:10] = (180, 178, 180)
    tissue, _ = tissue_and_ink(grid)
    assert not tissue.any()


def test_tiles_with_pen_or_without_tissue_are_left_out(cohort):
    def paint(draw):
        draw.rectangle((500, 300, 1200, 400), fill=INKS["green"])
    for name in ("01_a", "01_b", "02 ä, c", "03"):
        make_slide(cohort / f"{name}.svs", SIZE, paint=paint)
    prepare(cohort, "--tiles", "1000")
    for name in side(cohort, "train").names:
        x, y, _ = map(int, Path(name).stem.split("+"))
        assert x < 500 - 64 or y + 64 <= 300 or y >= 400
        assert x >= 200 - 32


def test_otsu_splits_two_heaps_between_them():
    values = np.concatenate([np.full(100, 0.1), np.full(50, 0.7)])
    assert 0.1 < otsu(values) < 0.7
    assert np.isfinite(otsu(np.zeros(10)))


def test_xml_serves_where_masks_are_missing(cohort):
    (cohort / "03_whole.tif").unlink()
    layers = [("Name='whole'", [(False, rectangle(500, 0, 1200, 900))]),
              ("Name='viable'", [(False, rectangle(850, 0, 1200, 900))])]
    (cohort / "03.xml").write_text(xml_text(layers))
    assert prepare(cohort) == 0
    assert np.bincount(side(cohort, "test").labels).tolist() == [40, 40, 40]


def test_tiles_cut_by_older_rules_are_not_taken_for_these(cohort, monkeypatch):
    prepare(cohort)
    monkeypatch.setattr(annotation, "RULES", annotation.RULES + 1)
    with pytest.raises(UserError, match="cut with other settings or from other files"):
        prepare(cohort)


# --- real slides -----------------------------------------------------------------------------------------------------

def test_real_slides_with_masks_drawn_on_them(real_tiles, tmp_path, capsys):
    folder = tmp_path / "slides"
    folder.mkdir()
    for name, size, whole, viable in (("cmu_small_region", (2220, 2967), (900, 0), (1150, 0)),
                                      ("tcga-cr-7395-01a-01-ts1", (4443, 3567), (1500, 0), (2600, 0))):
        os.symlink(real_tiles / "slides" / f"{name}.svs", folder / f"{name}.svs")
        make_masks(folder / f"{name}.svs", size, whole, viable, compression="deflate")
    with pytest.raises(UserError, match="the list paip_test would be empty"):
        prepare(folder, "--tile", "224", "--tiles", "5", train="1")
    assert "ts1.svs: states no micrometres per pixel" in capsys.readouterr().err
    assert prepare(folder, "--tile", "224", "--tiles", "5", "--stride", "112", "--mpp", "0.5", "--overwrite",
                   train="1") == 0
    for which in ("train", "test"):
        images = side(folder, which)
        assert np.bincount(images.labels).tolist() == [5, 5, 5]
        for name in images.names:
            with Image.open(folder.parent / "PAIP19" / "data" / name) as image:
                pixels = np.asarray(image)
            assert pixels.shape == (224, 224, 3)
            assert (pixels.min(axis=2) < 215).mean() > 0.4  # tissue, not glass
