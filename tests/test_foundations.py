"""The pictures of docs/foundations are those that the code of its pages gives."""

import re
from pathlib import Path

import numpy as np
import pytest
from blocks import DOCS
from doc_scripts import load_doc_script
from PIL import Image

IMAGES = DOCS / "images"
MOST_BYTES = 120_000


pictures = load_doc_script("picture_foundations")


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=float)


def test_pages_show_every_picture_that_is_drawn_and_no_other() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "foundations").glob("*.md"))
    shown = re.findall(r"\]\(\.\./images/(foundations-[a-z-]+\.png)\)", pages)
    drawn = [f"foundations-{name}.png" for name in (*pictures.OF_A_SCAN, *pictures.PICTURES)]
    assert sorted(shown) == sorted(drawn) == sorted(path.name for path in IMAGES.glob("foundations-*"))


def test_pictures_are_small_files() -> None:
    assert {
        path.name: size for path in IMAGES.glob("foundations-*") if (size := path.stat().st_size) > MOST_BYTES
    } == {}


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_picture_is_the_one_that_its_page_gives(name: str, tmp_path: Path) -> None:
    pictures.draw_all(tmp_path, names=[name])
    now, kept = (pixels(folder / f"foundations-{name}.png") for folder in (tmp_path, IMAGES))
    assert now.shape == kept.shape
    other = np.abs(now - kept).max(-1) > 64
    assert other.mean() < 0.01  # a later matplotlib may move an edge


@pytest.mark.parametrize("name", pictures.OF_A_SCAN)
def test_picture_of_a_scan_is_drawn(name: str, tmp_path: Path) -> None:
    pictures.draw_all(tmp_path, size="small", names=[name])
    drawn = pixels(tmp_path / f"foundations-{name}.png")
    assert drawn.shape[1] == pixels(IMAGES / f"foundations-{name}.png").shape[1]
    assert len(np.unique(drawn)) > 50


def test_layer_that_costs_more_is_drawn_above() -> None:
    costs = pictures.run_page("cost")["costs"](32)
    assert costs["convolution"][1] < costs["attention"][1] < costs["full"][1]
    assert costs["convolution"] == (16 * 16 * 9, 16 * 16 * 9 * 32 * 32)
    assert costs["full"] == ((16 * 32 * 32) ** 2, (16 * 32 * 32) ** 2)
