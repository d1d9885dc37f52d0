"""The page in a real browser: silent, offline, sortable, filterable, readable at both widths, dark, on paper."""
import base64
import json
import re
import zlib

import pytest

from benchmarks.report import draw_result
from docs.screenshots import browser, missing, show
from fewshot_wsi.report.writing import write_report

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "present")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    for model in ("fsp", "clp"):
        for shots in (1, 5, 10):
            for mode in ("linear", "latent_aug"):
                draw_result(folder / "r", model=model, num_shots=shots, mode=mode, tasks=20,
                            skill=0.5 + 0.02 * shots, task="mixture", groups={"colon": [0, 1], "lung": [2, 3, 4]})
    return write_report([folder / "r"], folder / "out")[0]


@pytest.fixture(scope="module")
def driver():
    with browser() as opened:
        yield opened


def _real_run(folder, features, run):
    """Results of two classifiers on the real features, made by the commands; the folder that holds them."""
    (folder / "extracted_feats").mkdir()
    (folder / "extracted_feats" / "fsp").symlink_to(features / "fsp")
    for name in ("LC_labels.npy", "NCT_train_labels.npy"):
        (folder / "extracted_feats" / name).symlink_to(features / name)
    names = "('colon_aca', 'colon_n', 'lung_aca', 'lung_n', 'lung_scc')"
    (folder / "protocol.py").write_text(
        f"name = 'real'\nworkdir = '{folder}'\nclasses = dict(LC={names})\n"
        f"sets = dict(LC=dict(list='{features}/LC.txt', root='{features.parent}/tiles', classes='LC', config='x'))\n"
        "models = dict(fsp=dict())\ndictionary = dict(set='LC', prefix='LC')\n"
        "tasks = dict(mixture=dict(support='LC', query='LC', shots=(5,), num_tasks=30, "
        "groups=dict(colon=(0, 1), lung=(2, 3, 4)), methods=(('fsp', 'linear', 'Ridge'),)))\n")
    protocol = ("--protocol", folder / "protocol.py", "--task", "mixture", "--num_shots", "5", "--num_task", "30")
    made = run("wsi_workdir/tools/generate_task.py", *protocol, "--initialization")
    assert made.returncode == 0, made.stderr
    for clf in ("Ridge", "nearest_centroid"):
        done = run("wsi_workdir/distributed_meta_test.py", *protocol, "--model", "fsp", "--clf", clf,
                   "--num_threads", "1", "--quiet")
        assert done.returncode == 0, done.stderr
    return folder / "results"


def test_report_of_a_real_run_opens_silently_and_shows_its_tiles(driver, tmp_path, real_features, run):
    results = _real_run(tmp_path, real_features, run)
    done = run("wsi_workdir/report.py", results, "--out", tmp_path / "out", "--protocol", tmp_path / "protocol.py")
    assert done.returncode == 0, done.stderr
    driver.get_log("browser")
    for width in (390, 1400):
        show(driver, tmp_path / "out" / "report.html", width)
        assert driver.get_log("browser") == []
        assert driver.execute_script("return document.documentElement.scrollWidth") == width
    broken = driver.execute_script("return [...document.images].filter(i => !i.complete || !i.naturalWidth).length")
    assert broken == 0
    if (real_features.parent / "tiles").is_dir():
        assert driver.execute_script("return document.querySelectorAll('.tiles img').length") > 20


def _cells(driver, table, column):
    return driver.execute_script(
        "return [...document.getElementById(arguments[0]).tBodies[0].rows].filter(r => !r.hidden)"
        ".map(r => r.cells[arguments[1]].textContent)", table, column)


def _sort(driver, table, column):
    driver.execute_script("document.querySelectorAll(`#${arguments[0]} thead tr:last-child button`)[arguments[1]]"
                          ".click()", table, column)


def test_no_console_error_and_no_request_beyond_the_page(driver, page):
    driver.get_log("performance")
    show(driver, page, 1400)
    assert driver.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
    assert {url.split("#")[0] for url in urls if not url.startswith("data:")} == {page.absolute().as_uri()}


def test_tables_sort_by_number_both_ways_and_by_text(driver, page):
    show(driver, page, 1400)
    for down in (True, False):
        _sort(driver, "all_runs-table", 5)
        values = [float(v) for v in _cells(driver, "all_runs-table", 5)]
        assert values == sorted(values, reverse=down) and len(set(values)) > 1
    _sort(driver, "all_runs-table", 4)
    methods = _cells(driver, "all_runs-table", 4)
    assert methods == sorted(methods)
    state = driver.execute_script("return [...document.querySelectorAll('#all_runs-table th[aria-sort]')]"
                                  ".map(h => h.getAttribute('aria-sort'))")
    assert state == ["ascending"]


