"""From a few regions to a map: known masks come back, QuPath's file holds them, and nothing is lost on the way."""

import csv
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import shapely
import tifffile
from conftest import ROOT
from drawn_slides import SIDE, annotate, coloured, textured

from fewshot_wsi.commands.slide import main
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.tables import read_table
from fewshot_wsi.pipeline.tissue import Stain
from fewshot_wsi.prepare_data.cutting import CuttingSettings
from fewshot_wsi.slide_maps.geojson import class_regions
from fewshot_wsi.slide_maps.grid import TileGrid, tissue_grid
from fewshot_wsi.slide_maps.ome import write_ome
from fewshot_wsi.slide_maps.slide_map import SlideMap
from fewshot_wsi.slides.geometry import Geometry
from fewshot_wsi.slides.opening import open_slide

MASK = np.full((14, 20), -1)
MASK[1:13, 1:10], MASK[1:13, 10:19], MASK[4:8, 3:7], MASK[5, 5] = 0, 1, 1, -1
NAMES = ("=stroma", "<b>tumour")
REGIONS = [(NAMES[0], 1, 1, 2, 3), (NAMES[0], 10, 2, 2, 3), (NAMES[1], 1, 14, 2, 3), (NAMES[1], 10, 12, 2, 3)]
OPTIONS = ("--encoder", "color_histogram", "--tile", SIDE, "--quiet")


