"""Draws docs/images/report.png, the viewer of a run's report in a browser, and docs/images/features.jpg out of it.

python docs/picture_report.py demo/run
"""

import argparse
import base64
import re
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from saccade.files import atomic
from saccade.report import write_report

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1280, 900  # pixels
_FEATURES = re.compile(r'<img src="data:image/jpeg;base64,([^"]*)" alt="Features of')


def lacking() -> str | None:
    """What is missing to look at a page in a browser; None if nothing is."""
    if find_spec("selenium") is None:
        return "selenium is not installed (pip install saccade[dev])"
    if not any(map(shutil.which, BROWSERS)):
        return f"none of {', '.join(BROWSERS)} is installed"
    return None if shutil.which("chromedriver") else "chromedriver is not installed"


def photograph(page: Path, path: Path) -> None:
    """Write the page's viewer as PNG, as a window of 1280 x 900 pixels shows it; nothing may be `lacking`."""
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    # without its sandbox, since Chromium refuses to run as root in it; the page is ours and loads nothing
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.get(page.resolve().as_uri())
        viewer = driver.find_element(By.ID, "viewer")
        WebDriverWait(driver, 30).until(lambda _: viewer.get_attribute("aria-busy") == "false")
        driver.set_script_timeout(10)
        driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )
        picture = viewer.screenshot_as_png
    finally:
        driver.quit()
    with atomic(path) as temporary:
        temporary.write_bytes(picture)


def draw_report(run: Path) -> None:
    """Both pictures, from a report that is made anew; says which one cannot be drawn, and why, and leaves it."""
    with tempfile.TemporaryDirectory() as folder:
        page = write_report(run, Path(folder) / "report.html")
        pictures = _FEATURES.findall(page.read_text(encoding="utf-8"))
        if pictures:
            with atomic(IMAGES / "features.jpg") as temporary:
                temporary.write_bytes(base64.b64decode(pictures[0]))
        else:
            print("docs/images/features.jpg is left as it is: the run has no network with gates")
        missing = lacking()
        if missing is None:
            photograph(page, IMAGES / "report.png")
        else:
            print(f"docs/images/report.png is left as it is: {missing}")


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with gates, for example demo/run")
    draw_report(parser.parse_args().run)


if __name__ == "__main__":
    main()
