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
import tifffile
from data_material import ROOT, make_masks, make_slide, rectangle, run_as_user, xml_text
from PIL import Image

from fewshot_wsi.commands import paip19
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import read_groups, read_list
from fewshot_wsi.prepare_data import annotation, regions, slides
from fewshot_wsi.prepare_data.tissue import otsu, tissue_and_ink

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
    process.communicate(timeout=60)
    assert process.returncode in (143, 0)
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
    with slides.open_slide(make_slide(tmp_path / "a.svs", SIZE, mpp=mpp, levels=levels)) as slide:
        place = slides.geometry(slide, tile=64, mpp=0.5)
        assert place.level == level and place.side == pytest.approx((side, side), rel=0.003)
        image = slides.read_tile(slide, place, 400, 300)
        assert image.size == (64, 64)


def test_a_tile_shows_the_place_that_its_name_says(tmp_path):
    def paint(draw):
        draw.rectangle((600, 400, 727, 527), fill=(10, 20, 30))
    for mpp, levels in ((0.25, (1, 2)), (0.25, (1,))):
        with slides.open_slide(make_slide(tmp_path / "a.svs", SIZE, mpp=mpp, levels=levels, paint=paint)) as slide:
            place = slides.geometry(slide, tile=64, mpp=0.5)
            tile = np.asarray(slides.read_tile(slide, place, 600, 400), dtype=int)
            assert np.abs(tile[2:-2, 2:-2] - (10, 20, 30)).max() <= 2
            half = np.asarray(slides.read_tile(slide, place, 600 - 64, 400), dtype=int)
            assert half[:, :30].mean() > 100 and half[:, 34:].mean() < 30


def test_a_given_resolution_overrules_what_the_slide_states(tmp_path):
    with slides.open_slide(make_slide(tmp_path / "a.svs", SIZE, mpp=0.25)) as slide:
        assert slides.geometry(slide, tile=64, mpp=0.5).side == (128, 128)
        assert slides.geometry(slide, tile=64, mpp=0.5, slide_mpp=0.5).side == (64, 64)
    with slides.open_slide(make_slide(tmp_path / "b.svs", SIZE, mpp=None)) as slide:
        assert slides.geometry(slide, tile=64, mpp=0.5, slide_mpp=0.25).side == (128, 128)


