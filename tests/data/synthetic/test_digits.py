"""Digits on canvases: whole, where the table says, from sources that even and odd seeds do not share."""

import csv
from pathlib import Path

import numpy as np
import pytest
from image_sets import idx

from saccade.cli.main import main
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.synthetic.digits import make_scattered, source_digits
from saccade.errors import InputError


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    with np.load(folder / "digits.npz") as file:
        images, labels = file["images"], file["labels"]
    with (folder / "truth" / "places.csv").open(encoding="utf-8") as file:
        places = [(int(row["row"]), int(row["column"])) for row in csv.DictReader(file)]
    return images, labels[:, 0], places


def as_bytes(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def mnist(root: Path, parts: tuple[str, ...], count: int = 30) -> Path:
    """Pictures that are all different, with as many labels."""
    for number, part in enumerate(parts):
        images = np.random.default_rng(number).integers(1, 256, (count, 28, 28)).astype(np.uint8)
        idx(root / f"{part}-images-idx3-ubyte.gz", images)
        idx(root / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8))
    return root


def test_even_and_odd_seeds_share_no_digit_and_together_have_them_all() -> None:
    (train, train_labels), (test, test_labels) = source_digits(0), source_digits(1)
    assert (len(train), len(test)) == (1438, 359)
    assert not as_bytes(train) & as_bytes(test)
    assert np.array_equal(
        np.bincount(train_labels) + np.bincount(test_labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    )
    assert np.array_equal(source_digits(6)[0], train)
    assert np.array_equal(source_digits(7)[0], test)
    assert train[:, :4].max() == train[:, :, 24:].max() == 0  # a rim of four pixels, as in MNIST
    assert train.max() == 255


def test_enlarged_digits_are_still_the_digits() -> None:
    from sklearn.datasets import load_digits

    found = load_digits()
    images, labels = source_digits(0)
    small = images[:, 4:24, 4:24].reshape(-1, 10, 2, 10, 2).mean((2, 4)).reshape(len(images), -1)
    reference = (
        np.kron(found.images, np.ones((1, 5, 5))).reshape(-1, 10, 4, 10, 4).mean((2, 4)).reshape(len(found.images), -1)
    )
    nearest = ((small[:100, None] / 255 * 16 - reference[None]) ** 2).sum(-1).argmin(1)
    assert np.array_equal(found.target[nearest], labels[:100])


def test_of_files_with_both_parts_of_mnist_even_seeds_train_and_odd_ones_test(tmp_path) -> None:
    both = mnist(tmp_path / "both", ("train", "t10k"))
    first = np.random.default_rng(0).integers(1, 256, (30, 28, 28)).astype(np.uint8)
    assert as_bytes(source_digits(2, both)[0]) == as_bytes(first)
    assert not as_bytes(source_digits(3, both)[0]) & as_bytes(first)
    one = mnist(tmp_path / "one", ("t10k",))
    assert (len(source_digits(0, one)[0]), len(source_digits(1, one)[0])) == (24, 6)
    assert as_bytes(source_digits(0, one / "t10k-images-idx3-ubyte.gz")[0]) == as_bytes(source_digits(0, one)[0])


@pytest.mark.parametrize("pieces", [0, 4])
def test_each_digit_is_whole_where_the_table_says_and_has_its_label(tmp_path, pieces) -> None:
    make_scattered(tmp_path, cases=40, seed=1, canvas=43, pieces=pieces)
    images, labels, places = load(tmp_path)
    sources, names = source_digits(1)
    of = {image.tobytes(): int(name) for image, name in zip(sources, names, strict=True)}
    for image, label, (row, column) in zip(images, labels, places, strict=True):
        there = image[row : row + 28, column : column + 28]
        if pieces == 0:
            assert of[there.tobytes()] == label
            assert image.sum() == there.sum()
        else:
            assert any((there >= source).all() for source in sources[names == label])
    assert len(set(places)) > 30
    assert {min(place) for place in places} & {0, 1, 2}
    assert max(max(place) for place in places) <= 43 - 28


def test_pieces_are_added_and_change_nothing_else(tmp_path) -> None:
    make_scattered(tmp_path / "plain", cases=20, seed=4, canvas=60)
    make_scattered(tmp_path / "pieces", cases=20, seed=4, canvas=60, pieces=8)
    plain, labels, places = load(tmp_path / "plain")
    cluttered, same_labels, same_places = load(tmp_path / "pieces")
    assert np.array_equal(labels, same_labels)
    assert places == same_places
    assert (cluttered >= plain).all()
    changed = (cluttered > plain).sum((1, 2))
    assert changed.min() > 0
    assert changed.max() <= 8 * 64


def test_the_same_seed_gives_the_same_bytes_however_many_there_are(tmp_path) -> None:
    for name, cases in (("a", 12), ("b", 12), ("short", 5)):
        make_scattered(tmp_path / name, cases=cases, seed=3, canvas=40)
    for file in ("digits.npz", "truth/places.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert np.array_equal(load(tmp_path / "a")[0][:5], load(tmp_path / "short")[0])
    make_scattered(tmp_path / "other", cases=12, seed=5, canvas=40)
    assert not np.array_equal(load(tmp_path / "a")[0], load(tmp_path / "other")[0])


def test_the_paper_s_sets_are_made_from_the_command_line(tmp_path, capsys) -> None:
    files = mnist(tmp_path / "mnist", ("t10k",))
    for kind, options, side in (
        ("digits-translated", [], 60),
        ("digits-cluttered", [], 100),
        ("digits-cluttered", ["--canvas", "60", "--digits", str(files)], 60),
    ):
        out = tmp_path / f"{kind}{side}"
        assert main(["data", "make", kind, str(out), "--cases", "20", *options]) == 0
        assert f"{out}: 20 cases (image_00000 to image_00019)." in capsys.readouterr().out
        assert load(out)[0].shape == (20, side, side)
        assert main(["data", "check", str(out)]) == 0
        assert "npz, 20 cases (20 labelled;" in capsys.readouterr().out
        assert [case.id for case in find_image_dataset(out).cases][-1] == "image_00019"


def test_the_number_of_pieces_is_the_papers_unless_told(tmp_path, monkeypatch) -> None:
    from saccade.data.synthetic import digits_cluttered

    asked = []

    def note(out, **given) -> list[str]:
        asked.append(given["pieces"])
        return []

    monkeypatch.setattr(digits_cluttered, "make_scattered", note)
    for options in ({}, {"canvas": 60}, {"pieces": 0}, {"canvas": 60, "pieces": 11}):
        digits_cluttered.make(tmp_path, cases=1, seed=0, **options)
    assert asked == [8, 4, 0, 11]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--canvas", "20"], "--canvas: must be at least 28 pixels, a digit's side, got 20."),
        (["--digits", "nowhere"], "nowhere: there is no such file or folder."),
        (["--pieces", "-1"], "digits: must be 1 case or more and 0 pieces or more, got 1000 and -1."),
        (
            ["--size", "small"],
            "saccade data make: digits-cluttered has no --size; it takes --cases, --seed, --canvas, --digits, "
            "--pieces.",
        ),
    ],
)
def test_what_cannot_be_made_is_one_line(options, message, tmp_path, capsys) -> None:
    assert main(["data", "make", "digits-cluttered", str(tmp_path / "out"), *options]) == 2
    assert capsys.readouterr().err == f"saccade: {message}\n"
    assert not (tmp_path / "out").exists()


def test_files_that_hold_no_digits_are_refused(tmp_path) -> None:
    small = tmp_path / "small"
    idx(small / "t10k-images-idx3-ubyte", np.zeros((5, 9, 9), np.uint8))
    idx(small / "t10k-labels-idx1-ubyte", np.arange(5).astype(np.uint8))
    with pytest.raises(InputError, match=r"^--digits: must be pictures of 28 x 28 bytes, got uint8 \(9, 9\)\.$"):
        source_digits(0, small)
    np.savez(tmp_path / "set.npz", images=np.zeros((5, 28, 28), np.uint8), labels=np.arange(5))
    with pytest.raises(InputError, match=r"^--digits: must be MNIST's idx files, got .*set\.npz with npz\.$"):
        source_digits(0, tmp_path / "set.npz")
