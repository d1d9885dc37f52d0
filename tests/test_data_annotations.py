"""Annotations of a slide: masks as they are shown, regions of XML with their exact cover, and what is refused."""
import numpy as np
import pytest
import tifffile
from data_material import make_slide, rectangle, xml_text

from fewshot_wsi.annotations import regions
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.prepare_data import annotation
from fewshot_wsi.slides.geometry import geometry
from fewshot_wsi.slides.opening import open_slide

SIZE = (1200, 900)


@pytest.fixture
def place(tmp_path):
    with open_slide(make_slide(tmp_path / "s.svs", SIZE)) as slide:
        yield geometry(slide, tile=64, mpp=0.5), slide.level_sizes


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
    (xml_text([("Id='1' Name='a' LineColor='3'", [(False, WHOLE)])]), r"Id 1 \(name 'a', colour 3\); name them"),
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
