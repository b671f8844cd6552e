"""`make docs`: the site is built without a warning, fetches nothing from elsewhere, is searched without a server."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from doc_scripts import load_doc_script

pytest.importorskip("mkdocs", reason="mkdocs is not installed (pip install saccade[docs])")
pytest.importorskip("material", reason="mkdocs-material is not installed (pip install saccade[docs])")
pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the site, and what was said while it was built."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    made = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return folder, made.stdout + made.stderr


@pytest.fixture(scope="module")
def site(built: tuple[Path, str]) -> Path:
    return built[0]


class References(HTMLParser):
    """What a page loads by itself, and where its links lead."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if name in ("src", "href", "data", "srcset") and value}
        (self.links if tag == "a" else self.loaded).extend(found.values())


def test_it_is_built_without_a_warning(built: tuple[Path, str]) -> None:
    _, said = built
    assert [line for line in said.splitlines() if not line.startswith("INFO")] == []


def test_pages_load_nothing_from_elsewhere_and_all_that_they_load_is_there(site: Path) -> None:
    pages = [*site.rglob("*.html")]
    assert len(pages) > 30
    for page in pages:
        for target in References(page).loaded:
            assert not urlsplit(target).scheme, f"{page.name} loads {target}"
            if not target.startswith("/"):  # 404.html is served from anywhere, so its paths begin at the root
                assert (page.parent / unquote(urlsplit(target).path)).exists(), f"{page.name}: {target}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_links_to_files_outside_docs_lead_to_their_copies(site: Path) -> None:
    index, readme = References(site / "index.html").links, References(site / "readme.html").links
    assert {"readme.html", "readme.html#results", "changelog.html", "contributing.html"} <= {*index}
    records = {f"evidence/{path.name}" for path in (ROOT / "evidence").glob("*.json")}
    assert records | {"licence.txt", "comparing.html"} <= {*readme}
    for path in records:
        assert (site / path).read_bytes() == (ROOT / path).read_bytes()
    assert (site / "licence.txt").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_menu_has_four_shelves() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert [next(iter(shelf)) for shelf in config["nav"]] == ["Home", "Tutorials", "How to", "Reference", "Explanation"]


@pytest.mark.parametrize(
    ("page", "link", "on_the_site"),
    [
        ("data.md", "../README.md#results", "readme.md#results"),
        ("foundations/cost.md", "../../CHANGELOG.md", "../changelog.md"),
        ("foundations/cost.md", "../images/abdomen.png", "../images/abdomen.png"),
        ("readme.md", "docs/data.md#what-shortcuts-score", "data.md#what-shortcuts-score"),
        ("readme.md", "evidence/unet.json", "evidence/unet.json"),
        ("unet.md", "../evidence/unet.json", "evidence/unet.json"),
        ("data.md", "https://arxiv.org/abs/1505.04597", "https://arxiv.org/abs/1505.04597"),
        ("data.md", "#a-heading", "#a-heading"),
        ("data.md", "../src/saccade/runs.py", "../src/saccade/runs.py"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(page: str, link: str, on_the_site: str) -> None:
    one = SimpleNamespace(file=SimpleNamespace(src_uri=page), meta={})
    turned = load_doc_script("site_hooks").on_page_markdown(f"See [there]({link}).", page=one, config=None, files=None)
    assert turned == f"See [there]({on_the_site})."


@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with chromedriver is installed")
def test_pages_from_disk_are_searched(site: Path) -> None:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install saccade[dev])")
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    view = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        view.set_window_size(1280, 900)
        view.get((site / "foundations" / "cost.html").as_uri())
        box = view.find_element(By.CSS_SELECTOR, "input.md-search__input")
        box.click()
        box.send_keys("checkerboard")
        found = WebDriverWait(view, 20).until(lambda _: view.find_elements(By.CSS_SELECTOR, "a.md-search-result__link"))
        assert "foundations/transposed-convolution.html" in found[0].get_attribute("href")
    finally:
        view.quit()
