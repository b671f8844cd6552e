"""The page in a real browser: what is moved, clicked and pressed changes what is seen, and nothing leaves the page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from saccade.report import write_report
from saccade.report.illustration import Illustration

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install saccade[dev])")
from browsing import (  # noqa: E402
    LAYERS,
    PLANES,
    canvas,
    extent,
    find,
    grey,
    only,
    pixels,
    places,
    press,
    settle,
    slide,
    text,
    wait_until_shown,
)
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.actions.mouse_button import MouseButton  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with chromedriver is installed"),
]
EVIL = "<script>window.hacked=1<script>"  # a file name cannot hold a slash, a name of an organ can
EVIL_ORGAN = "liver</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
SHAPE = (11, 13, 17)  # right, front, head; 2 x 2 x 3 mm


@pytest.fixture(scope="module")
def page(fake, tmp_path_factory) -> Path:
    """Two cases; the scan of the worse one is black but for a block at the patient's right, front and head.

    That one has three maps: noise, one that is 1 in the right half (i from 6 on), and one that is 0.5 everywhere.
    """
    run = fake.make_run(tmp_path_factory.mktemp("browser"), {"better": (0.9, 0.8), EVIL: (0.5, 0.25)})
    scan = np.full(SHAPE, -160, np.float32)
    scan[8:, 10:, 13:] = 240
    fake.save(run.parent / "data" / "images" / f"{EVIL}.nii.gz", scan)
    half, attention = np.zeros(SHAPE, np.float32), run / "validation" / "attention"
    half[6:] = 1
    fake.save(attention / f"{EVIL}_half.nii.gz", half)
    fake.save(attention / f"{EVIL}_level.nii.gz", np.full(SHAPE, 0.5, np.float32))
    for name in ("config.yaml", "validation/metrics.json"):
        path = run / name
        path.write_text(path.read_text("utf-8").replace("liver", EVIL_ORGAN))
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
    """The page, freshly opened; whatever a test does with it, nothing may be complained of."""
    browser.get_log("browser")
    browser.get(page.as_uri())
    wait_until_shown(browser)
    browser.execute_script("document.getElementById('viewer').scrollIntoView()")
    yield browser
    assert complaints(browser) == []


def complaints(view) -> list[str]:
    """What the browser says since it was last asked, but for its advice on how the tests themselves read pixels."""
    messages = [entry["message"] for entry in view.get_log("browser")]
    return [message for message in messages if "willReadFrequently" not in message]


def test_planes_are_radiological_and_true_to_scale(view):
    only(view, "image")
    slide(view, axial=99, coronal=99, sagittal=99)
    assert places(view) == {"axial": 17, "coronal": 13, "sagittal": 11}  # the most right, front and head
    for plane in PLANES:  # right or front on the left, front or head at the top
        assert grey(view, plane, 0.12, 0.15) == 255
        assert grey(view, plane, 0.88, 0.15) == 0
        assert grey(view, plane, 0.12, 0.85) == 0
    sizes = {plane: canvas(view, plane).size for plane in PLANES}
    for plane, across_mm, down_mm in (("axial", 22, 26), ("coronal", 22, 51), ("sagittal", 26, 51)):
        ratio = sizes[plane]["width"] / sizes[plane]["height"]
        assert ratio == pytest.approx(across_mm / down_mm, rel=0.02)


def test_the_letters_say_what_lies_at_each_edge(view):
    listen = """window.said = []; const pen = CanvasRenderingContext2D.prototype, real = pen.fillText;
        pen.fillText = function (text, x, y) {
            said.push([this.canvas.getAttribute("aria-label"), text, x / this.canvas.width, y / this.canvas.height]);
            real.call(this, text, x, y);
        }"""
    view.execute_script(listen)
    press(view, "i")
    edges = {"axial": "RALP", "coronal": "RSLI", "sagittal": "ASPI"}  # left, top, right, bottom
    places = [(0, 0.5), (0.5, 0), (1, 0.5), (0.5, 1)]
    said = view.execute_script("return said")
    expected = [(plane, *letter) for plane in PLANES for letter in zip(edges[plane], places, strict=True)]
    assert len(said) == len(expected)
    for (label, word, x, y), (plane, letter, place) in zip(said, expected, strict=True):
        assert (label, word) == (f"{plane} plane", letter)
        assert (x, y) == pytest.approx(place, abs=0.08)


@pytest.mark.parametrize(("layer", "further"), [("truth", 0), ("prediction", 1)])
def test_outlines_lie_where_the_labels_are(view, layer, further):
    """In the liver's middle (3, 5, 7): i 2..5, j 3..7, k 4..10; predicted one voxel further to the front."""
    i, j, k = (2 / 11, 6 / 11), ((3 + further) / 13, (8 + further) / 13), (4 / 17, 11 / 17)
    for plane, across, up in (("axial", i, j), ("sagittal", j, k)):
        found = extent(view, plane, lambda: press(view, layer[0]))
        assert found == pytest.approx([1 - across[1], 1 - up[1], 1 - across[0], 1 - up[0]], abs=0.02)


