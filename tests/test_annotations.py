"""Annotation files of four programs: the same places whoever wrote them, and a line about all that is not used."""
import json

import numpy as np
import pytest
import shapely

from fewshot_wsi.annotations.classes import mark_classes
from fewshot_wsi.annotations.reading import annotation_files, read_marked, read_regions
from fewshot_wsi.annotations.regions import Region
from fewshot_wsi.foundation.errors import UserError

SIZE = (2000, 1000)
BOX = [(100, 100), (900, 100), (900, 700), (100, 700)]


class Drawn:
    """As much of a slide as an annotation needs."""
    size, mpp, origin, reader = SIZE, (0.25, 0.5), (0, 0), "OpenSlide"
    properties = {"hamamatsu.XOffsetFromSlideCentre": "1000000", "hamamatsu.YOffsetFromSlideCentre": "-3000000"}


def feature(shape, name=None, **properties):
    if name:
        properties["classification"] = {"name": name}
    return {"type": "Feature", "geometry": json.loads(shapely.to_geojson(shape)), "properties": properties}


def geojson(path, features, bare=False):
    path.write_text(json.dumps(features if bare else {"type": "FeatureCollection", "features": features}))
    return path


def ndpa(points):
    """The nanometres of pixels on the slide `Drawn`."""
    listed = "".join(f"<point><x>{(x - 1000) * 250 + 1000000}</x><y>{(y - 500) * 500 - 3000000}</y></point>"
                     for x, y in points)
    return ("<annotations><ndpviewstate><title>Tumor</title><annotation type='freehand'><closed>1</closed><pointlist>"
            f"{listed}</pointlist></annotation></ndpviewstate></annotations>")


def asap(points):
    listed = "".join(f"<Coordinate Order='{order}' X='{x}' Y='{y}'/>" for order, (x, y) in enumerate(points))
    return ("<ASAP_Annotations><Annotations><Annotation Type='Polygon' PartOfGroup='Tumor'><Coordinates>"
            f"{listed}</Coordinates></Annotation></Annotations></ASAP_Annotations>")


def imagescope(points):
    listed = "".join(f"<Vertex X='{x}' Y='{y}'/>" for x, y in points)
    region = f"<Region><Vertices>{listed}</Vertices></Region>"
    return f"<Annotations><Annotation Name='Tumor'>{region}</Annotation></Annotations>"


def qupath(points):
    return json.dumps([feature(shapely.Polygon(points), "Tumor")])


@pytest.mark.parametrize("write", [ndpa, asap, imagescope, qupath])
def test_every_program_marks_the_same_place(tmp_path, write):
    path = tmp_path / "any name"
    path.write_text(write(BOX))
    marked = read_marked(path, Drawn())
    assert marked.classes == ("Tumor",) and not marked.notices
    assert marked.shapes["Tumor"].symmetric_difference(shapely.Polygon(BOX)).area < 1e-3


def test_asap_counts_from_the_canvas(tmp_path):
    slide = Drawn()
    slide.origin = (50, 20)
    (tmp_path / "a.xml").write_text(asap([(x + 50, y + 20) for x, y in BOX]))
    assert read_marked(tmp_path / "a.xml", slide).shapes["Tumor"].equals(shapely.Polygon(BOX))


def test_ndpa_without_its_slide_is_refused(tmp_path):
    slide = Drawn()
    slide.properties = {}
    (tmp_path / "a.ndpa").write_text(ndpa(BOX))
    with pytest.raises(UserError, match="a.ndpa counts nanometres from the centre .*give the NDPI file"):
        read_regions(tmp_path / "a.ndpa", slide)


