"""annotated_slides: marked slides become tiles of the marked places, in lists that never split a slide or a patient."""
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import shapely
from data_material import ROOT, make_slide
from PIL import Image

from fewshot_wsi.commands import annotated_slides
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import read_groups, read_list
from fewshot_wsi.meta_test.protocol import load_protocol

SIZE = (1200, 900)
TUMOR, STROMA = shapely.box(200, 0, 700, 900), shapely.box(700, 0, 1200, 900)
FAST = ("--tile", "64", "--workers", "1", "--quiet")


def mark(path, **shapes):
    """A GeoJSON file. shapes: by class name, with _ for a blank."""
    features = [{"type": "Feature", "geometry": json.loads(shapely.to_geojson(shape)),
                 "properties": {"objectType": "annotation", "classification": {"name": name.replace("_", " ")}}}
                for name, shape in shapes.items()]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


@pytest.fixture
def slides(tmp_path, monkeypatch):
    """Five slides, of three kinds, with regions of two classes; the current folder is that of the data set."""
    folder = tmp_path / "slides ü"
    folder.mkdir()
    for name in ("a.svs", "b.svs", "c ä, 1.tif", "d.svs", "e.svs"):
        make_slide(folder / name, SIZE)
        mark(folder / f"{name.rsplit('.')[0]}.geojson", Tumor=TUMOR, Stroma_a=STROMA)
    monkeypatch.chdir(tmp_path)
    return folder


def prepare(slides, *options):
    return annotated_slides.main([str(slides), "--name", "mine", *FAST, *map(str, options)])


def rows(side, folder="data/mine"):
    found = read_list(f"{folder}/meta/{side}_labeled.txt", labeled=True)
    return list(zip(found.names, found.labels.tolist(), strict=True))


def test_tiles_lie_in_the_region_of_their_class_and_show_that_place(slides):
    make_slide(slides / "a.svs", SIZE, paint=lambda draw: draw.rectangle((704, 320, 767, 383), fill=(200, 80, 170)))
    assert prepare(slides, "--purity", "0.99") == 0
    with open("data/mine/meta/classes.csv", encoding="utf-8") as stream:
        assert [row["class"] for row in csv.DictReader(stream)] == ["Stroma a", "Tumor"]
    every = rows("train") + rows("test")
    for name, label in every:
        x, y = map(int, name.rsplit("/")[-1].split("+")[:2])
        assert (STROMA, TUMOR)[label].buffer(8).covers(shapely.box(x, y, x + 64, y + 64))  # to the cell of 8 µm
    wanted = {(x, y) for x in range(704, 1200 - 63, 64) for y in range(0, 900 - 63, 64)}
    found = {tuple(map(int, name.split("/")[-1].split("+")[:2])) for name, _ in every if name.startswith("a/0/")}
    assert found == wanted
    pixels = np.asarray(Image.open("data/mine/data/a/0/704+320+0.png"), dtype=int)
    assert np.abs(pixels - (200, 80, 170)).max() <= 1


def test_a_slide_or_a_patient_is_on_one_side_and_the_protocol_loads(slides):
    assert prepare(slides) == 0
    sides = [{name.split("/")[0] for name, _ in rows(side)} for side in ("train", "test")]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 5
    protocol = load_protocol("data/mine/meta/protocol.py")
    assert protocol.sets["train"].mpp == 0.5
    table = slides / "patients.csv"
    table.write_text("slide,patient\na.svs,P1\nb,P1\n\"c ä, 1\",P1\nd,P2\ne,P2\n")
    assert prepare(slides, "--patients", table, "--overwrite") == 0
    test = {name.split("/")[0] for name, _ in rows("test")}
    assert test in ({"a", "b", "c ä, 1"}, {"d", "e"})
    table.write_text("slide,patient\na,P1\n")
    with pytest.raises(UserError, match="4 of 5 slides have no patient, the first is 'b'"):
        prepare(slides, "--patients", table)


def test_one_slide_holds_out_regions(slides):
    for path in slides.iterdir():
        if path.name[0] != "a":
            path.unlink()
    mark(slides / "a.geojson", Tumor=shapely.MultiPoint([(300, 300), (400, 300), (500, 600)]), Stroma=STROMA)
    with pytest.raises(UserError, match="the class 'Stroma' is there in one slide only.*--group_by region"):
        prepare(slides)
    halves = [shapely.box(700, 0, 950, 900), shapely.box(950, 0, 1200, 900)]
    text = json.loads((slides / "a.geojson").read_text())
    stroma = text["features"].pop()
    text["features"] += [{**stroma, "geometry": json.loads(shapely.to_geojson(half))} for half in halves]
    (slides / "a.geojson").write_text(json.dumps(text))
    assert prepare(slides, "--group_by", "region") == 0
    for side in ("train", "test"):
        half = {int(name.split("/")[-1].split("+")[0]) + 32 < 950 for name, label in rows(side) if label == 0}
        assert len(half) == 1
    points = {name.split("/")[-1] for side in ("train", "test") for name, label in rows(side) if label == 1}
    assert points == {"268+268+1.png", "368+268+1.png", "468+568+1.png"}  # each in the middle of its tile
    groups = read_groups("data/mine/meta/groups.csv")
    assert len({groups[f"a/1/{name}"] for name in points}) == 3