def test_sorting_works_from_the_keyboard(driver, page):
    from selenium.webdriver.common.keys import Keys
    show(driver, page, 1400)
    driver.execute_script("document.querySelectorAll('#all_runs-table thead tr:last-child button')[3].focus()")
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    shots = [int(v) for v in _cells(driver, "all_runs-table", 3)]
    assert shots == sorted(shots, reverse=True)


def test_tables_filter_by_text_and_by_choice_and_say_how_many(driver, page):
    show(driver, page, 1400)
    script = ("const f = document.querySelector(arguments[0]); f.value = arguments[1];"
              "f.dispatchEvent(new Event('input'))")
    driver.execute_script(script, "input[data-table=all_runs-table]", "clp")
    assert len(_cells(driver, "all_runs-table", 0)) == 6
    driver.execute_script(script, "select[data-table=all_runs-table][data-column='4']", "CLP · Ridge + LA")
    assert set(_cells(driver, "all_runs-table", 4)) == {"CLP · Ridge + LA"}
    count = driver.execute_script("return document.querySelector('[data-count=all_runs-table]').textContent")
    assert count == "3 of 12 rows"


def test_a_live_page_reloads_with_what_was_set_until_it_is_paused(driver, page, tmp_path):
    from selenium.webdriver.support.ui import WebDriverWait

    write_report([page.parent.parent / "r"], tmp_path, refresh=1, live="Live: 12 results so far.")
    show(driver, tmp_path / "report.html", 1400)
    button = "document.querySelector('#live button')"
    driver.execute_script("window.before = true; const f = document.querySelector('input[data-table=all_runs-table]');"
                          "f.value = 'clp'; f.dispatchEvent(new Event('input'));")
    _sort(driver, "all_runs-table", 5)
    driver.execute_script("document.querySelector('#all_runs > details').open = false")
    WebDriverWait(driver, 60).until(lambda d: d.execute_script("return !window.before && document.readyState") ==
                                    "complete")
    driver.execute_script(f"{button}.click()")
    assert driver.execute_script(f"return {button}.textContent") == "Go on"
    values = [float(v) for v in _cells(driver, "all_runs-table", 5)]
    assert len(values) == 6 and values == sorted(values, reverse=True)
    assert driver.execute_script("return document.querySelector('#all_runs > details').open") is False
    assert driver.get_log("browser") == []


def test_confusion_follows_the_chosen_run(driver, page):
    show(driver, page, 1400)
    read = "return document.getElementById('confusion-table').textContent"
    before = driver.execute_script(read)
    driver.execute_script("const s = document.getElementById('confusion-run'); s.value = '7';"
                          "s.dispatchEvent(new Event('input'))")
    assert driver.execute_script(read) != before


@pytest.mark.parametrize("width", [390, 1400])
def test_page_never_scrolls_sideways_and_text_is_large_enough(driver, page, width):
    show(driver, page, width)
    wide, inner = driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= inner == width
    sizes = driver.execute_script("return ['p', 'li', 'td', 'th'].map(t => parseFloat(getComputedStyle("
                                  "document.querySelector(`main ${t}`)).fontSize))")
    assert min(sizes) >= 12


def _luminance(colour):
    parts = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(driver, page, dark):
    show(driver, page, 1400, dark=dark)
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (_luminance(ground) < 0.1) == dark
    for what in ("body", ".caption", "nav a", "td small"):
        ink = driver.execute_script(f"return getComputedStyle(document.querySelector('{what}')).color")
        low, high = sorted((_luminance(ink), _luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, what


def test_paper_holds_whole_tables(driver, page):
    show(driver, page, 1400)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    # A4 landscape without its margins: 273 mm at 96 dots an inch
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": 1032, "height": 700, "deviceScaleFactor": 1, "mobile": False})
    driver.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert driver.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    beyond = driver.execute_script("return [...document.querySelectorAll('main table')].filter(t => t.offsetParent && "
                                   "t.getBoundingClientRect().right > 1033).map(t => t.id)")
    assert beyond == []
    pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert pdf.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", _unpacked(pdf))) >= 4


def _unpacked(pdf):
    """The PDF with its compressed object streams opened."""
    parts = [pdf]
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.S):
        try:
            parts.append(zlib.decompress(stream.strip(b"\r\n")))
        except zlib.error:
            continue  # pictures and fonts
    return b"\n".join(parts)
