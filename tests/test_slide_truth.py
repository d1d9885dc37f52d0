"""Maps of several slides: conformal sets in every file, F1 by annotations, Parquet, and slides side by side."""

import contextlib
import csv
import json
import shutil

import numpy as np
import pytest
import shapely
from drawn_slides import SIDE, annotate, textured
from PIL import Image
from sklearn.metrics import f1_score

from fewshot_wsi.commands.slide import main
from fewshot_wsi.pipeline.drawn_slides import CELLS, WIDTHS, draw_mask, tile_majority
from fewshot_wsi.pipeline.tissue import draw_stain
from fewshot_wsi.slide_maps.picture import abstained_layer
from lowshot.leave_out import grouped_f1

MASK = np.full((10, 12), -1)
MASK[1:9, 1:6], MASK[1:9, 6:11] = 0, 1
NAMES = ("LYM", "MUS")
LABELS = [(NAMES[label], row, column, 1, 1) for label in (0, 1) for row in (1, 3, 5, 7) for column in
          (1 + 5 * label, 3 + 5 * label, 5 + 5 * label)]
WHOLE = [(NAMES[0], 1, 1, 8, 5), (NAMES[1], 1, 6, 8, 5)]
OPTIONS = ("--encoder", "color_histogram", "--tile", SIDE, "--quiet", "--coverage", 0.8)


def slide(*words):
    return main([str(word) for word in words])


