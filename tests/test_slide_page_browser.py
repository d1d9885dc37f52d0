"""case.html in a real browser: offline and silent, readable on a phone and in the dark; slider and toggles work."""

import json

import numpy as np
import pytest
from drawn_slides import annotate, coloured

from docs.screenshots import browser, missing, show
from fewshot_wsi.commands.slide import main

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "present")
NAMES = ("</script><img src=x onerror=alert(1)>", "b\u202e" + "long" * 30)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    mask = np.full((8, 12), -1)
    mask[1:7, 1:6], mask[1:7, 6:11] = 0, 1
    coloured(folder / "a<b>&c.svs", mask)
    annotate(folder / "a.geojson", [(NAMES[0], 1, 1, 2, 2), (NAMES[0], 5, 2, 2, 2), (NAMES[1], 1, 7, 2, 2),
                                    (NAMES[1], 5, 8, 2, 2)])
    assert main([str(word) for word in (folder / "a<b>&c.svs", "--annotations", folder / "a.geojson", "--encoder",
                                        "color_histogram", "--tile", 64, "--quiet", "--out", folder / "o")]) == 0
    return folder / "o/a<b>&c/case.html"


@pytest.fixture(scope="module")
def driver():
    with browser() as opened:
        yield opened


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_silent_offline_and_never_wider_than_the_screen(driver, page, width, dark):
    driver.get_log("performance")
    driver.get_log("browser")
    show(driver, page, width, dark=dark)
    assert driver.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith("data:")} == {page.absolute().as_uri()}
    assert driver.execute_script("return document.documentElement.scrollWidth") == width
    assert driver.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth)")
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == dark


def test_names_are_text_and_hidden_characters_are_shown(driver, page):
    show(driver, page, 1400)
    shown = driver.execute_script("return [...document.querySelectorAll('tbody label')].map(l => l.textContent)")
    assert shown == [NAMES[0], NAMES[1].replace("\u202e", "\\u202e")]
    assert driver.execute_script("return document.querySelector('h1').textContent") == "a<b>&c"
    assert driver.execute_script("return document.querySelectorAll('[onerror]').length") == 0
    assert "\u202e" not in page.read_text(encoding="utf-8")


def test_slider_and_toggles_change_the_map(driver, page):
    show(driver, page, 390)
    look = ("const l = document.querySelectorAll('#map .layer')[arguments[0]];"
            "return [getComputedStyle(l).opacity, getComputedStyle(l).display]")
    driver.execute_script("const s = document.getElementById('opacity'); s.value = 20; s.dispatchEvent(new "
                          "Event('input')); document.querySelectorAll('tbody input')[1].click()")
    assert driver.execute_script(look, 0) == ["0.2", "block"]
    assert driver.execute_script(look, 1)[1] == "none"
    assert driver.execute_script("return document.getElementById('shown').textContent") == "20 %"
    driver.execute_script("document.querySelectorAll('tbody input')[1].click()")
    assert driver.execute_script(look, 1) == ["0.2", "block"]
    assert driver.execute_script("return document.querySelectorAll('.tiles img').length") == 12
