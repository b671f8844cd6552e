"""What a reader of a report does in a browser, and what is seen then."""

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PLANES = ("axial", "coronal", "sagittal")
LAYERS = {"i": "image", "t": "truth", "p": "prediction", "a": "attention", "x": "crosshair"}  # by key


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
    """The brightest red of 3 x 3 pixels around a place of a plane, given as parts of width and height."""
    settle(view)
    code = """const [c, x, y] = arguments;
        const {data} = c.getContext("2d").getImageData(x * c.width - 1, y * c.height - 1, 3, 3);
        return Math.max(...data.filter((_, n) => n % 4 === 0))"""
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


def only(view, *layers: str) -> None:
    """Switch all other layers off."""
    for layer in set(LAYERS.values()) - set(layers):
        find(view, f'[data-layer="{layer}"]').click()


def slide(view, **places: int) -> None:
    for plane, place in places.items():
        code = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        view.execute_script(code, find(view, f'[data-plane="{plane}"] input'), place)


def extent(view, plane: str, act) -> list[float]:
    """Where an act changes a plane: left, top, right and bottom as parts of its size."""
    read = "const c = arguments[0], now = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
    settle(view)
    view.execute_script(read + "window.before = now", canvas(view, plane))
    act()
    settle(view)
    code = """let [left, top, right, bottom] = [1, 1, 0, 0];
        for (let n = 0; n < now.length; n++) {
            if (now[n] === before[n]) continue;
            const x = ((n >> 2) % c.width) / c.width, y = Math.floor((n >> 2) / c.width) / c.height;
            [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
        }
        return [left, top, right, bottom]"""
    return view.execute_script(read + code, canvas(view, plane))