def slide(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """a.svs and its annotation."""
    folder = tmp_path_factory.mktemp("drawn")
    coloured(folder / "a.svs", MASK)
    annotate(folder / "a.geojson", REGIONS)
    return folder


@pytest.fixture(scope="module")
def mapped(drawn, tmp_path_factory):
    out = tmp_path_factory.mktemp("maps")
    assert slide(drawn / "a.svs", "--annotations", drawn / "a.geojson", *OPTIONS, "--tiles", "--out", out) == 0
    return out


def rows_of(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def mask_of(path, names, shape=MASK.shape):
    """Classes of tiles.csv on the grid of the mask."""
    found = np.full(shape, -1)
    for _, row in read_table(path, ("x", "y", "class"), ("x", "y", "class")):
        found[int(row["y"]) // SIDE, int(row["x"]) // SIDE] = names.index(row["class"])
    return found


def test_every_tile_of_the_mask_gets_its_class_and_nothing_else_has_one(mapped):
    np.testing.assert_array_equal(mask_of(mapped / "a/tiles.csv", NAMES), MASK)
    rows = rows_of(mapped / "a/tiles.csv")
    outputs = np.array([[float(row[f"probability_{name}"]) for name in NAMES] for row in rows])
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=2e-6)
    np.testing.assert_allclose(np.abs(outputs[:, 0] - outputs[:, 1]), [float(row["margin"]) for row in rows], atol=3e-6)


def test_areas_are_those_of_the_mask(mapped):
    row, = rows_of(mapped / "summary.csv")
    square = (SIDE * 0.5e-3) ** 2
    for label, name in enumerate(NAMES):
        assert float(row[f"mm2_{name}"]) == pytest.approx((label == MASK).sum() * square, abs=1e-6)
        assert float(row[f"share_{name}"]) == pytest.approx((label == MASK).sum() / (MASK >= 0).sum(), abs=1e-6)


def test_the_estimate_comes_first_and_leaves_whole_regions_out(drawn, tmp_path, capsys):
    slide(drawn / "a.svs", "--annotations", drawn / "a.geojson", *OPTIONS, "--out", tmp_path / "o")
    shown = capsys.readouterr().out
    assert "24 supports: 12 <b>tumour, 12 =stroma\nmacro F1 of these supports, leave-one-group-out:" in shown
    assert "(4 groups)" in shown and shown.index("macro F1") < shown.index("wrote")
    assert "regions of one slide: other slides may do worse" in shown


def features_of(path, kind):
    return [one for one in json.loads(path.read_text())["features"] if one["properties"]["objectType"] == kind]


def test_qupaths_regions_are_those_of_the_mask_with_holes(mapped):
    for label, name in enumerate(NAMES):
        own = [one for one in features_of(mapped / "a/case.geojson", "annotation")
               if one["properties"]["classification"]["name"] == name]
        found = shapely.union_all([shapely.geometry.shape(one["geometry"]) for one in own])
        want = shapely.union_all([shapely.box(c * SIDE, r * SIDE, (c + 1) * SIDE, (r + 1) * SIDE)
                                  for r, c in np.argwhere(label == MASK)])
        assert found.is_valid and found.equals(want)
        areas = sum(one["properties"]["measurements"]["Area mm^2"] for one in own)
        assert areas == pytest.approx(want.area * 0.25e-6)
        assert sum(len(one["geometry"]["coordinates"]) - 1 for one in own) == 1  # a hole each


def test_squares_of_tiles_hold_the_rows_of_the_table(mapped):
    rows = rows_of(mapped / "a/tiles.csv")
    tiles = features_of(mapped / "a/case.geojson", "tile")
    assert len(tiles) == len(rows)
    for row, tile in zip(rows, tiles, strict=True):
        x, y = int(row["x"]), int(row["y"])
        assert shapely.geometry.shape(tile["geometry"]).bounds == (x, y, x + SIDE, y + SIDE)
        measured = tile["properties"]["measurements"]
        assert measured[f"probability {NAMES[1]}"] == pytest.approx(float(row[f"probability_{NAMES[1]}"]), abs=1e-6)


def test_a_map_is_read_back_as_an_annotation_and_gives_the_same_map(drawn, mapped, tmp_path):
    """Polygon → tiles → GeoJSON → tiles: what `slide` writes is what it reads."""
    assert slide(drawn / "a.svs", "--annotations", mapped / "a/case.geojson", *OPTIONS, "--out", tmp_path / "o") == 0
    np.testing.assert_array_equal(mask_of(tmp_path / "o/a/tiles.csv", NAMES), MASK)
    first, again = ({(one["properties"]["classification"]["name"], str(one["geometry"]))
                     for one in features_of(path, "annotation")}
                    for path in (mapped / "a/case.geojson", tmp_path / "o/a/case.geojson"))
    assert first == again


def test_the_probability_map_holds_the_tables_values_at_their_place(mapped):
    with tifffile.TiffFile(mapped / "a/probability.ome.tif") as tiff:
        stored, pixels = tiff.asarray(), tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (SIDE * 0.5, "µm")
    assert [channel["Name"] for channel in pixels["Channel"]] == sorted(NAMES)
    assert stored.shape == (2, *MASK.shape) and (np.isnan(stored[0]) == (MASK < 0)).all()
    for row in rows_of(mapped / "a/tiles.csv"):
        at = int(row["y"]) // SIDE, int(row["x"]) // SIDE
        want = [float(row[f"probability_{name}"]) for name in sorted(NAMES)]
        np.testing.assert_allclose(stored[:, at[0], at[1]], want, atol=2e-6)


def test_levels_of_the_probability_map_are_means_of_the_tiles_that_are_there(tmp_path):
    rng = np.random.default_rng(0)
    rows, columns = 301, 530
    cells = np.argwhere(rng.random((rows, columns)) < 0.3)
    outputs = rng.random((len(cells), 2))
    edges = [np.arange(count + 1) * 64 for count in (columns, rows)]
    grid = TileGrid(None, cells, cells[:, ::-1] * 64, *edges, (0.5, 0.5))
    write_ome(tmp_path / "p.ome.tif", SlideMap("s", grid, ("a", "b"), np.zeros(len(cells), np.int32), "probability",
                                               outputs, outputs[:, 0]))
    with tifffile.TiffFile(tmp_path / "p.ome.tif") as tiff:
        levels = [level.asarray() for level in tiff.series[0].levels]
    assert [level.shape for level in levels] == [(2, 301, 530), (2, 151, 265), (2, 76, 133)]
    for r, c in ((0, 0), (75, 100), (150, 264)):
        block = levels[0][:, 2 * r:2 * r + 2, 2 * c:2 * c + 2].reshape(2, -1)
        there = block[:, ~np.isnan(block[0])]
        want = there.mean(axis=1) if there.size else [np.nan, np.nan]
        np.testing.assert_allclose(levels[1][:, r, c], want, rtol=1e-6)


def test_the_picture_shows_each_class_in_its_colour_and_hides_nothing_else(drawn, mapped):
    """overlay.png opens; the map's layer covers just the tiles of its class."""
    from PIL import Image

    from fewshot_wsi.slide_maps.picture import class_layer
    with Image.open(mapped / "a/overlay.png") as image:
        assert image.width > 1200
    with open_slide(drawn / "a.svs") as opened:
        grid, *_ = tissue_grid(opened, CuttingSettings(tile=SIDE, stride=SIDE))
    found = SlideMap("a", grid, NAMES, MASK[MASK >= 0].astype(np.int32), None, None, None)
    for label in (0, 1):
        layer = class_layer(found, label, (MASK.shape[1] * 8, MASK.shape[0] * 8))
        np.testing.assert_array_equal(np.asarray(layer)[4::8, 4::8, 3] > 0, label == MASK)


@pytest.mark.parametrize("stride, tile, scale", [(64, 64, 1.0), (64, 64, 1.37), (32, 64, 1.37), (48, 64, 0.93)])
def test_regions_are_the_union_of_their_cells_and_cover_each_place_once(stride, tile, scale):
    """An oblique polygon on a grid whose steps are no whole pixels, against a sum over cells and one over pixels."""
    rng = np.random.default_rng(3)
    side = tile * scale
    rows, columns = 13, 17
    step = side * stride / tile
    edges = [np.floor((side - step) / 2 + np.arange(n + 1) * step + 1e-6).astype(np.int64) for n in (columns, rows)]
    cells = np.argwhere(rng.random((rows, columns)) < 0.8)
    place = Geometry(2000, 2000, tile, (side, side), 0, (side, side), 16)
    middle = np.stack([edges[0][cells[:, 1]], edges[1][cells[:, 0]]], axis=1)
    oblique = shapely.Polygon([(50, 100), (900, 20), (700, 800), (300, 500)])
    labels = shapely.contains_xy(oblique, middle).astype(np.int32)
    grid = TileGrid(place, cells, middle, *edges, (0.5, 0.5))
    found = SlideMap("s", grid, ("out", "in"), labels, None, None, None)
    regions = class_regions(found)
    for label in (0, 1):
        shape = shapely.union_all([part for number, part in regions if number == label])
        assert shape.area == pytest.approx(sum(part.area for number, part in regions if number == label))
        assert shape.area * 0.25e-6 == pytest.approx(found.areas[label])
        pixels = np.zeros((2000, 2000), dtype=bool)
        for x0, y0, x1, y1 in grid.boxes[labels == label]:
            assert not pixels[y0:y1, x0:x1].any()
            pixels[y0:y1, x0:x1] = True
        assert pixels.sum() == shape.area


def test_overlapping_tiles_stand_for_their_middles(drawn):
    with open_slide(drawn / "a.svs") as opened:
        grid, *_ = tissue_grid(opened, CuttingSettings(tile=64, stride=16, min_tissue=0.5))
    x0, y0, x1, y1 = grid.boxes.T
    assert ((x1 - x0 == 16) & (y1 - y0 == 16)).all()
    np.testing.assert_array_equal(np.stack([x0, y0], 1), grid.corners + 24)
    assert grid.areas.sum() == pytest.approx((MASK >= 0).sum() * 0.032**2, rel=0.1)


STAINS = (Stain(np.array([0.65, 0.70, 0.29]), np.array([0.07, 0.99, 0.11]), (1.0, 1.0)),
          Stain(np.array([0.60, 0.74, 0.33]), np.array([0.11, 0.95, 0.15]), (1.0, 1.0)))


def test_ten_labelled_tiles_a_class_of_one_slide_map_another(tmp_path, capsys):
    """Drawn tissues in two slides, stain independent of class: labels in a, the map of b, colour alone as encoder."""
    for name, stain, seed in zip("ab", STAINS, (1, 2), strict=True):
        textured(tmp_path / f"{name}.svs", MASK, stain, seed=seed)
    annotate(tmp_path / "a.geojson", [("LYM", 1, 1, 1, 5), ("LYM", 10, 2, 1, 5), ("MUS", 1, 12, 1, 5),
                                      ("MUS", 10, 12, 1, 5)])
    assert slide(tmp_path / "a.svs", tmp_path / "b.svs", "--annotations", tmp_path, *OPTIONS, "--out",
                 tmp_path / "o") == 0
    assert "20 supports: 10 LYM, 10 MUS" in capsys.readouterr().out
    found = mask_of(tmp_path / "o/b/tiles.csv", ("LYM", "MUS"))
    overlap = [(one & other).sum() / (one | other).sum() for one, other in zip(
        (found == 0, found == 1), (MASK == 0, MASK == 1), strict=True)]
    assert np.mean(overlap) >= 0.9


def test_annotations_of_several_slides_make_slides_the_groups(drawn, tmp_path, capsys):
    for name in "abc":
        shutil.copy(drawn / "a.svs", tmp_path / f"{name}.svs")
        shutil.copy(drawn / "a.geojson", tmp_path / f"{name}.geojson")
    assert slide(tmp_path, "--annotations", tmp_path, *OPTIONS, "--out", tmp_path / "o") == 0
    shown = capsys.readouterr().out
    assert "(3 groups)" in shown and "regions of one slide" not in shown
    assert [row["slide"] for row in rows_of(tmp_path / "o/summary.csv")] == ["a", "b", "c"]


def test_a_head_maps_further_slides_with_its_own_tiles(drawn, mapped, tmp_path):
    assert slide(drawn / "a.svs", "--head", mapped / "head", "--quiet", "--out", tmp_path / "o") == 0
    assert (tmp_path / "o/a/tiles.csv").read_bytes() == (mapped / "a/tiles.csv").read_bytes()


def test_broken_slides_are_named_at_the_end_and_the_others_have_their_map(drawn, mapped, tmp_path, capsys):
    for name in ("a", "z"):
        shutil.copy(drawn / "a.svs", tmp_path / f"{name}.svs")
    data = bytearray((drawn / "a.svs").read_bytes())
    (tmp_path / "cut.svs").write_bytes(data[:len(data) // 2])
    (tmp_path / "empty.svs").write_bytes(b"")
    coloured(tmp_path / "glass.svs", np.full((6, 6), -1))
    coloured(tmp_path / "unknown.svs", MASK, mpp=None)
    assert slide(tmp_path, "--head", mapped / "head", "--quiet", "--out", tmp_path / "o") == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    assert [line.split(": ")[1].rpartition("/")[2] for line in said] == [
        "cut.svs", "empty.svs", "glass.svs", "unknown.svs"]
    assert "has no tissue" in said[2] and "states no micrometres per pixel (mpp); give --mpp" in said[3]
    assert [row["slide"] for row in rows_of(tmp_path / "o/summary.csv")] == ["a", "z"]
    assert slide(tmp_path / "unknown.svs", "--mpp", 0.5, "--head", mapped / "head", "--quiet", "--out",
                 tmp_path / "p") == 0


def refused(drawn, tmp_path, *words, annotations):
    with pytest.raises(UserError) as error:
        slide(drawn / "a.svs", "--annotations", annotations, *OPTIONS, *words, "--out", tmp_path / "o")
    assert not list((tmp_path / "o").rglob("*.csv")) and "\n" not in str(error.value)
    return str(error.value)


def test_annotations_that_do_not_do_are_one_line(drawn, tmp_path):
    far = annotate(tmp_path / "far.geojson", [("a", 900, 900, 3, 3), ("b", 950, 900, 3, 3)])
    assert "is the annotation that of this slide?" in refused(drawn, tmp_path, annotations=far)
    small = annotate(tmp_path / "small.geojson", [("a", 1, 1, 1, 1), ("b", 1, 14, 1, 1)])
    assert "hold no tile" in refused(drawn, tmp_path, "--tile", 224, annotations=small)
    one = annotate(tmp_path / "one.geojson", [("a", 1, 1, 3, 3)])
    assert "all tiles are of one class, 'a'" in refused(drawn, tmp_path, annotations=one)
    assert "no such file" in refused(drawn, tmp_path, annotations=tmp_path / "none.geojson")
    with pytest.raises(UserError, match="names none of 2 slides; call it a.geojson"):
        slide(drawn / "a.svs", tmp_path / "b.svs", "--annotations", one, *OPTIONS, "--out", tmp_path / "o")


@pytest.mark.parametrize("words, text", [
    ((), "give --annotations, or a kept classifier"),
    (("--head", "h", "--clf", "Ridge"), "--clf belongs to --annotations"),
    (("--annotations", "a.geojson"), "needs the encoder"),
    (("--annotations", "a", "--encoder", "mean_rgb", "--mode", "latent_aug"), "--base belongs to --mode latent_aug"),
    (("--annotations", "a", "--encoder", "mean_rgb", "--purity", "0.4"), "--purity is above 0.5"),
    (("--head", "h", "--target_mpp", "0"), "0 is no number above 0"),
])
def test_options_that_do_not_belong_together(words, text, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["a.svs", "--out", "o", *words])
    assert stopped.value.code == 2 and text in capsys.readouterr().err


def test_a_finished_map_is_kept_and_another_is_not_overwritten(drawn, tmp_path, capsys):
    words = [drawn / "a.svs", "--annotations", drawn / "a.geojson", *OPTIONS, "--out", tmp_path]
    slide(*words)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    assert slide(*words) == 0 and "kept" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    (tmp_path / "a/case.geojson").unlink()
    assert slide(*words) == 0 and (tmp_path / "a/case.geojson").is_file()
    with pytest.raises(UserError, match="holds another head"):
        slide(*words, "--clf", "nearest_centroid")
    assert slide(*words, "--clf", "nearest_centroid", "--overwrite") == 0


def test_killed_by_force_it_continues_and_ends_the_same(tmp_path):
    big = np.kron(MASK, np.ones((2, 2), dtype=int))
    coloured(tmp_path / "a.svs", big)
    annotate(tmp_path / "a.geojson", [(name, 2 * r, 2 * c, h, w) for name, r, c, h, w in REGIONS])
    command = [sys.executable, "wsi_workdir/slide.py", tmp_path / "a.svs", "--annotations", tmp_path / "a.geojson",
               *OPTIONS, "--out"]
    command = [str(word) for word in command]
    process = subprocess.Popen([*command, str(tmp_path / "o")], cwd=ROOT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("o/a/.tiles.csv.*.parts/000000.npz")):
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not (tmp_path / "o/a/tiles.csv").exists()
    subprocess.run([*command, str(tmp_path / "o")], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*command, str(tmp_path / "p")], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    names = {path.name for path in (tmp_path / "p/a").iterdir()}
    assert {path.name for path in (tmp_path / "o/a").iterdir()} == names
    assert all((tmp_path / "o/a" / name).read_bytes() == (tmp_path / "p/a" / name).read_bytes()
               for name in names - {"map.json", "case.html"})


def test_a_full_disk_is_one_line_and_the_same_command_completes(drawn, tmp_path):
    """The size of files is limited, which Python reports as it does a full disk; then the same command again."""
    command = [sys.executable, "wsi_workdir/slide.py", drawn / "a.svs", "--annotations", drawn / "a.geojson", *OPTIONS,
               "--clf", "nearest_centroid", "--tiles", "--out", tmp_path]
    command = [str(word) for word in command]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, resource.RLIM_INFINITY))

    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, preexec_fn=limit)
    assert done.returncode == 2 and done.stderr.strip().count("\n") == 0, done.stderr
    assert "the file would grow over the size limit" in done.stderr
    assert not (tmp_path / "a/map.json").exists()
    assert subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0


def test_the_walkthrough_of_the_document_maps_a_slide(tmp_path):
    text = (ROOT / "GETTING_STARTED.md").read_text()
    section = text.split("## Map your slides")[1].split("\n## ")[0]
    script, = re.findall(r"^```bash\n(.*?)^```", section, flags=re.M | re.S)
    assert len(script.splitlines()) == 5
    for name in ("wsi_workdir", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "slides").mkdir()
    mask = np.full((7, 8), -1)
    mask[1:6, 1:4], mask[1:6, 4:7] = 0, 1
    for name in "ab":
        coloured(tmp_path / f"slides/{name}.svs", mask, side=224)
    annotate(tmp_path / "a.geojson", [("stroma", 1, 1, 1, 2), ("stroma", 4, 1, 1, 2), ("tumour", 1, 5, 1, 2),
                                      ("tumour", 4, 5, 1, 2)], side=224)
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "8 supports: 4 stroma, 4 tumour\nmacro F1 of these supports, leave-one-group-out:" in done.stdout
    documented = set(re.findall(r"^\| `([^`]+)`", section, flags=re.M))
    assert {path.name for path in (tmp_path / "more/b").iterdir()} == documented | {"map.json"}
    assert sorted(row["class"] for row in rows_of(tmp_path / "more/b/tiles.csv")) == ["stroma"] * 15 + ["tumour"] * 15
    assert len(features_of(tmp_path / "more/b/case.geojson", "annotation")) == 2
