"""Pictures of a report at phone and desktop width, for the README.

    python docs/screenshots.py report/report.html    # writes docs/report_{390,1400,1400_dark}.png

Needs Chromium and its driver (Debian: chromium, chromium-driver) and selenium.
"""

import argparse
import contextlib
import shutil
import tempfile
from pathlib import Path

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")
HEIGHT = {390: 1800, 1400: 1500}


def missing():
    """Why no browser can be driven here, or ''."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    return "" if shutil.which("chromium") and shutil.which("chromedriver") else \
        "chromium and chromedriver are absent (Debian: apt-get install chromium chromium-driver)"


@contextlib.contextmanager
def browser():
    """Headless Chromium with an empty profile, its console and network recorded."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()


def show(driver, page, width, height=None, dark=False):
    """Open a page at a width, light or dark."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": height or HEIGHT.get(width, 1500), "deviceScaleFactor": 1, "mobile": False})
    driver.get(Path(page).absolute().as_uri())


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", help="report.html")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args(argv)
    if missing():
        parser.error(missing())
    with browser() as driver:
        for width, dark in ((390, False), (1400, False), (1400, True)):
            show(driver, args.page, width, dark=dark)
            driver.execute_script("document.getElementById('results').scrollIntoView()" if width == 390 or dark else "")
            path = args.out / f"report_{width}{'_dark' if dark else ''}.png"
            driver.save_screenshot(str(path))
            print(path)


if __name__ == "__main__":
    main()
