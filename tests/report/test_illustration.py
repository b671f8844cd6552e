"""An illustration is a picture and shapes over it; nothing that could do something else gets through."""

import numpy as np
import pytest

from saccade.report.illustration import Illustration

PICTURE = np.zeros((4, 5), np.uint8)


@pytest.mark.parametrize(
    "overlay",
    [
        "",
        '<g opacity="0.3"><rect x="1" y="2" width="3" height="4" fill="none"/><text x="1" y="1">7</text></g>',
        '<path d="M0 0L3 4"/><circle cx="1" cy="1" r="1"><animate attributeName="cx" values="1;2" dur="2s"/></circle>',
    ],
)
def test_shapes_numbers_and_their_animation_are_taken(overlay) -> None:
    assert Illustration("title", PICTURE, overlay).overlay == overlay


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ("<script>alert(1)</script>", "overlay must be of g, rect, .*, got script"),
        ("<style>*{color:red}</style>", "got style"),
        ("<foreignObject/>", "got foreignObject"),
        ('<a href="https://localhost">1</a>', "got a"),
        ('<image href="https://localhost/a.png"/>', "got image"),
        ('<rect onclick="alert(1)"/>', r"overlay must not have onclick='alert\(1\)' in rect"),
        ('<rect style="fill:red"/>', "must not have style='fill:red' in rect"),
        ('<rect fill="URL(https://localhost/a)"/>', "must not have fill='URL"),
        ("<rect>", "overlay must be well-formed SVG elements"),
        ("</svg><script>alert(1)</script><svg>", "overlay must be well-formed SVG elements"),
    ],
)
def test_anything_else_is_refused(overlay, message) -> None:
    with pytest.raises(ValueError, match=f"^Illustration: .*{message}"):
        Illustration("title", PICTURE, overlay)


@pytest.mark.parametrize(
    ("picture", "got"),
    [
        (np.zeros((4, 5)), r"float64 of shape \(4, 5\)"),
        (np.zeros((4, 5, 4), np.uint8), r"uint8 of shape \(4, 5, 4\)"),
        (np.zeros((0, 5), np.uint8), r"uint8 of shape \(0, 5\)"),
        (np.zeros(5, np.uint8), r"uint8 of shape \(5,\)"),
    ],
)
def test_other_pictures_are_refused(picture, got) -> None:
    with pytest.raises(ValueError, match=f"^Illustration: picture must be uint8 .*, got {got}.$"):
        Illustration("title", picture)