def test_a_map_lies_where_its_values_are_and_can_be_chosen(view):
    only(view, "attention")
    assert text(view, "map-range").endswith(", colours 0 to 1")
    press(view, "m")
    assert text(view, "map-range") == "values 0 to 1, colours 0 to 1"
    # Opacity 0.35 of inferno's brightest colour, whose red is 252: the patient's right is on the left.
    assert grey(view, "axial", 0.2, 0.5) == grey(view, "coronal", 0.2, 0.5) == pytest.approx(88, abs=2)
    assert grey(view, "axial", 0.8, 0.5) == grey(view, "coronal", 0.8, 0.5) == 0
    slide(view, sagittal=9)
    assert grey(view, "sagittal", 0.8, 0.5) == pytest.approx(88, abs=2)
    assert text(view, "status").endswith("attention: 1")
    maps = Select(find(view, '[data-part="maps"]'))
    maps.select_by_visible_text("level")
    assert text(view, "map-range") == "0.5 everywhere: no overlay"
    assert grey(view, "axial", 0.2, 0.5) == 0
    maps.select_by_visible_text("half")
    assert grey(view, "axial", 0.2, 0.5) > 0


@pytest.mark.parametrize("plane", PLANES)
def test_a_slider_moves_its_slice_and_the_pixels(view, plane):
    before, at = {name: pixels(view, name) for name in PLANES}, places(view)
    find(view, f'[data-plane="{plane}"] input').send_keys(Keys.ARROW_UP, Keys.ARROW_RIGHT)
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
    only(view, "crosshair")
    for plane, across, down in (
        ("axial", 1 - 9.5 / 11, 1 - 10.5 / 13),
        ("coronal", 1 - 9.5 / 11, 1 - (axial - 0.5) / 17),
        ("sagittal", 1 - 10.5 / 13, 1 - (axial - 0.5) / 17),
    ):
        assert grey(view, plane, across, 0.35) > 70  # 0.8 of 255, on one pixel or shared by two
        assert grey(view, plane, 0.92, down) > 70
        assert grey(view, plane, across + 0.2, down + 0.1) == 0
    size = canvas(view, "sagittal").size
    ActionChains(view).move_to_element_with_offset(
        canvas(view, "sagittal"), round(0.4 * size["width"]), round(0.4 * size["height"])
    ).click().perform()
    assert places(view) == {"axial": 2, "coronal": 2, "sagittal": 10}


def test_dragging_moves_the_crosshair_along(view):
    size = canvas(view, "axial").size
    chain = ActionChains(view).move_to_element(canvas(view, "axial")).click_and_hold()
    chain.move_by_offset(round(size["width"] * 2.1 / 11), round(size["height"] * 3.1 / 13)).perform()
    at = places(view)
    assert (at["sagittal"], at["coronal"]) == (6 - 2, 7 - 3)  # from the middle voxel: to the left and to the back
    ActionChains(view).release().move_by_offset(20, 20).perform()
    assert places(view) == at


def test_windows_change_the_greys(view):
    only(view, "image")
    slide(view, axial=99, coronal=99, sagittal=99)
    assert (grey(view, "axial", 0.1, 0.1), grey(view, "axial", 0.9, 0.9)) == (255, 0)  # 240 and -160 HU
    assert float(text(view, "status").split(" · ")[1].removesuffix(" HU")) == pytest.approx(240, abs=2)
    find(view, '[data-part="presets"] button:nth-child(3)').click()
    assert text(view, "window") == "−450 to 1050 HU"
    assert grey(view, "axial", 0.1, 0.1) == pytest.approx(255 * 690 / 1500, abs=2)
    assert grey(view, "axial", 0.9, 0.9) == pytest.approx(255 * 290 / 1500, abs=2)
    press(view, "1")
    assert (grey(view, "axial", 0.1, 0.1), grey(view, "axial", 0.9, 0.9)) == (255, 0)
    builder = ActionBuilder(view)
    mouse = builder.pointer_action.move_to(canvas(view, "axial")).pointer_down(MouseButton.RIGHT)
    mouse.move_by(125, 0).pointer_up(MouseButton.RIGHT)
    builder.perform()
    assert text(view, "window") == "−260 to 340 HU"  # 125 pixels to the right: 125/250 of the width of 400 HU wider
    assert grey(view, "axial", 0.1, 0.1) == pytest.approx(255 * 500 / 600, abs=2)
    assert places(view) == {"axial": 17, "coronal": 13, "sagittal": 11}


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
    for key, layer in LAYERS.items():
        press(view, key)
        assert not find(view, f'[data-layer="{layer}"]').is_selected()
    width = canvas(view, "sagittal").size["width"]
    press(view, "e")
    assert canvas(view, "sagittal").size["width"] > width
    assert not canvas(view, "axial").is_displayed()
    press(view, "e")
    assert canvas(view, "axial").is_displayed()
    ActionChains(view).double_click(canvas(view, "coronal")).perform()
    assert [canvas(view, plane).is_displayed() for plane in PLANES] == [False, True, False]
    ActionChains(view).double_click(canvas(view, "coronal")).perform()
    assert all(canvas(view, plane).is_displayed() for plane in PLANES)
    press(view, "r")
    wait_until_shown(view)
    assert places(view) == at
    assert text(view, "window") == "−160 to 240 HU"
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
    assert find(view, "tr.chosen a").text == "better"
    for name in ("next", "back"):
        find(view, f'[data-part="{name}"]').click()
        wait_until_shown(view)
        assert text(view, "rank") == {"next": "1 of 2, worst first", "back": "2 of 2, worst first"}[name]