def test_qupath_classes_holes_points_and_other_objects(tmp_path):
    ring = shapely.Polygon(BOX, [[(200, 200), (300, 200), (300, 300), (200, 300)]])
    two = shapely.MultiPolygon([shapely.box(1000, 0, 1100, 100), shapely.box(1200, 0, 1300, 100)])
    cell = feature(shapely.box(1500, 500, 1510, 510), "Tumor", objectType="detection")
    old_cell = {**feature(shapely.box(1500, 500, 1510, 510), "Tumor"), "id": "PathCellObject"}
    named = feature(shapely.Point(1500.5, 700.25), classification={"names": ["Immune cells", "CD3"]})
    starred = feature(shapely.box(0, 0, 2000, 1000), "Region*")
    path = geojson(tmp_path / "a.geojson", [
        feature(ring, "Tumor"), feature(two, "Stroma"), cell, old_cell, named, starred,
        feature(shapely.box(1, 1, 2, 2)), feature(shapely.LineString([(0, 0), (5, 5)]), "Tumor"),
        feature(shapely.MultiPoint([(10, 10), (5000, 20)]), "Lymph"), {"type": "Feature", "geometry": None},
        feature(shapely.box(100, 100, 200, 700), "Ignore*")])
    marked = read_marked(path, Drawn())
    assert marked.classes == ("Immune cells: CD3", "Lymph", "Stroma", "Tumor")
    assert marked.shapes["Tumor"].equals(ring.difference(shapely.box(100, 100, 200, 700)))
    assert (marked.shapes["Stroma"].area, len(marked.regions["Stroma"])) == (20000, 1)
    assert marked.points["Immune cells: CD3"].tolist() == [[1500.5, 700.25]]
    assert marked.points["Lymph"].tolist() == [[10, 10]]
    assert marked.notices == (
        "2 detections, cells or tiles: not used", "2 regions without a class: not used",
        "classes with a star are not used: Region*", "1 region of 'Tumor' without an area (lines, empty): not used",
        "1 point of 'Lymph' outside the slide: not used")


def test_where_classes_overlap_the_smaller_region_counts_and_of_equal_ones_neither():
    outer, inner, nest = shapely.box(0, 0, 900, 900), shapely.box(100, 100, 500, 500), shapely.box(200, 200, 300, 300)
    same = shapely.box(1000, 0, 1200, 200)
    marked = mark_classes([Region("nest", nest), Region("out", outer), Region("in", inner), Region("out", nest),
                           Region("in", same), Region("out", same), Region("in", shapely.box(1200, 0, 1300, 9))], SIZE)
    assert marked.shapes["out"].equals(outer.difference(inner))  # where `nest` is marked twice nobody has it
    assert marked.shapes["in"].equals(inner.difference(nest).union(shapely.box(1200, 0, 1300, 9)))
    assert "nest" not in marked.shapes
    assert "'in' and 'out' overlap (200,000 px²): the smaller region counts" in "\n".join(marked.notices)
    assert "nothing of the area of 'nest' is left: other regions cover it" in marked.notices


@pytest.mark.parametrize("seed", range(4))
def test_classes_share_no_area_and_lose_none_that_is_theirs_alone(seed):
    rng = np.random.default_rng(seed)
    regions = [Region(str(rng.integers(3)), shapely.Point(rng.uniform(-100, SIZE)).buffer(rng.uniform(20, 300)))
               for _ in range(25)]
    shapes = mark_classes(regions, SIZE).shapes
    marked = shapely.union_all([one.shape for one in regions]).intersection(shapely.box(0, 0, *SIZE))
    assert sum(shape.area for shape in shapes.values()) == pytest.approx(marked.area, rel=1e-6)
    for name, shape in shapes.items():
        others = shapely.union_all([one.shape for one in regions if one.name != name])
        alone = shapely.union_all([one.shape for one in regions if one.name == name]).difference(others)
        assert alone.intersection(shapely.box(0, 0, *SIZE)).difference(shape).area < 1e-3


def test_holes_take_their_area_out_of_their_class_and_islands_count():
    whole, hole, island = shapely.box(0, 0, 900, 900), shapely.box(100, 100, 500, 500), shapely.box(200, 200, 300, 300)
    marked = mark_classes([Region("a", hole, hole=True), Region("a", island), Region("a", whole),
                           Region("b", shapely.box(400, 400, 450, 450))], SIZE)
    assert marked.shapes["a"].equals(whole.difference(hole).union(island))
    assert marked.shapes["b"].area == 2500


