"""Slides of patients of centres: which of them an open interval is for, which leak, and what names mean."""

import csv

import numpy as np
import pytest

from benchmarks.report import draw_result
from fewshot_wsi.commands.folder import main as folder
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import read_groups, read_list, read_owners, write_list
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.report.evidence import read_evidence
from fewshot_wsi.report.leakage import find_leaks
from fewshot_wsi.report.writing import make_content
from tests.data_material import make_images

LABELS = np.repeat([0, 1], 24)
NAMES = [f"{number}.png" for number in range(48)]


def _table(path, columns):
    """columns: name -> value of the image at a place within its class."""
    rows = [[name, *(f"{of(place % 24)}" for of in columns.values())] for place, name in enumerate(NAMES)]
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([["path", *columns], *rows])
    return str(path)


def _result(folder, table, shots=2):
    write_list(folder / "all.txt", NAMES, LABELS)
    rng = np.random.default_rng(0)
    drawn = np.array([rng.permutation(24) for _ in range(80)])
    support = np.concatenate([drawn[:, :shots], 24 + drawn[:, :shots]], axis=1)
    query = np.concatenate([drawn[:, shots:20], 24 + drawn[:, shots:20]], axis=1)
    sides = {f"{side}_{key}": value for side in ("support", "query")
             for key, value in (("list", str(folder / "all.txt")), ("groups", table))}
    return read_result(draw_result(folder / "r", ways=2, tasks=80, queries=18, num_shots=shots, supports=support,
                                   query_rows=query, sets=sides, task="out"))


SLIDE, TWO_PATIENTS, SIX_PATIENTS = (lambda k: f"s{k // 2}"), (lambda k: f"p{k // 12}"), (lambda k: f"p{k // 4}")


@pytest.mark.parametrize(("columns", "unit", "outside"), [
    ({"slide": SLIDE}, "slide", []),
    ({"slide": SLIDE, "patient": SIX_PATIENTS}, "patient", []),
    ({"slide": SLIDE, "patient": TWO_PATIENTS}, "slide", [("patient", 2)]),
    ({"slide": SLIDE, "patient": SIX_PATIENTS, "center": lambda k: f"c{k // 12}"}, "patient", [("centre", 2)]),
    ({"group": SLIDE, "patient": TWO_PATIENTS, "centre": lambda k: "c"}, "group", [("centre", 1), ("patient", 2)]),
    ({"group": TWO_PATIENTS}, "group", [])])
def test_open_intervals_are_for_the_outermost_owner_of_which_there_are_enough(tmp_path, columns, unit, outside):
    result, sources = _result(tmp_path, _table(tmp_path / "g.csv", columns)), Sources()
    assert (sources.unit(result), sources.not_covered(result)) == (unit, outside)
    run, = read_evidence([tmp_path / "r"], sources).runs
    assert (run.unit, run.not_covered) == (unit, outside)
    short = " ".join(make_content(read_evidence([tmp_path / "r"], sources), sources).in_short)
    for kind, count in outside:
        assert f"{count} {kind}" in short and "are not covered" in short
    assert (run.parts is None) == (run.open.half is None)


def test_the_patient_leaks_though_the_interval_is_for_slides(tmp_path):
    result = _result(tmp_path, _table(tmp_path / "g.csv", {"slide": SLIDE, "patient": TWO_PATIENTS}))
    leak, = (found for found in find_leaks(result, Sources()) if found.kind == "support, same patient")
    patient = np.arange(48) // 12 % 2
    asked, known = patient[result.queries], patient[result.supports]
    expected = sum(int(np.isin(q, s).sum()) for q, s in zip(asked, known, strict=True))
    assert leak.queries == expected > 0


def test_a_slide_number_that_starts_anew_in_each_patient_is_not_one_slide(tmp_path):
    table = _table(tmp_path / "g.csv", {"patient": SIX_PATIENTS, "slide": lambda k: f"{k % 4}"})
    owners, notices = read_owners(table)
    assert len(set(owners["slide"].values())) == 24 and owners["slide"]["0.png"] == "p0/0"
    assert len(notices) == 1 and "4 slides" in notices[0] and "patients" in notices[0]
    owners, notices = read_owners(_table(tmp_path / "h.csv", {"patient": SIX_PATIENTS, "slide": SLIDE}))
    assert owners["slide"]["0.png"] == "s0" and not notices


def test_what_keeps_images_together_is_the_patient_and_a_table_without_owners_is_refused(tmp_path):
    table = _table(tmp_path / "g.csv", {"slide": SLIDE, "group": SLIDE, "patient": SIX_PATIENTS,
                                          "centre": lambda k: "c"})
    assert read_groups(table)["5.png"] == "p1"
    with pytest.raises(UserError, match="names no column of centre, patient, group, slide"):
        read_groups(_table(tmp_path / "h.csv", {"stain": SLIDE}))


def test_the_table_of_components_adds_up_and_says_what_to_collect(tmp_path):
    result = _result(tmp_path, _table(tmp_path / "g.csv", {"slide": SLIDE}))
    run, = read_evidence([result.path], Sources()).runs
    content = make_content(read_evidence([result.path], Sources()), Sources())
    cells = {f"{column.over} {column.label}".strip(): cell.values[0] for column, cell in zip(
        content.components.columns, content.components.rows[0], strict=True) if column.parts}
    assert cells["open ± now"] == pytest.approx(100 * run.open.half)
    parts = sum(value ** 2 for name, value in cells.items() if name.startswith("SD") and value is not None)
    assert parts == pytest.approx(1e4 * (run.parts.tasks + run.parts.units + run.parts.tiles))
    assert any("twice as many slides" in line and "tiles of the same slides" in line for line in content.in_short)


def test_folder_hands_the_columns_of_a_table_on_and_splits_by_patient(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [(f"{name}/{number}.png", name, f"p{number // 4}", f"{number // 2}")
            for name in "ab" for number in range(16)]
    make_images(tmp_path / "tiles", [path for path, *_ in rows])
    with open("t.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "patient", "slide"), *rows])
    folder(["tiles", "--name", "own", "--csv", "t.csv"])
    owners, _ = read_owners("data/own/meta/groups.csv")
    assert owners["patient"]["a/5.png"] == "p1" and owners["slide"]["a/5.png"] == "2"
    sides = [{owners["patient"][name] for name in read_list(f"data/own/meta/{side}.txt").names}
             for side in ("train", "test")]
    assert not sides[0] & sides[1]
