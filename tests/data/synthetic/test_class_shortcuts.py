"""Each shortcut finds the leak that it is made for, and none where there is none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.data.synthetic.class_shortcuts import class_shortcuts
from saccade.errors import InputError

SIZE, EACH = 16, 30


def write(root: Path, seed: int, leak: str) -> Path:
    """Noise in two classes, with one kind of difference between them."""
    generator = np.random.default_rng(seed)
    for number, name in enumerate(("one", "two")):
        for case in range(EACH):
            image = generator.normal(120, 20, (SIZE, SIZE))
            if leak == "brightness":
                image += 20 * number
            elif leak == "histogram":  # same mean and spread, two values in place of many
                image = 120 + 20 * np.sign(image - 120) if number else image
            elif leak == "place":
                image[2 + 6 * number, 3:7] += 90
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / name / f"{case:02d}.png")
    return root


@pytest.mark.parametrize(
    ("leak", "found"),
    [
        ("brightness", {"brightness", "histogram", "class mean", "coarse", "pixels"}),
        ("histogram", {"histogram"}),
        ("place", {"class mean", "coarse", "pixels"}),
        ("none", set()),
    ],
)
def test_shortcuts_find_what_they_are_made_for(tmp_path: Path, leak, found) -> None:
    scores = class_shortcuts(write(tmp_path / "train", 0, leak), write(tmp_path / "test", 1, leak))
    assert set(scores) == {"brightness", "histogram", "class mean", "coarse", "pixels"}
    assert {name for name, score in scores.items() if score > 0.85} == found, scores
    if leak == "none":
        assert max(scores.values()) < 0.75  # of 60


def test_images_of_several_sizes_are_refused(tmp_path: Path) -> None:
    train, test = write(tmp_path / "train", 0, "none"), write(tmp_path / "test", 1, "none")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(test / "one" / "small.png")
    with pytest.raises(InputError, match=r"test: shortcuts need images of one size, got 61 of several sizes"):
        class_shortcuts(train, test)
