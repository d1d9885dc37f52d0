"""The written report: complete, self-contained, escaped; its files; the command line and the live view."""
import csv
import json
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from benchmarks.report import draw_result
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.report import figures, style
from fewshot_wsi.report.ablations import ABLATED, ablations
from fewshot_wsi.report.commands import command_of
from fewshot_wsi.report.evidence import read_evidence
from fewshot_wsi.report.figures import method_markers
from fewshot_wsi.report.overview import chance_f1
from fewshot_wsi.report.selection import grids
from fewshot_wsi.report.writing import write_report
from lowshot.statistics import f1_scores

EVIL = '<img src=x onerror="alert(1)"></script>&amp;"\''


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Folder of a report of drawn runs: linear and latent_aug, an ablation, evil names, images of one task."""
    folder = tmp_path_factory.mktemp("report")
    names = [f"c{c}/{k}.png" for c in range(5) for k in range(20)]
    for name in names[::4]:
        path = folder / "tiles" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((80, 80, 3), 120, np.uint8)).save(path)
    write_list(folder / "list.txt", names, np.repeat(np.arange(5), 20))
    sets = {f"{side}_list": str(folder / "list.txt") for side in ("support", "query")}
    options = dict(tasks=20, pool=20, sets=sets, classes=[EVIL, "b", "c", "d", "e"], task="mixture",
                   groups={"colon": [0, 1], "lung": [2, 3, 4]})
    for model in ("fsp", "clp", "mean_rgb"):
        for shots in (1, 5):
            draw_result(folder / "r", model=model, num_shots=shots, **options)
            draw_result(folder / "r", model=model, num_shots=shots, mode="latent_aug", skill=0.7, **options)
    for count in (2, 4, 8):
        draw_result(folder / "r", model="clp", mode="latent_aug", num_prototypes=count, **options)
    (folder / "r" / "broken.json").write_text("{")
    page, content = write_report([folder / "r"], folder / "out", tiles=[folder / "tiles"], target=0.005,
                                 command="python report.py")
    return folder, page, content


class Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.attributes, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.ids += [attrs["id"]] if "id" in attrs else []


@pytest.fixture(scope="module")
def parsed(report):
    checker = Checker()
    checker.feed(report[1].read_text())
    return checker


def test_page_refers_to_nothing_outside_itself(report, parsed):
    for tag, attrs in parsed.tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value[:80])
    text = report[1].read_text()
    assert "@import" not in text and not re.search(r"url\((?![\"']?#)", text)


def test_names_are_escaped(report, parsed):
    assert not any("onerror" in attrs for _, attrs in parsed.tags)
    assert "<img src=x" not in report[1].read_text()
    assert any(EVIL in attrs.get("alt", "") for tag, attrs in parsed.tags if tag == "img")


def test_ids_are_unique_and_links_lead_somewhere(parsed):
    assert len(parsed.ids) == len(set(parsed.ids))
    targets = {attrs["href"][1:] for tag, attrs in parsed.tags if tag == "a"}
    assert targets <= set(parsed.ids)


def test_page_is_accessible_to_readers_and_keyboards(parsed):
    heads = [attrs for tag, attrs in parsed.tags if tag == "th"]
    assert heads and all(attrs.get("scope") for attrs in heads)
    assert all(attrs.get("alt") for tag, attrs in parsed.tags if tag == "img")
    assert all(attrs.get("aria-label") for _, attrs in parsed.tags if attrs.get("role") == "img")
    scrolls = [attrs for _, attrs in parsed.tags if attrs.get("class") == "scroll"]
    assert scrolls and all(attrs.get("tabindex") == "0" for attrs in scrolls)
    assert ("html", {"lang": "en"}) in parsed.tags


def test_both_intervals_are_named_and_explained(report):
    text = report[1].read_text()
    assert "Closed interval" in text and "Open interval" in text and "open ±" in text
    assert "broken.json" in text  # what was left out is on the page


def test_tables_and_figures_lie_beside_the_page(report):
    folder, _, content = report
    for table in content.tables:
        for ending in ("csv", "md", "tex"):
            assert (folder / "out" / "tables" / f"{table.key}.{ending}").stat().st_size
    figures = [f for found in content.figures.values() for f in found]
    assert {"shots_mixture", "gain_mixture", "confusion_mixture", "tasks_mixture", "published",
            "ablation_num_prototypes"} <= {f.key for f in figures}
    for figure in figures:
        with Image.open(folder / "out" / "figures" / f"{figure.key}.png") as image:
            assert image.width > 300
        assert "<svg" in (folder / "out" / "figures" / f"{figure.key}.svg").read_text()


def test_tidy_csv_has_a_row_for_each_run_task_and_class(report):
    folder, _, content = report
    with open(folder / "out" / "tidy.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    runs = content.evidence.runs
    assert len(rows) == sum(run.f1.size for run in runs)
    row = rows[len(rows) // 2]
    run = runs[int(row["run"]) - 1]
    assert float(row["f1"]) == pytest.approx(run.f1[int(row["task_number"]), run.classes.index(row["class"])], abs=1e-5)


def test_summary_is_json_with_every_run(report):
    folder, _, content = report
    data = json.loads((folder / "out" / "summary.json").read_text())
    assert len(data["runs"]) == len(content.evidence.runs) and data["published"]["published"] == 349
    assert all(run["open_ci95"] >= run["closed_ci95"] * 0.999 for run in data["runs"])


def test_thumbnails_are_shown_where_images_are_at_hand(report):
    tasks = report[2].shown_tasks
    assert {task.title.split()[0] for task in tasks} == {"best", "worst"}
    assert all(tile.source.startswith("data:image/jpeg") for task in tasks for _, *sides in task.rows
               for side in sides for tile in side)


def test_reports_of_equal_results_are_equal_files(report, tmp_path):
    folder = report[0]
    write_report([folder / "r"], tmp_path, tiles=[folder / "tiles"], target=0.005, command="python report.py")
    for path in sorted((folder / "out").rglob("*")):
        if path.is_file() and path.name != "report.html":  # the page says when it was written
            assert path.read_bytes() == (tmp_path / path.relative_to(folder / "out")).read_bytes(), path


def test_chance_is_what_guessing_gives():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 15)
    guesses = rng.integers(3, size=(20_000, 45))
    assert chance_f1([15, 15, 15]) == pytest.approx(f1_scores(labels, guesses, 3).mean(), abs=0.002)


def test_commands_repeat_the_run_and_quote_what_needs_it():
    config = {"task": "near", "mode": "latent_aug", "model": "my model", "novel_class": "4", "num_shots": 5,
              "num_task": 100, "clf": "Ridge", "num_aug_shots": 50, "aug_times": 0, "num_prototypes": 8,
              "latent": "expected", "solver": "batched", "sampling": "grouped", "seed": 3}
    line = command_of(config, "my.py")
    assert line.startswith("python wsi_workdir/distributed_meta_test.py --task near --num_task 100 --num_shots 5")
    for part in ("--model 'my model'", "--novel_class 4", "--num_aug_shots 50", "--num_prototypes 8",
                 "--latent expected", "--sampling grouped", "--seed 3", "--protocol my.py"):
        assert part in line
    assert "--solver" not in line and "_wt_aug" in command_of({**config, "aug_times": 4})
    plain = command_of({**config, "sampling": "published", "seed": 0})  # a protocol may say otherwise
    assert "--sampling published" in plain and "--seed 0" in plain


def test_the_page_says_which_protocol_its_commands_take(tmp_path):
    draw_result(tmp_path / "r")
    text = write_report([tmp_path / "r"], tmp_path / "out")[0].read_text()
    assert "if they are of the protocol <code>configs/protocols/paper.py</code>" in text


def test_out_that_is_a_file_and_pictures_that_are_not_there_are_refused(tmp_path):
    draw_result(tmp_path / "r")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        write_report([tmp_path / "r"], tmp_path / "file")
    with pytest.raises(UserError, match="no pictures"):
        write_report([tmp_path / "r"], tmp_path / "out", pictures=tmp_path / "r" / "near")


def test_a_single_task_makes_a_report_without_half_widths(tmp_path):
    for mode in ("linear", "latent_aug"):
        draw_result(tmp_path / "r", tasks=1, ways=2, num_shots=1, mode=mode)
    page, content = write_report([tmp_path / "r"], tmp_path / "out", target=0.005)
    assert content.evidence.runs[0].closed.half is None
    assert not re.search(r"\bnan\b", re.sub(r"<(style|script|svg).*?</\1>", "", page.read_text(), flags=re.S))


def test_views_and_augmented_shots_that_rise_together_are_one_series(tmp_path):
    for count in (2, 3, 4):
        draw_result(tmp_path, tasks=4, mode="latent_aug", num_aug_shots=count ** 2)
        draw_result(tmp_path, tasks=4, aug_times=count ** 2)
        draw_result(tmp_path, tasks=4, mode="latent_aug", num_aug_shots=count, aug_times=count)
        draw_result(tmp_path, tasks=4, mode="latent_aug", num_prototypes=2 ** count)
    found = ablations(read_evidence([tmp_path], Sources()).runs)
    assert [(keys, [tuple(run.config[key] for key in keys) for run in series]) for keys, _, series in found] == [
        (("num_prototypes",), [(4,), (8,), (16,)]), (("num_aug_shots",), [(4,), (9,), (16,), (100,)]),
        (("aug_times",), [(4,), (9,), (16,)]), (("aug_times", "num_aug_shots"), [(2, 2), (3, 3), (4, 4)])]
    assert [keys for keys, *_ in found] == [keys for keys, *_ in ABLATED]


def test_lines_of_one_colour_and_style_have_markers_of_their_own(tmp_path):
    for shots in (1, 5):
        for clf in ("Ridge", "logistic_regression"):
            for count in (4, 16):
                draw_result(tmp_path, tasks=4, mode="latent_aug", num_prototypes=count, num_shots=shots, clf=clf)
    runs = read_evidence([tmp_path], Sources()).runs
    grid, = grids(runs)
    markers = method_markers({method: runs[grid.cells[method, 1][0]] for method in grid.methods})
    assert set(markers) == {"FSP + LA", "FSP + LA (K=4)"} and len(set(markers.values())) == 2


def test_names_that_look_like_formulas_are_drawn_as_they_are(tmp_path):
    draw_result(tmp_path / "r", task="mixture", classes=[r"A$\q$", "$", "a_b^c", "$x$", "#"])
    figures = write_report([tmp_path / "r"], tmp_path / "out")[1].figures
    assert r"A$\q$" in figures["confusion"][0].svg


def test_pictures_of_encoders_are_shown(tmp_path):
    draw_result(tmp_path / "r")
    (tmp_path / "p").mkdir()
    Image.new("RGB", (50, 30)).save(tmp_path / "p" / "tile <1>.png")
    page, content = write_report([tmp_path / "r"], tmp_path / "out", pictures=tmp_path / "p")
    assert len(content.pictures) == 1 and "What the encoders see" in page.read_text()
    assert "tile &lt;1&gt;" in page.read_text()


def test_command_writes_the_report_and_refuses_bad_input(tmp_path, run):
    draw_result(tmp_path / "r")
    done = run("wsi_workdir/report.py", tmp_path / "r", "--out", tmp_path / "out", "--target_ci", "0.5")
    assert done.returncode == 0 and str(tmp_path / "out" / "report.html") in done.stdout, done.stderr
    for arguments, words in (((tmp_path / "none",), "no such result"),
                             ((tmp_path / "r", "--target_ci", "0"), "points")):
        refused = run("wsi_workdir/report.py", *arguments, "--out", tmp_path / "x")
        assert refused.returncode == 2 and words in refused.stderr and "Traceback" not in refused.stderr


def test_live_view_follows_results_and_ends_with_a_still_page(tmp_path):
    """Each step waits for the line that the command prints when it is done, however long that takes."""
    out = tmp_path / "r" / "report"  # below the results: what the report writes is none
    watch = subprocess.Popen([sys.executable, ROOT / "wsi_workdir/report.py", tmp_path / "r", "--out", out,
                              "--watch", "0.2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert "waiting" in watch.stdout.readline()  # no folder yet
        draw_result(tmp_path / "r", model="fsp")
        while "1 runs" not in (line := watch.stdout.readline()):
            assert "waiting" in line
        assert 'http-equiv="refresh"' in (out / "report.html").read_text()
        draw_result(tmp_path / "r", model="clp")
        assert "2 runs" in watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        rest = watch.stdout.read()
        assert "last report" in rest and " runs: " not in rest and watch.wait() == 130
    finally:
        watch.kill()
        watch.communicate()
    assert 'http-equiv="refresh"' not in (out / "report.html").read_text()


def test_live_view_ends_where_waiting_would_not_help(tmp_path, run):
    draw_result(tmp_path / "r")
    (tmp_path / "file").write_text("")
    for out, more, words in (("file", (), "is a file"), ("out", ("--pictures", tmp_path / "none"), "no pictures")):
        done = run("wsi_workdir/report.py", tmp_path / "r", "--out", tmp_path / out, "--watch", "0.2", *more)
        assert done.returncode == 2 and words in done.stderr


def test_the_cache_of_a_live_view_holds_what_is_there(tmp_path):
    first, cache = draw_result(tmp_path, model="fsp"), {}
    draw_result(tmp_path, model="clp")
    read_evidence([tmp_path], Sources(), cache=cache)
    first.unlink()
    assert len(read_evidence([tmp_path], Sources(), cache=cache).runs) == 1 and len(cache) == 1


def test_panels_hold_four_bands_at_most_and_chance_is_drawn():
    runs = {f"{family} {mode}": SimpleNamespace(config={"clf": "Ridge"}) for family in "abc" for mode in (1, 2)}
    runs["other"] = SimpleNamespace(config={"clf": "nearest_centroid"})
    panels = figures._panels(runs)
    assert [len(methods) for _, methods in panels] == [4, 2, 1] and sum((m for _, m in panels), []) == list(runs)
    assert panels[0][0].endswith("(1)") and "(" not in panels[2][0]


def test_a_font_is_found_for_characters_that_the_usual_one_lacks(tmp_path, caplog):
    """A font made here has one Chinese character; without it a warning names the character."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    pen = TTGlyphPen(None)
    for corner in ((0, 0), (0, 500), (500, 500), (500, 0)):
        (pen.moveTo if corner == (0, 0) else pen.lineTo)(corner)
    pen.closePath()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "box"])
    font.setupCharacterMap({ord("\U00020000"): "box"})
    font.setupGlyf({".notdef": pen.glyph(), "box": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (600, 0), "box": (600, 0)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Only One", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "one.ttf")
    style.fallback_fonts.cache_clear()
    assert style.fallback_fonts(frozenset("F1 ± 5 %")) == []
    assert style.fallback_fonts(frozenset("\U00020000")) == [] and "no installed font has" in caplog.text
    style.font_manager.fontManager.addfont(tmp_path / "one.ttf")
    style.fallback_fonts.cache_clear()
    try:
        assert style.fallback_fonts(frozenset("\U00020000 and more")) == ["Only One"]
    finally:
        style.font_manager.fontManager.ttflist = [
            one for one in style.font_manager.fontManager.ttflist if one.name != "Only One"]
        style.fallback_fonts.cache_clear()