def test_what_lies_outside_is_cut_or_named():
    away = Region("a", shapely.box(5000, 0, 5050, 100))
    marked = mark_classes([Region("a", shapely.box(-50, 0, 50, 100)), away], SIZE)
    assert marked.shapes["a"].equals(shapely.box(0, 0, 50, 100))
    assert marked.notices == ("1 region of 'a' outside the slide of 2000 × 1000 px: not used",
                              "1 region of 'a' cut at the edge of the slide")
    with pytest.raises(UserError, match="no region of a class lies inside the slide of 2000 × 1000 px .*of this slide"):
        mark_classes([away], SIZE)


BAD = {
    "empty": ("", "is not usable XML"), "cut short": ('{"type": "FeatureCollection", "feat', "is not GeoJSON"),
    "no features": ('{"a": 1}', "is not QuPath's GeoJSON"), "numbers": ("[1, 2]", "is not QuPath's GeoJSON"),
    "other XML": ("<svg/>", "begins with <svg>, which is the XML of neither ASAP, ImageScope nor NDP.view"),
    "entities": ("<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><Annotations>&e;</Annotations>",
                 "is not usable XML"),
    "no number": (asap([("x", 1), (2, 3), (4, 5)]), "a vertex is no point: X='x'"),
    "not finite": (imagescope([("nan", 1), (2, 3), (4, 5)]), "a vertex is no point: X='nan'"),
    "NaN": ('[{"type": "Feature", "geometry": {"type": "Point", "coordinates": [NaN, 1]}}]', "is no place"),
    "far": ('[{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1e300, 1]}}]', "is no place"),
    "text": ('[{"type": "Feature", "geometry": {"type": "Point", "coordinates": ["a", 1]}}]', "is not readable"),
    "kind": ('[{"type": "Feature", "geometry": {"type": "Blob", "coordinates": [1, 1]}}]', "is not readable"),
    "two points": ('[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[1, 1], [2, 2]]]}}]',
                   "is not readable"),
    "class": ('[{"type": "Feature", "geometry": null, "properties": {"classification": 3}}]', "is no text"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_damaged_file_is_refused_in_a_line_with_its_name(tmp_path, kind):
    text, message = BAD[kind]
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(UserError, match=f"^a.geojson.*{message}"):
        read_marked(tmp_path / "a.geojson", Drawn())


def test_a_line_that_crosses_itself_encloses_what_it_encloses(tmp_path):
    bow = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
    path = geojson(tmp_path / "a.geojson", [feature(bow, "Tumor")])
    assert read_marked(path, Drawn()).shapes["Tumor"].area == pytest.approx(5000)


def test_files_belong_to_the_slide_that_they_are_named_after(tmp_path):
    slides = [tmp_path / name for name in ("a.svs", "b.ndpi", "c.svs", "d.svs")]
    for name in ("a.geojson", "x/b.ndpi.ndpa", "c.xml", "c.svs.geojson", "notes.json", "._d.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    files, unused, several = annotation_files(tmp_path, slides)
    assert files == {slides[0]: tmp_path / "a.geojson", slides[1]: tmp_path / "x/b.ndpi.ndpa"}
    assert unused == [tmp_path / "notes.json"] and [*several] == [slides[2]]


# --- real material ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, classes, points", [
    ("made_qupath_0.5_featurecollection.geojson", ("Immune cells: CD3", "Tumor"), {"Immune cells: CD3": 1}),
    ("made_qupath_bare_array.json", ("Stroma", "Tumor"), {}), ("made_asap.xml", ("Exclusion", "Tumor"), {}),
    ("lazyslide_annotations_mixed.ndpa", ("Review here", "Tumor"), {"Review here": 1})])
def test_samples_of_each_program(real_tiles, name, classes, points):
    slide = Drawn()
    slide.size = (20000, 20000)
    marked = read_marked(real_tiles.parent / "formats" / "annotations" / name, slide)
    assert marked.classes == classes
    assert {name: len(found) for name, found in marked.points.items()} == points