FAULTS = {
    "broken slide": (lambda s: (s / "b.svs").write_bytes(b"IJrE"), "left out: .*b.svs: does not open as a slide"),
    "cut short": (lambda s: (s / "b.svs").write_bytes((s / "b.svs").read_bytes()[:-2_000_000]), "left out: .*b.svs: "),
    "other slide's": (lambda s: mark(s / "b.geojson", Tumor=shapely.box(9000, 0, 9900, 900)),
                      r"left out: .*b.svs: b.geojson: no region of a class lies inside the slide of 1200 × 900"),
    "damaged annotation": (lambda s: (s / "b.geojson").write_text("{"), "left out: .*b.svs: b.geojson is not GeoJSON"),
    "no resolution": (lambda s: make_slide(s / "b.svs", SIZE, mpp=None), "left out: .*b.svs: states no micrometres"),
    "no tissue": (lambda s: mark(s / "b.geojson", Tumor=shapely.box(0, 0, 190, 900)),
                  "left out: .*b.svs: gives no tile"),
    "in the dark": (lambda s: make_slide(s / "b.svs", SIZE, paint=lambda draw: draw.rectangle((0, 0, 1200, 900), 0)),
                    "left out: .*b.svs: is dark throughout"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_slide_that_cannot_be_used_is_named_and_the_others_finish(slides, capsys, fault):
    damage, message = FAULTS[fault]
    damage(slides)
    assert prepare(slides) == 1
    assert re.search(message, capsys.readouterr().err)
    assert {name.split("/")[0] for side in ("train", "test") for name, _ in rows(side)} == {"a", "c ä, 1", "d", "e"}


def test_what_is_not_taken_as_it_is_is_said(slides, capsys):
    (slides / "e.geojson").unlink()
    mark(slides / "nobody.geojson", Tumor=TUMOR)
    mark(slides / "d.geojson", Tumor=TUMOR, Stroma_a=STROMA, Empty=shapely.Polygon())
    assert prepare(slides, "--mpp", "0.4") == 0
    errors = capsys.readouterr().err
    for line in (r"left out: slides without an annotation: 1, the first is .*e\.svs",
                 r"left out: annotation files that name no slide: 1, the first is .*nobody",
                 r"d: 1 region of 'Empty' without an area",
                 r"--mpp 0.4 overrules what 4 slide\(s\) state, as a with 0.5"):
        assert re.search(line, errors)


def test_wrong_options_are_refused_before_anything_is_made(slides):
    with pytest.raises(UserError, match="--classes: no region of Tumr; the annotations mark Stroma a, Tumor"):
        prepare(slides, "--classes", "Tumr", "Stroma a")
    with pytest.raises(UserError, match="--encoder unii: no preset .*'uni"):
        prepare(slides, "--encoder", "unii")
    (slides / "b.svs.xml").write_text("<Annotations/>")
    with pytest.raises(UserError, match="b.svs: 2 annotation files, .*leave the one that counts"):
        prepare(slides)
    assert not os.path.exists("data/mine/data")


def test_paths_are_those_of_the_current_folder_for_workers_of_before_too(slides, monkeypatch, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        options = ("--name", "mine", "--tile", "64", "--tiles", "9", "--workers", "2", "--quiet")
        assert annotated_slides.main([f"../{slides.name}", *options]) == 0
        assert all((tmp_path / folder / "data/mine/data" / name).is_file() for name, _ in rows("train"))


def test_an_encoder_says_size_and_resolution(slides):
    assert annotated_slides.main([str(slides), "--name", "mine", "--encoder", "uni", "--quiet"]) == 0
    with Image.open(f"data/mine/data/{rows('train')[0][0]}") as image:
        assert image.size == (224, 224)


def test_killed_at_any_tile_the_same_command_goes_on(slides):
    command = [sys.executable, ROOT / "tools/prepare_data/annotated_slides.py", slides, "--name", "mine", *FAST]
    data = slides.parent / "data/mine/data"
    for wanted in (5, 100):
        process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   start_new_session=True)
        while process.poll() is None and len(list(data.rglob("*+*.png"))) < wanted:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = {path.relative_to(data).parts[1:]: path.stat().st_ino for path in data.rglob("*+*.png")}
    assert subprocess.run(list(map(str, command)), capture_output=True, timeout=120).returncode == 0
    assert not [path.name for path in data.iterdir() if path.name.startswith(".")]
    assert not list(data.rglob(".*"))
    inodes = {path.stat().st_ino for path in data.rglob("*+*.png")}
    assert len(before) >= 50 and set(before.values()) <= inodes  # what was there was not read again
    killed = {path.relative_to(data): path.read_bytes() for path in data.rglob("*.png")}
    assert prepare(slides, "--out", slides.parent / "again") == 0
    assert killed == {path.relative_to(slides.parent / "again/data"): path.read_bytes()
                      for path in (slides.parent / "again/data").rglob("*.png")}
