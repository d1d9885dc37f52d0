"""The labelling page in a real browser: keys, touch, undo, progress, and a CSV that our reader takes back exactly."""
import json

import numpy as np
import pytest
from PIL import Image

from docs.screenshots import browser, missing, show
from fewshot_wsi.foundation.label_tables import read_label_table
from fewshot_wsi.labelling.page import page_tile, render

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "present")

NAMES = ["=1+1.png", "a, \"b\"; c.png", "<img src=x onerror=alert(1)>.png", "Gewebe äß 染色.png",
         "\u202egnp.exe.png", "back\\x41 slash.png"]
HOSTILE = ["=SUM(A1)", "tumour, \"G3\"; <b>", "back\\slash", "\\x41", "</script><script>alert(1)</script>", "🔬 π"]


@pytest.fixture(scope="module")
def driver():
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiles")
    for i in range(len(NAMES)):
        Image.fromarray(np.full((40, 60, 3), 30 * i, np.uint8)).save(folder / f"{i}.png")
    return [page_tile(name, f"slide {i % 2}", folder / f"{i}.png") for i, name in enumerate(NAMES)]


@pytest.fixture
def page(tiles, tmp_path, driver):
    path = tmp_path / "label.html"
    path.write_text(render(tiles, classes=HOSTILE), encoding="utf-8")
    show(driver, path, 1400)
    driver.execute_script("localStorage.clear()")
    show(driver, path, 1400)
    driver.get_log("browser")
    return path


def press(driver, *keys):
    for key in keys:
        driver.find_element("tag name", "body").send_keys(key)


def exported(driver, folder):
    """The table that 'Export CSV' saves, as `predict.py --support` reads it, and its columns."""
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    from selenium.webdriver.support.ui import WebDriverWait
    driver.find_element("id", "export").click()
    file = folder / "labels.csv"
    # the browser first takes the name with an empty file and moves the whole one there afterwards
    WebDriverWait(driver, 20).until(lambda _: file.exists() and file.stat().st_size > 0)
    table = read_label_table(file)
    file.unlink()
    return table


def shown(driver, what):
    return driver.find_element("id", what).text


def test_number_keys_name_classes_and_names_come_back_exactly(driver, page, tmp_path):
    press(driver, *"123456")
    assert shown(driver, "progress") == "6 of 6 labelled: export the CSV"
    table = exported(driver, tmp_path)
    assert (list(table.names), list(table.labels)) == (NAMES, HOSTILE)
    assert list(table.groups) == [f"slide {i % 2}" for i in range(6)]
    assert driver.get_log("browser") == []


def test_names_are_text_and_hidden_characters_are_seen(driver, page):
    assert driver.execute_script("return document.querySelectorAll('#classes b, script:not([type])').length") == 1
    for name in [*NAMES[:4], "\\u202egnp.exe.png", "back\\\\x41 slash.png"]:
        assert shown(driver, "name") == name
        press(driver, "\ue014")  # right arrow


def test_undo_takes_back_labels_and_classes_in_turn_also_after_a_reload(driver, page, tmp_path):
    field = driver.find_element("id", "new")
    press(driver, "1", "2")
    field.send_keys("necrosis 7\n")  # the digit belongs to the name
    press(driver, "7")
    show(driver, page, 1400)
    assert list(exported(driver, tmp_path).labels) == [HOSTILE[0], HOSTILE[1], "necrosis 7"]
    press(driver, "u", "u")
    assert shown(driver, "progress") == "2 of 6 labelled"
    assert len(driver.find_elements("css selector", "#classes button")) == 6
    press(driver, "u", "u", "u")
    assert shown(driver, "progress") == "0 of 6 labelled" and shown(driver, "place") == "1 of 6 ·"


def test_a_label_is_changed_and_cleared_and_tiles_without_one_are_left_out(driver, page, tmp_path):
    press(driver, "1", "\ue012", "2", "3", "\ue012", "\ue017")  # left arrow, delete
    table = exported(driver, tmp_path)
    assert (table.names, table.labels) == (tuple(NAMES[:1]), (HOSTILE[1],))


def test_a_class_is_refused_without_a_name_or_with_a_known_one(driver, page):
    field = driver.find_element("id", "new")
    for name, why in ((" ", "A class needs a name."), (HOSTILE[0], "There is a class of this name.")):
        field.clear()
        field.send_keys(name + "\n")
        assert shown(driver, "refused") == why
    assert len(driver.find_elements("css selector", "#classes button")) == 6


def test_a_renamed_class_keeps_its_tiles(driver, page, tmp_path):
    press(driver, "1")
    answers = "const said = ['1', 'tumour']; window.prompt = () => said.shift();"
    driver.execute_script(answers + "document.getElementById('rename').click()")
    assert exported(driver, tmp_path).labels == ("tumour",)


def test_fingers_do_what_keys_do(driver, page, tmp_path):
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    show(driver, page, 820)

    def tap(selector, number=0):
        box = driver.execute_script("const e = document.querySelectorAll(arguments[0])[arguments[1]];"
                                    "e.scrollIntoView(); return e.getBoundingClientRect().toJSON()", selector, number)
        assert min(box["width"], box["height"]) >= 44
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    try:
        tap("#classes button", 1)
        tap("#classes button", 2)
        tap("#undo")
        tap("#strip button", 4)
        tap("#classes button", 0)
    finally:
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    table = exported(driver, tmp_path)
    assert (table.names, table.labels) == ((NAMES[0], NAMES[4]), (HOSTILE[1], HOSTILE[0]))


def test_earlier_labels_are_exported_too_and_another_page_has_its_own_progress(driver, page, tiles, tmp_path):
    press(driver, "1")
    path = tmp_path / "second.html"
    path.write_text(render(tiles[1:], classes=HOSTILE, earlier=[("=old.png", "tumour", "s")]), encoding="utf-8")
    show(driver, path, 1400)
    assert shown(driver, "progress") == "0 of 5 labelled"
    press(driver, "2")
    table = exported(driver, tmp_path)
    assert (table.names, table.labels) == (("=old.png", NAMES[1]), ("tumour", HOSTILE[1]))


def test_a_browser_that_keeps_nothing_says_so_and_still_labels(driver, page, tmp_path):
    broken = tmp_path / "broken.html"
    full = "Storage.prototype.setItem = () => { throw new Error('full'); };"
    broken.write_text(page.read_text(encoding="utf-8").replace('"use strict";', full, 1), encoding="utf-8")
    show(driver, broken, 1400)
    assert driver.find_element("id", "unkept").is_displayed()
    press(driver, "1")
    assert shown(driver, "progress") == "1 of 6 labelled"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1400])
def test_nothing_is_fetched_and_nothing_scrolls_sideways(driver, page, width, dark):
    driver.get_log("performance")
    show(driver, page, width, dark=dark)
    assert driver.execute_script("return document.documentElement.scrollWidth") == width
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith("data:")} == {page.absolute().as_uri()}
    assert driver.get_log("browser") == []