def rows_of(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """a.svs, which is labelled, b.svs and c.svs, all in stains of their own; one file that is no slide."""
    folder = tmp_path_factory.mktemp("drawn")
    for seed, name in enumerate("abc"):
        textured(folder / f"{name}.svs", MASK, draw_stain(np.random.default_rng(seed), 0.7), seed=seed)
    (folder / "broken.svs").write_bytes(b"II*\0 no slide")
    annotate(folder / "a.geojson", LABELS)
    truth = folder / "truth"
    truth.mkdir()
    for name in "abc":
        annotate(truth / f"{name}.geojson", [*WHOLE, ("unheard", 0, 0, 1, 1)])
    return folder


@pytest.fixture(scope="module")
def mapped(drawn, tmp_path_factory):
    """(folder of the maps, what was printed, what was said to stderr)."""
    import io
    out, shown, said = tmp_path_factory.mktemp("maps"), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
        assert slide(drawn, "--annotations", drawn / "a.geojson", *OPTIONS, "--truth", drawn / "truth", "--tiles",
                     "--out", out) == 1
    return out, shown.getvalue(), said.getvalue()


def test_sets_are_in_the_table_and_a_tile_abstains_where_its_set_is_not_one_class(mapped):
    out = mapped[0]
    limit = json.loads((out / "head/head.json").read_text())["conformal"]["threshold"]
    rows = rows_of(out / "b/tiles.csv")
    for row in rows:
        outputs = np.array([float(row[f"probability_{name}"]) for name in NAMES])
        apart = outputs[::-1] - outputs                      # of two classes: the other one less its own
        if (np.abs(apart - limit) > 1e-5).all():
            assert [row[f"in_set_{name}"] for name in NAMES] == [str(int(one)) for one in apart <= limit]
        assert int(row["abstained"]) == (sum(int(row[f"in_set_{name}"]) for name in NAMES) != 1)
    everywhere = [row for name in "abc" for row in rows_of(out / f"{name}/tiles.csv")]
    assert 0 < sum(row["abstained"] == "1" for row in everywhere) < len(everywhere)


def test_areas_regions_squares_and_the_page_say_the_same_of_what_is_abstained(mapped):
    out = mapped[0]
    summary = {row["slide"]: row for row in rows_of(out / "summary.csv")}
    for name in "abc":
        rows = rows_of(out / f"{name}/tiles.csv")
        want = [shapely.box(int(row["x"]), int(row["y"]), int(row["x"]) + SIDE, int(row["y"]) + SIDE)
                for row in rows if row["abstained"] == "1"]
        area = sum(shape.area for shape in want) * 0.25e-6
        assert float(summary[name]["mm2_abstained"]) == pytest.approx(area, abs=1e-6)
        features = json.loads((out / f"{name}/case.geojson").read_text())["features"]
        own = [shapely.geometry.shape(one["geometry"]) for one in features
               if one["properties"].get("name") == "abstained"]
        assert {one["properties"]["classification"]["name"] for one in features} >= set(NAMES)
        assert shapely.union_all(own).equals(shapely.union_all(want))
        squares = [one["properties"]["measurements"]["abstained"] for one in features
                   if one["properties"]["objectType"] == "tile"]
        assert squares == [int(row["abstained"]) for row in rows]
        assert ("abstained (in a class above, too)" in (out / f"{name}/case.html").read_text())


def test_stripes_lie_on_the_tiles_that_abstain_and_nowhere_else():
    from fewshot_wsi.slide_maps.grid import TileGrid
    from fewshot_wsi.slide_maps.slide_map import SlideMap
    from fewshot_wsi.slides.geometry import Geometry

    cells = np.argwhere(np.ones((3, 4), dtype=bool))
    edges = [np.arange(n + 1) * SIDE for n in (4, 3)]
    place = Geometry(4 * SIDE, 3 * SIDE, SIDE, (SIDE, SIDE), 0, (SIDE, SIDE), 16)
    grid = TileGrid(place, cells, cells[:, ::-1] * SIDE, *edges, (0.5, 0.5))
    inside = np.random.default_rng(0).random((12, 3)) < 0.4
    found = SlideMap("s", grid, ("a", "b", "c"), np.zeros(12, np.int32), "score", inside * 1.0, inside[:, 0] * 1.0,
                     inside)
    layer = abstained_layer(found, (4 * SIDE, 3 * SIDE))
    assert isinstance(layer, Image.Image)
    shares = (np.asarray(layer)[..., 3] > 0).reshape(3, SIDE, 4, SIDE).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(shares, np.where(inside.sum(axis=1) != 1, 0.5, 0), atol=0.05)


def test_f1_by_annotations_is_scikit_learns_and_leaves_out_the_slide_of_the_labels(mapped):
    out, shown, said = mapped
    summary = {row["slide"]: row for row in rows_of(out / "summary.csv")}
    pooled = []
    for name in "bc":
        rows = rows_of(out / f"{name}/tiles.csv")
        truth = [NAMES[MASK[int(row["y"]) // SIDE, int(row["x"]) // SIDE]] for row in rows]
        pooled += zip(truth, [row["class"] for row in rows], strict=True)
        want = f1_score(truth, [row["class"] for row in rows], average="macro")
        assert float(summary[name]["macro_f1"]) == pytest.approx(want, abs=1e-6)
    assert summary["a"]["macro_f1"] == ""
    whole = 100 * f1_score(*zip(*pooled, strict=True), average="macro")
    assert f"macro F1 of {len(pooled)} tiles" in shown and f": {whole:.1f} %, 95 % interval" in shown
    assert "(2 slides)" in shown
    assert "a.svs: not scored by" in said and "labels of this slide" in said
    assert "b.svs: not scored by regions of unheard" in said


def test_grouped_f1_speaks_of_the_classes_that_are_there():
    rng = np.random.default_rng(1)
    labels, groups = rng.permutation(np.repeat([0, 2], 40)), np.arange(80) % 8
    predicted = np.where(rng.random(80) < 0.7, labels, rng.integers(3, size=80))
    macro, low, high, count = grouped_f1(labels, predicted, groups, 3)
    assert macro == pytest.approx(f1_score(labels, predicted, labels=[0, 2], average="macro"))
    assert 0 < low < macro < high < 1 and count == 8
    assert grouped_f1(labels, predicted, groups * 0, 3)[1:] == (0.0, 1.0, 1)


def test_several_slides_at_a_time_give_the_same_bytes_and_name_the_broken_one(drawn, mapped, tmp_path, capfd):
    out, shown, _ = mapped
    assert slide(drawn, "--annotations", drawn / "a.geojson", *OPTIONS, "--truth", drawn / "truth", "--tiles",
                 "--workers", 2, "--out", tmp_path) == 1
    found = capfd.readouterr()
    assert "broken.svs" in found.err.splitlines()[-1] and "left out" in found.err.splitlines()[-1]
    macro, = [line for line in shown.splitlines() if line.startswith("macro F1 of") and "tiles that" in line]
    assert macro in found.out
    names = {path.relative_to(out) for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()
            and path.name != ".lock"} == names
    assert all((out / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


def test_parquet_holds_what_the_csv_holds_and_takes_its_place(drawn, mapped, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = mapped[0]
    shutil.copytree(out / "head", tmp_path / "head")
    words = [drawn / "b.svs", "--head", tmp_path / "head", "--quiet", "--out", tmp_path / "o"]
    assert slide(*words) == 0
    assert slide(*words, "--table", "parquet", "--truth", drawn / "truth", "--overwrite") == 0
    assert not (tmp_path / "o/b/tiles.csv").exists()
    found, rows = parquet.read_table(tmp_path / "o/b/tiles.parquet").to_pylist(), rows_of(out / "b/tiles.csv")
    assert [{name: str(value) for name, value in one.items() if "probability" not in name and name != "margin"}
            for one in found] == [{name: value for name, value in row.items() if "probability" not in name
                                   and name != "margin"} for row in rows]
    for name in ("probability_LYM", "margin"):
        np.testing.assert_array_equal([one[name] for one in found], [float(row[name]) for row in rows])
    summaries = [rows_of(path / "summary.csv") for path in (out, tmp_path / "o")]
    assert summaries[1][0]["macro_f1"] == next(row["macro_f1"] for row in summaries[0] if row["slide"] == "b")


def test_drawn_masks_have_regions_of_the_stated_widths_and_every_class():
    mask = draw_mask(np.random.default_rng(0), 24, 4)
    assert mask.shape == (24 * CELLS, 24 * CELLS) and set(np.unique(mask)) == {-1, 0, 1, 2, 3}
    assert WIDTHS == (3, 20)
    majority = tile_majority(mask)
    for row, column in np.random.default_rng(1).integers(24, size=(50, 2)):
        cells = mask[row * CELLS:(row + 1) * CELLS, column * CELLS:(column + 1) * CELLS]
        values, counts = np.unique(cells, return_counts=True)
        assert counts[values == majority[row, column]] == counts.max()