def test_hidden_files_are_no_slides_and_no_annotations(tmp_path):
    for name in ("a.svs", "._a.svs", "x/b.svs", ".x/c.svs", "a.xml", "._a.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in slides.find_slides(tmp_path)] == ["a.svs", "b.svs"]
    assert annotation.find_annotations(tmp_path) == {"a.xml": tmp_path / "a.xml"}


def test_two_annotations_of_one_name_are_refused(tmp_path):
    for folder in ("corrected", "old"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a_viable.tif").write_bytes(b"")
    with pytest.raises(UserError, match=r"old/a_viable\.tif: .*corrected/a_viable\.tif has the same name"):
        annotation.find_annotations(tmp_path)


def test_the_grid_is_the_mean_of_each_cell_however_it_is_read(tmp_path, monkeypatch):
    with slides.open_slide(make_slide(tmp_path / "a.svs", (1210, 907))) as slide:
        place = slides.geometry(slide, tile=64, mpp=0.5)
        whole = slides.read_grid(slide, place)
        assert whole.shape == (*place.grid, 3) == (57, 76, 3)
        pixels = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"), dtype=float)
        cell = place.cell
        assert np.abs(whole[3, 40] - pixels[3 * cell:4 * cell, 40 * cell:41 * cell].mean(axis=(0, 1))).max() < 2
        monkeypatch.setattr(slides, "_STRIP", 1)
        assert np.abs(slides.read_grid(slide, place).astype(int) - whole)[:-1].max() <= 2


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


# --- annotations -----------------------------------------------------------------------------------------------------

@pytest.fixture
def place(tmp_path):
    with slides.open_slide(make_slide(tmp_path / "s.svs", SIZE)) as slide:
        yield slides.geometry(slide, tile=64, mpp=0.5), slide.level_dimensions


@pytest.mark.parametrize("options", [{}, dict(compression="lzw", rowsperstrip=7), dict(tile=(256, 256)),
                                     dict(compression="deflate", tile=(64, 64)), dict(compression="packbits")])
@pytest.mark.parametrize("level", [1, 2])
def test_cover_is_the_share_of_mask_pixels_in_each_cell(tmp_path, place, options, level):
    place, sizes = place
    mask = np.random.default_rng(0).random((SIZE[1] // level, SIZE[0] // level)) < 0.3
    mask[:300 // level] = False
    tifffile.imwrite(tmp_path / "m.tif", mask.astype(np.uint8) * 255, **options)
    cover = annotation.mask_cover(tmp_path / "m.tif", place, sizes)
    full = np.kron(mask, np.ones((level, level)))
    cell = place.cell
    assert cover.shape == place.grid
    for row, column in ((0, 0), (30, 20), (40, 74), (56, 10), (18, 33)):
        want = full[row * cell:(row + 1) * cell, column * cell:(column + 1) * cell].mean()
        assert cover[row, column] == pytest.approx(want, abs=1e-6)


def write_xml(folder, layers):
    path = folder / "s.xml"
    path.write_text(xml_text(layers), encoding="utf-8")
    return path


WHOLE, VIABLE = rectangle(480, 0, 1200, 900), rectangle(800, 0, 1200, 900)


@pytest.mark.parametrize("whole, viable, ids", [
    ("Id='1' Name='whole tumor' LineColor='0'", "Id='2' Name='Viable tumor' LineColor='0'", {}),
    ("Id='1' LineColor='65535'", "Id='2' LineColor='255'", {}),
    ("Id='7' Name='x'", "Id='9' Name='y'", {"7": "whole", "9": "viable"})])
def test_polygons_give_the_cover_of_their_masks(tmp_path, place, whole, viable, ids):
    hole = rectangle(960, 320, 1120, 480)
    click = (False, [(1, 1)])
    path = write_xml(tmp_path, [(viable, [(True, hole), (False, VIABLE)]), (whole, [(False, WHOLE), click])])
    outside, dead, alive = annotation.class_cover((path,), place[0], place[1], ids)
    assert np.allclose(outside + dead + alive, 1)
    assert (outside[10, 10], dead[10, 40], alive[10, 60]) == (1, 1, 1)
    assert (alive[25, 65], dead[25, 65]) == (0, 1)  # in the hole
    assert outside.mean() == pytest.approx(480 / 1200, abs=0.02)


BOMB = ("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"
        "<Annotations><Annotation Name='&e;'/></Annotations>")
LAUGHS = "<!DOCTYPE a [<!ENTITY a 'x'><!ENTITY b '&a;&a;&a;'>]><Annotations>&b;</Annotations>"


@pytest.mark.parametrize("text, message", [
    (BOMB, "is not usable XML"), (LAUGHS, "is not usable XML"), ("<Annotations><Ann", "is not usable XML"),
    ("", "is not usable XML"), ("\x00\xff", "is not usable XML"), ("<svg/>", "begins with <svg>, not <Annotations>"),
    ("<Annotations/>", "no region of the layer 'whole'; its Annotation elements are none"),
    (xml_text([("Id='1' Name='a' LineColor='3'", [(False, WHOLE)])]), r"Id 1 \(name 'a', colour 3\); tell which"),
    (xml_text([("Name='whole'", [(False, [("x", 1), (2, 3), (4, 5)])])]), "a vertex is no point: X='x'"),
    (xml_text([("Name='whole'", [(False, [("nan", 1), (2, 3), (4, 5)])])]), "a vertex is no point: X='nan'"),
    (xml_text([("Name='whole'", [(False, [("1e300", 1), (2, 3), (4, 5)])])]), "a vertex is no point"),
    (xml_text([(f"Name='{layer}'", [(False, rectangle(9000, 9000, 9900, 9900))]) for layer in ("whole", "viable")]),
     "no region lies inside the slide of 1200 × 900")])
def test_xml_that_is_not_what_it_should_be_is_refused(tmp_path, place, text, message):
    path = tmp_path / "s.xml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=f"s.xml.*{message}|{message}"):
        annotation.polygon_cover(path, place[0], {})


def test_xml_serves_where_masks_are_missing(cohort):
    (cohort / "03_whole.tif").unlink()
    layers = [("Name='whole'", [(False, rectangle(500, 0, 1200, 900))]),
              ("Name='viable'", [(False, rectangle(850, 0, 1200, 900))])]
    (cohort / "03.xml").write_text(xml_text(layers))
    assert prepare(cohort) == 0
    assert np.bincount(side(cohort, "test").labels).tolist() == [40, 40, 40]


@pytest.mark.parametrize("corners", [(480, 0, 1200, 900), (100, 100, 164, 164), (333.3, 77.7, 777.1, 500.5)])
def test_the_cover_of_a_polygon_is_exact(place, corners):
    x0, y0, x1, y1 = corners
    grid = regions.cover(regions.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), place[0])
    cell = place[0].cell
    columns, rows = (np.clip(np.minimum(high, edges + cell) - np.maximum(low, edges), 0, None) / np.minimum(
        cell, size - edges) for low, high, edges, size in (
            (x0, x1, cell * np.arange(place[0].grid[1]), 1200), (y0, y1, cell * np.arange(place[0].grid[0]), 900)))
    np.testing.assert_allclose(grid, rows[:, None] * columns, atol=1e-6)


def test_an_oblique_polygon_has_its_area_and_a_crossing_line_no_overlap(place):
    angle, radius = np.linspace(0, 2 * np.pi, 41)[:-1], np.tile([400, 150], 20)
    x, y = 600 + radius * np.cos(angle), 450 + radius * np.sin(angle)
    area = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
    cells = regions.cover(regions.polygon(np.stack([x, y], axis=1)), place[0])[:56, :75]  # whole cells
    assert cells.sum() * place[0].cell ** 2 == pytest.approx(area, rel=1e-5)
    bow = regions.polygon([(0, 0), (160, 160), (160, 0), (0, 160)])
    assert regions.cover(bow, place[0]).sum() * 256 == pytest.approx(160 * 160 / 2, rel=1e-6)


ELLIPSE = "<Region Type='2'><Vertices><Vertex X='900' Y='200'/><Vertex X='500' Y='700'/></Vertices></Region>"
BOX = "<Region Type='1'><Vertices><Vertex X='900' Y='200'/><Vertex X='500' Y='700'/></Vertices></Region>"
RULER = "<Region Type='4'><Vertices><Vertex X='0' Y='0'/><Vertex X='500' Y='700'/></Vertices></Region>"


@pytest.mark.parametrize("region, share", [(ELLIPSE, np.pi / 4), (BOX, 1.0)])
def test_two_vertices_are_the_corners_of_an_ellipse_or_a_rectangle(tmp_path, place, region, share):
    path = tmp_path / "s.xml"
    path.write_text("<Annotations><Annotation Name='viable'><Regions>" + region + RULER + "</Regions></Annotation>"
                    "<Annotation Name='whole'><Regions>" + region + "</Regions></Annotation></Annotations>")
    whole, viable = annotation.polygon_cover(path, place[0], {})
    assert viable.sum() * 256 == pytest.approx(share * 400 * 500, rel=1e-3)
    assert viable[25, 44] == 1 and (viable[14, 32] == 0) == (share < 1)


def test_a_hole_of_the_outer_layer_removes_both_and_an_island_counts(tmp_path, place):
    hole, island, pond = rectangle(320, 320, 960, 800), rectangle(400, 400, 800, 720), rectangle(480, 480, 640, 640)
    layers = [("Name='viable'", [(False, rectangle(160, 0, 1200, 900)), (False, island), (True, pond)]),
              ("Name='whole'", [(False, rectangle(0, 0, 1200, 900)), (True, hole)])]
    cover = annotation.class_cover((write_xml(tmp_path, layers),), place[0], place[1])
    at = {"viable": (2, 12), "hole": (21, 22), "island": (27, 28), "pond in the island": (35, 35), "whole": (2, 2)}
    assert {name: int(np.argmax(cover[(slice(None), *cell)])) for name, cell in at.items()} == {
        "viable": 2, "hole": 0, "island": 2, "pond in the island": 0, "whole": 1}


def two_masks(folder, whole, viable, **options):
    for name, mask in (("whole", whole), ("viable", viable)):
        tifffile.imwrite(folder / f"s_{name}.tif", mask, **options)
    return folder / "s_whole.tif", folder / "s_viable.tif"


@pytest.fixture
def drawn():
    """(whole, viable) masks, uint8 of 0 and 255."""
    whole, viable = np.zeros((2, SIZE[1], SIZE[0]), dtype=np.uint8)
    whole[:, 400:], viable[100:500, 800:] = 255, 255
    return whole, viable


def stored(kind, mask):
    """A mask written in another form, and its options of tifffile."""
    colours = np.repeat(mask[..., None], 3, axis=2)
    red = colours * np.array([1, 0, 0], dtype=np.uint8)
    table = np.zeros((3, 256), dtype=np.uint16)
    table[:, 0] = 65535  # the palette shows 0 as white and 1 as black
    return {
        "white is zero": (255 - mask, dict(photometric="miniswhite")),
        "white is zero, one bit": (mask == 0, dict(photometric="miniswhite")),
        "one bit": (mask > 0, dict(photometric="minisblack")),
        "colours": (red, dict(photometric="rgb")),
        "colours and alpha": (np.concatenate([red, np.full_like(mask, 255)[..., None]], axis=2),
                              dict(photometric="rgb", extrasamples=["unassalpha"])),
        "grey and alpha": (np.stack([mask, np.full_like(mask, 255)], axis=2),
                           dict(photometric="minisblack", extrasamples=["unassalpha"])),
        "planes": (np.moveaxis(red, 2, 0), dict(photometric="rgb", planarconfig="separate", rowsperstrip=50)),
        "planes and alpha": (np.concatenate([np.moveaxis(red, 2, 0), np.full_like(mask, 255)[None]]), dict(
            photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"], tile=(64, 64))),
        "palette": ((mask == 0).astype(np.uint8), dict(photometric="palette", colormap=table)),
        "sixteen bits": (mask.astype(np.uint16) * 257, dict(photometric="minisblack")),
    }[kind]


@pytest.mark.parametrize("kind", ["white is zero", "white is zero, one bit", "one bit", "colours", "colours and alpha",
                                  "grey and alpha", "planes", "planes and alpha", "palette", "sixteen bits"])
def test_a_mask_is_what_is_not_shown_black(tmp_path, place, drawn, kind):
    want = [annotation.mask_cover(path, *place) for path in two_masks(tmp_path, *drawn)]
    for mask, cover in zip(drawn, want, strict=True):
        data, options = stored(kind, mask)
        tifffile.imwrite(tmp_path / "m.tif", data, **options)
        np.testing.assert_array_equal(annotation.mask_cover(tmp_path / "m.tif", *place), cover)


def test_masks_that_cannot_be_read_one_way_are_refused(tmp_path, place, drawn):
    tifffile.imwrite(tmp_path / "m.tif", drawn[0] // 255, photometric="miniswhite")  # shown: 255 and 254
    with pytest.raises(UserError, match="m.tif shows 0 as white and holds other levels"):
        annotation.mask_cover(tmp_path / "m.tif", *place)
    tifffile.imwrite(tmp_path / "m.tif", np.repeat(drawn[0][..., None], 3, axis=2), photometric="cielab")
    with pytest.raises(UserError, match="a mask of colours"):
        annotation.mask_cover(tmp_path / "m.tif", *place)


def test_exchanged_areas_are_said(tmp_path, place, drawn):
    with pytest.raises(UserError, match="are s_whole.tif and s_viable.tif exchanged"):
        annotation.class_cover(two_masks(tmp_path, *drawn[::-1]), *place)
    layers = [("Name='whole'", [(False, rectangle(800, 100, 1200, 500))]), ("Name='viable'", [(False, WHOLE)])]
    with pytest.raises(UserError, match="are the layers of s.xml exchanged"):
        annotation.class_cover((write_xml(tmp_path, layers),), *place)


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
