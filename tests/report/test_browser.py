"""The page in a real browser: what is moved, clicked and pressed changes what is seen, and nothing leaves the page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from saccade.report import write_report

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install saccade[dev])")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with chromedriver is installed"),
]
EVIL = "<script>window.hacked=1<script>"  # a file name cannot hold a slash, a name of an organ can
EVIL_ORGAN = "liver</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
PLANES = ("axial", "coronal", "sagittal")
SHAPE = (11, 13, 17)  # right, front, head; 2 x 2 x 3 mm


@pytest.fixture(scope="module")
def page(fake, tmp_path_factory) -> Path:
    """Two cases; the scan of the worse one is black but for a block at the patient's right, front and head."""
    run = fake.make_run(tmp_path_factory.mktemp("browser"), {"better": (0.9, 0.8), EVIL: (0.5, 0.25)})
    scan = np.full(SHAPE, -160, np.float32)
    scan[8:, 10:, 13:] = 240
    fake.save(run.parent / "data" / "images" / f"{EVIL}.nii.gz", scan)
    for name in ("config.yaml", "validation/metrics.json"):
        path = run / name
        path.write_text(path.read_text().replace("liver", EVIL_ORGAN))
    return write_report(run)


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1400,1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture
def view(browser, page):
    browser.get(page.as_uri())
    wait_until_shown(browser)
    browser.execute_script("document.getElementById('viewer').scrollIntoView()")
    return browser


def wait_until_shown(view) -> None:
    WebDriverWait(view, 20).until(lambda _: view.find_element(By.ID, "viewer").get_attribute("aria-busy") == "false")
    settle(view)


def settle(view) -> None:
    """Drawing happens with the next frame."""
    view.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))")


def find(view, css: str):
    return view.find_element(By.CSS_SELECTOR, css)


def canvas(view, plane: str):
    return find(view, f'[data-plane="{plane}"] canvas')


def pixels(view, plane: str) -> str:
    settle(view)
    return view.execute_script("return arguments[0].toDataURL()", canvas(view, plane))


def grey(view, plane: str, across: float, down: float) -> int:
    """The red of a canvas pixel, its place given as parts of width and height."""
    settle(view)
    code = """const [c, x, y] = arguments;
        return c.getContext("2d").getImageData(x * c.width, y * c.height, 1, 1).data[0]"""
    return view.execute_script(code, canvas(view, plane), across, down)


def places(view) -> dict[str, int]:
    """The slice that each plane says it shows, counted from 1."""
    settle(view)
    words = [find(view, f'[data-plane="{plane}"] output').text.split() for plane in PLANES]
    assert [(word[0], word[3]) for word in words] == [("axial", "17"), ("coronal", "13"), ("sagittal", "11")]
    return {word[0]: int(word[1]) for word in words}


def press(view, key: str) -> None:
    ActionChains(view).send_keys(key).perform()
    settle(view)


def text(view, part: str) -> str:
    settle(view)
    return find(view, f'[data-part="{part}"]').text