def test_keys_are_left_alone_where_they_mean_something_else(view):
    at = places(view)
    view.execute_script("scrollTo(0, 0); document.activeElement.blur()")
    ActionChains(view).move_to_element(find(view, "h1")).perform()
    press(view, Keys.ARROW_UP)  # the page scrolls
    ActionChains(view).key_down(Keys.CONTROL).send_keys("i").key_up(Keys.CONTROL).perform()
    assert places(view) == at
    assert find(view, '[data-layer="image"]').is_selected()


@pytest.mark.parametrize("width", [1400, 800, 390])
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
        if width == 390:  # one below the other, each as wide as a telephone lets it be
            tops = [canvas(view, plane).rect["y"] for plane in PLANES]
            assert tops == sorted(set(tops))
            assert max(canvas(view, plane).rect["width"] for plane in PLANES) > 250
    finally:
        view.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_leaves_the_page_and_no_name_does_harm(view):
    for log in ("browser", "performance"):
        view.get_log(log)  # what earlier tests left
    view.refresh()
    wait_until_shown(view)
    assert text(view, "name") == f"{EVIL}, mean Dice 0.375"
    press(view, "n")
    wait_until_shown(view)
    assert EVIL in find(view, "main").text
    assert EVIL_ORGAN in find(view, '[data-part="organs"]').text
    assert view.execute_script("return window.hacked") is None
    assert complaints(view) == []
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
    assert complaints(view) != []  # the browser says so, too


@pytest.fixture(scope="module")
def illustrated(classified, tmp_path_factory) -> Path:
    """A classification whose system draws a rectangle on half of a picture, and moves it."""
    run = shutil.copytree(classified, tmp_path_factory.mktemp("illustrated") / "run")
    rectangle = '<rect x="5" y="2" width="5" height="3"><animate attributeName="y" values="2;3" dur="1s"/></rect>'

    def illustrate(network, x):
        return [Illustration("where it looked", np.full((8, 10), 99, np.uint8), rectangle)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.systems.resnet.illustrate", illustrate, raising=False)
        return write_report(run)


def places_in_svg(browser, seconds: float) -> list[float]:
    """Left, top, width and height of the first rectangle at a time, as parts of its illustration."""
    start = "const svg = document.querySelector('.illustrations svg'); svg.pauseAnimations();"
    browser.execute_script(f"{start} svg.setCurrentTime({seconds})")
    settle(browser)
    return browser.execute_script(
        """const svg = document.querySelector(".illustrations svg"), all = svg.getBoundingClientRect();
        const own = svg.querySelector("rect").getBoundingClientRect();
        return [(own.x - all.x) / all.width, (own.y - all.y) / all.height,
                own.width / all.width, own.height / all.height]"""
    )


def test_an_illustration_lies_on_its_picture_and_moves(browser, illustrated):
    browser.get_log("browser")
    browser.get(illustrated.as_uri())
    inside = [places_in_svg(browser, seconds) for seconds in (0, 0.5)]
    assert inside[0] == pytest.approx([0.5, 2 / 8, 0.5, 3 / 8], abs=0.02)
    assert inside[1] == pytest.approx([0.5, 2.5 / 8, 0.5, 3 / 8], abs=0.02)
    size = find(browser, ".illustrations image").rect
    assert [size["width"], size["height"]] == pytest.approx([224, 179], abs=1)
    assert complaints(browser) == []  # the page's policy has nothing against it
