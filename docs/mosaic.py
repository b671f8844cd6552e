"""Figures side by side in one picture file, each under its title."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from saccade.explain.render import encode
from saccade.files import atomic

DPI = 100
MOST_BYTES = 150_000
_GAP, _STRIP, _LETTERS = 8, 24, 14  # pixels: between tiles, height of a title, size of its letters
_PAPER, _INK = "white", "#20242a"


def save_mosaic(path: Path, rows: Sequence[Sequence[tuple[str, Figure]]], *, heights: Sequence[int]) -> None:
    """Write rows of titled figures, each of its height in pixels (the last one for all that follow), as JPEG or PNG.

    Raises:
        ValueError: If the file would have more than 150 kB.
    """
    all_heights = [heights[min(number, len(heights) - 1)] for number in range(len(rows))]
    lines = [
        [(title, _tile(figure, high)) for title, figure in row] for row, high in zip(rows, all_heights, strict=True)
    ]
    width = max(sum(tile.width + _GAP for _, tile in line) for line in lines) + _GAP
    page = Image.new("RGB", (width, sum(all_heights) + len(lines) * (_STRIP + _GAP)), _PAPER)
    pen, letters = ImageDraw.Draw(page), ImageFont.load_default(_LETTERS)
    top = 0
    for line, high in zip(lines, all_heights, strict=True):
        left = (width - sum(tile.width + _GAP for _, tile in line) + _GAP) // 2
        for title, tile in line:
            page.paste(tile, (left, top + _STRIP))
            pen.text((left + tile.width / 2, top + _STRIP / 2), title, fill=_INK, font=letters, anchor="mm")
            left += tile.width + _GAP
        top += _STRIP + high + _GAP
    content = _encoded(page, path.suffix)
    if len(content) > MOST_BYTES:
        raise ValueError(
            f"{path.name}: must be at most {MOST_BYTES} bytes, got {len(content)}. Make its tiles smaller."
        )
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def _tile(figure: Figure, height: int) -> Image.Image:
    """A figure as an image of this height; letters keep their size, whatever that does to the figure."""
    wide, high = figure.get_size_inches()
    figure.set_size_inches(wide * height / DPI / high, height / DPI)
    return Image.open(io.BytesIO(encode(figure, dpi=DPI))).convert("RGB")


def _encoded(page: Image.Image, suffix: str) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".png":
        page.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    else:
        page.save(buffer, "JPEG", quality=85, optimize=True)
    return buffer.getvalue()