def test_planes_are_radiological_and_true_to_scale(view):
    for layer in ("truth", "prediction", "attention", "crosshair"):
        find(view, f'[data-layer="{layer}"]').click()
    for plane in PLANES:
        slider = find(view, f'[data-plane="{plane}"] input')
        view.execute_script("arguments[0].value = 99; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert places(view) == {"axial": 17, "coronal": 13, "sagittal": 11}  # the most right, front and head
    for plane in PLANES:  # right or front on the left, front or head at the top
        assert grey(view, plane, 0.12, 0.15) == 255
        assert grey(view, plane, 0.88, 0.15) == 0
        assert grey(view, plane, 0.12, 0.85) == 0
    sizes = {plane: canvas(view, plane).size for plane in PLANES}
    for plane, across_mm, down_mm in (("axial", 22, 26), ("coronal", 22, 51), ("sagittal", 26, 51)):
        ratio = sizes[plane]["width"] / sizes[plane]["height"]
        assert ratio == pytest.approx(across_mm / down_mm, rel=0.02)


@pytest.mark.parametrize("plane", PLANES)
def test_a_slider_moves_its_slice_and_the_pixels(view, plane):
    before, at = {name: pixels(view, name) for name in PLANES}, places(view)
    find(view, f'[data-plane="{plane}"] input').send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert places(view) == {**at, plane: at[plane] + 2}
    assert all(pixels(view, name) != before[name] for name in PLANES)  # the others by their crosshair


@pytest.mark.parametrize("layer", ["image", "truth", "prediction", "attention", "crosshair"])
def test_a_toggle_changes_the_pixels_and_gives_them_back(view, layer):
    press(view, "n")  # the other case: its scan is noise, so that all layers can be seen
    wait_until_shown(view)
    before = pixels(view, "axial")
    find(view, f'[data-layer="{layer}"]').click()
    without = pixels(view, "axial")
    assert without != before
    if layer not in ("image", "crosshair"):
        find(view, f'[data-layer="{layer}"]').click()
        find(view, f'[data-opacity="{layer}"]').send_keys(Keys.ARROW_LEFT * 20)
        assert pixels(view, "axial") not in (before, without)
        find(view, f'[data-opacity="{layer}"]').send_keys(Keys.HOME)
        assert pixels(view, "axial") == without
    else:
        find(view, f'[data-layer="{layer}"]').click()
        assert pixels(view, "axial") == before


def test_a_click_moves_the_crosshair_in_all_planes(view):
    size = canvas(view, "axial").size
    # A tenth to the right of the left edge and a fifth down: i = 0.9 x 11 -> index 9, j = 0.8 x 13 -> index 10.
    offset = (round(-0.4 * size["width"]), round(-0.3 * size["height"]))
    axial = places(view)["axial"]
    ActionChains(view).move_to_element_with_offset(canvas(view, "axial"), *offset).click().perform()
    assert places(view) == {"axial": axial, "coronal": 11, "sagittal": 10}
    assert text(view, "status").startswith("(18.0, 20.0, ")
    size = canvas(view, "sagittal").size
    ActionChains(view).move_to_element_with_offset(
        canvas(view, "sagittal"), round(0.4 * size["width"]), round(0.4 * size["height"])
    ).click().perform()
    assert places(view) == {"axial": 2, "coronal": 2, "sagittal": 10}


def test_the_wheel_turns_slices_and_shift_drags_the_window(view):
    at = places(view)
    origin = webdriver.common.actions.wheel_input.ScrollOrigin.from_element(canvas(view, "coronal"))
    ActionChains(view).scroll_from_origin(origin, 0, 100).perform()
    assert places(view) == {**at, "coronal": at["coronal"] - 1}
    assert text(view, "window") == "−160 to 240 HU"
    chain = ActionChains(view).move_to_element(canvas(view, "coronal")).key_down(Keys.SHIFT).click_and_hold()
    chain.move_by_offset(0, 50).release().key_up(Keys.SHIFT).perform()
    assert text(view, "window") == "−80 to 320 HU"  # 50 pixels down: 50/250 of the width of 400 HU darker
    assert places(view) == {**at, "coronal": at["coronal"] - 1}


def test_the_keyboard_does_it_all(view):
    at = places(view)
    ActionChains(view).move_to_element(canvas(view, "sagittal")).perform()
    view.execute_script("arguments[0].focus()", canvas(view, "sagittal"))
    press(view, Keys.ARROW_UP)
    assert places(view) == {**at, "sagittal": at["sagittal"] + 1}
    for key, slice_ in ((Keys.END, 11), (Keys.PAGE_DOWN, 1), (Keys.PAGE_UP, 11), (Keys.HOME, 1)):
        press(view, key)
        assert places(view)["sagittal"] == slice_
    press(view, "2")
    assert text(view, "window") == "−1350 to 150 HU"
    for key, layer in (("i", "image"), ("t", "truth"), ("p", "prediction"), ("a", "attention"), ("x", "crosshair")):
        press(view, key)
        assert not find(view, f'[data-layer="{layer}"]').is_selected()
    width = canvas(view, "sagittal").size["width"]
    press(view, "e")
    assert canvas(view, "sagittal").size["width"] > width
    assert not canvas(view, "axial").is_displayed()
    press(view, "e")
    assert canvas(view, "axial").is_displayed()
    press(view, "n")
    wait_until_shown(view)
    assert text(view, "name") == "better, mean Dice 0.850"
    press(view, "b")
    wait_until_shown(view)
    assert text(view, "name").startswith(EVIL)


def test_organs_and_cases_are_a_click_away(view):
    find(view, '[data-part="organs"] button:nth-child(2)').click()  # the spleen: i 7..8, j 3..5, k 4..6
    assert places(view) == {"axial": 6, "coronal": 5, "sagittal": 8}
    assert "truth: spleen · prediction: spleen · attention: 0." in text(view, "status")
    find(view, 'a[data-case="1"]').click()
    wait_until_shown(view)
    assert text(view, "name") == "better, mean Dice 0.850"
    assert text(view, "rank") == "2 of 2, worst first"


@pytest.mark.parametrize("width", [1400, 800])
def test_nothing_scrolls_sideways(view, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    view.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        settle(view)
        assert view.execute_script("return document.documentElement.scrollWidth") <= width
        if width == 1400:
            table = find(view, ".scroll")
            assert table.get_property("scrollWidth") <= table.get_property("clientWidth")
        right = [canvas(view, plane).rect["x"] + canvas(view, plane).rect["width"] for plane in PLANES]
        assert max(right) < width
    finally:
        view.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_leaves_the_page_and_no_name_does_harm(view):
    for log in ("browser", "performance"):
        view.get_log(log)  # what earlier tests left
    view.refresh()
    wait_until_shown(view)
    press(view, "n")
    wait_until_shown(view)
    assert EVIL in find(view, "main").text
    assert EVIL_ORGAN in find(view, '[data-part="organs"]').text
    assert view.execute_script("return window.hacked") is None
    assert view.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in view.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert {url.split(":")[0] for url in asked} == {"file"}
    assert len(set(asked)) == 1  # the page itself


@pytest.mark.parametrize(
    ("attempt", "directive"),
    [
        ("fetch('https://localhost:9/').catch(() => 0)", "connect-src"),
        ("new Image().src = 'https://localhost:9/a.png'", "img-src"),
        (
            "document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked=1'}))",
            "script-src",
        ),
    ],
)
def test_the_policy_would_stop_it(view, attempt, directive):
    stopped = view.execute_async_script(
        "const done = arguments[0];"
        "addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));" + attempt
    )
    assert stopped.startswith(directive)
    assert view.execute_script("return window.hacked") is None
