"""Distorted digits: where the truth says, as far as asked, the same for the same seed, and no easy prey."""

import csv
import math

import numpy as np
import pytest
from image_sets import idx

from saccade.cli.main import main
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.synthetic.class_shortcuts import class_shortcuts
from saccade.data.synthetic.digits_distorted import DISTORTIONS, Distortion, distort, make


def dots(*places: tuple[int, int]) -> np.ndarray:
    """A digit of bright dots."""
    digit = np.zeros((28, 28), np.uint8)
    for row, column in places:
        digit[row - 1 : row + 2, column - 1 : column + 2] = 250
    return digit


def centres(picture: np.ndarray, count: int) -> np.ndarray:
    """Where the brightest separate spots are, row and column from the upper left corner, from top to bottom."""
    from scipy.ndimage import center_of_mass, label

    marks, found = label(picture > 20)
    assert found == count
    return np.array(center_of_mass(picture, marks, range(1, found + 1))) + 0.5


def read(folder) -> tuple[np.ndarray, np.ndarray, list[dict[str, str]]]:
    with np.load(folder / "digits.npz") as file:
        images, labels = file["images"], file["labels"][:, 0]
    with (folder / "truth" / "places.csv").open(newline="") as file:
        return images, labels, list(csv.DictReader(file))


@pytest.mark.parametrize("seed", range(4))
def test_a_dot_is_where_the_place_says(seed) -> None:
    picture, place = distort(dots((8, 18)), DISTORTIONS["rts"], np.random.default_rng(seed))
    # The dot's centre lies 5.5 rows above and 4.5 columns right of the digit's middle; turned against the clock.
    up, right, angle = 14 - 8.5, 18.5 - 14, math.radians(place.degrees)
    x = place.scale * (right * math.cos(angle) - up * math.sin(angle))
    y = place.scale * (right * math.sin(angle) + up * math.cos(angle))
    np.testing.assert_allclose(centres(picture, 1), [[place.row - y, place.column + x]], atol=0.15)


def test_ranges_are_used_and_kept() -> None:
    places = [distort(dots((14, 14)), DISTORTIONS["rts"], np.random.default_rng(seed))[1] for seed in range(200)]
    for name, low, high in (("degrees", -45, 45), ("scale", 0.7, 1.2)):
        values = [getattr(place, name) for place in places]
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high
    for place in places:
        assert 14 * place.scale <= place.row <= 42 - 14 * place.scale
    assert max(place.column for place in places) > 30


def test_seen_at_an_angle_what_was_straight_stays_straight_and_bent_it_does_not() -> None:
    line = dots((14, 5), (14, 11), (14, 17), (14, 23))

    def off_line(how: Distortion) -> list[float]:
        found = []
        for seed in range(12):
            rows, columns = centres(distort(line, how, np.random.default_rng(seed))[0], 4).T
            fit = np.polyfit(columns, rows, 1)
            found.append(float(np.abs(rows - np.polyval(fit, columns)).max()))
        return found

    def steps(how: Distortion) -> float:
        """How unequal equal steps become."""
        columns = [sorted(centres(distort(line, how, np.random.default_rng(s))[0], 4)[:, 1]) for s in range(12)]
        return float(np.max([np.ptp(np.diff(places)) for places in columns]))

    assert max(off_line(Distortion(42, corners=3.0))) < 0.35
    assert steps(Distortion(42, corners=3.0)) > 0.5 > steps(Distortion(42, degrees=20.0)) + 0.1
    assert max(off_line(Distortion(42, bend=1.5))) > 0.8


def test_pieces_of_other_digits_lie_about(tmp_path) -> None:
    clear = Distortion(60)
    make(tmp_path, cases=6, seed=4, distortion="cluttered")
    images, _, places = read(tmp_path)
    assert images.shape == (6, 60, 60)
    for image, place in zip(images, places, strict=True):
        row, column = (round(float(place[name])) for name in ("row", "column"))
        outside = image.copy()
        outside[max(0, row - 15) : row + 15, max(0, column - 15) : column + 15] = 0
        assert 60 < (outside > 30).sum() < 16 * 36
    assert (distort(dots((14, 14)), clear, np.random.default_rng(0))[0] > 0).sum() < 17


def test_the_same_seed_the_same_bytes_and_cases_do_not_depend_on_how_many(tmp_path) -> None:
    said = []
    for folder, cases, seed in (("a", 5, 2), ("b", 5, 2), ("c", 3, 2), ("d", 5, 4)):
        ids = make(tmp_path / folder, cases=cases, seed=seed, progress=lambda *done: said.append(done))
        assert [case.id for case in find_image_dataset(tmp_path / folder).cases] == ids
    assert said[:5] == [(n, 5) for n in range(1, 6)]
    first, again, fewer, other = (tmp_path / folder for folder in "abcd")
    for file in ("digits.npz", "truth/places.csv"):
        assert (first / file).read_bytes() == (again / file).read_bytes()
    np.testing.assert_array_equal(read(first)[0][:3], read(fewer)[0])
    assert (read(first)[0] != read(other)[0]).any()


def test_digits_of_mnist_and_what_cannot_be_made(tmp_path, capsys) -> None:
    digits = np.stack([dots((6 + n, 20 - n)) for n in range(10)])
    idx(tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz", digits)
    idx(tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz", np.arange(10, dtype=np.uint8))
    words = ["data", "make", "digits-distorted", str(tmp_path / "made"), "--cases", "20", "--seed", "0"]
    assert main([*words, "--distortion", "elastic", "--digits", str(tmp_path / "mnist")]) == 0
    images, labels, _ = read(tmp_path / "made")
    assert images.shape == (20, 28, 28)
    assert len(set(labels.tolist())) > 4
    for image, label in zip(images, labels, strict=True):
        row, column = centres(image, 1)[0]
        assert abs(row - 6.5 - label) + abs(column - 20.5 + label) < 9
    assert main(["data", "check", str(tmp_path / "made")]) == 0
    capsys.readouterr()
    assert main([*words, "--distortion", "elastics"]) == 2
    assert "--distortion: unknown distortion 'elastics'. Did you mean 'elastic'?" in capsys.readouterr().err


def test_shortcuts_do_not_find_out(tmp_path) -> None:
    for seed, cases in ((0, 500), (1, 250)):
        make(tmp_path / str(seed), cases=cases, seed=seed, distortion="rts")
    scores = class_shortcuts(tmp_path / "0", tmp_path / "1")
    assert max(scores.values()) < 0.45, scores
