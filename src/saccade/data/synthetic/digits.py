"""Handwritten digits to build simulated pictures from: scikit-learn's, which are at hand, or MNIST's files."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8
from scipy.ndimage import zoom

from saccade.errors import InputError
from saccade.files import atomic, write_text

SIDE, INK = 28, 20  # pixels of a picture, and of the box in its middle that a digit fills, as in MNIST
PIECE = 8  # pixels of a side of a piece of another digit, as in the paper
LATER = 5  # odd seeds have one in so many of the digits, even seeds the others
_SHUFFLE = 14  # of the division between even and odd seeds; any number, but always the same


def source_digits(
    seed: int, path: Path | str | None = None
) -> tuple[UInt8[np.ndarray, "n 28 28"], Integer[np.ndarray, "n"]]:
    """The digits that a seed draws from, and what they are.

    Even and odd seeds share no digit: train on an even seed and test on an odd one. Even seeds have four fifths of the
    digits and odd ones the last fifth of a fixed shuffle; of a folder with both parts of MNIST even seeds have
    ``train`` and odd ones ``t10k``. Two even seeds have the same digits, but put them elsewhere.

    Args:
        seed: 0 or more.
        path: Folder of MNIST's idx files (gzipped or not), or one of images beside its labels; None for the 1,797
            digits of 8 x 8 pixels that come with scikit-learn, enlarged to MNIST's form.

    Raises:
        InputError: If the files are not there, are damaged, or hold pictures of another size than 28 x 28.
    """
    if path is None:
        images, labels = _bundled()
        parts = [""] * len(labels)
    else:
        images, labels, parts = _of_files(Path(path))
    if len(set(parts)) == 2:
        chosen = np.array(parts) == ("test" if seed % 2 else "train")
    else:
        order = np.random.default_rng(_SHUFFLE).permutation(len(labels))
        chosen = np.zeros(len(labels), bool)
        chosen[order[: len(order) // LATER]] = True
        chosen = chosen if seed % 2 else ~chosen
    return images[chosen], labels[chosen]


def _bundled() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    found = load_digits()
    factor = INK / found.images.shape[1]
    enlarged = zoom(found.images * (255 / 16), (1, factor, factor), order=3, grid_mode=True, mode="nearest")
    rim = (SIDE - INK) // 2
    images = np.pad(np.rint(enlarged.clip(0, 255)).astype(np.uint8), ((0, 0), (rim, rim), (rim, rim)))
    return images, found.target


def _of_files(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    from saccade.data.classification.case import Packed
    from saccade.data.classification.layouts import find_image_dataset
    from saccade.data.classification.packed import packed_array

    dataset = find_image_dataset(path)
    sources = [case.source for case in dataset.cases]
    if dataset.layout != "mnist":
        raise InputError(f"--digits: must be MNIST's idx files, got {path} with {dataset.layout}.")
    images = np.stack(
        [packed_array(source.path, source.member)[source.index] for source in sources if isinstance(source, Packed)]
    )
    if images.shape[1:] != (SIDE, SIDE) or images.dtype != np.uint8:
        raise InputError(f"--digits: must be pictures of {SIDE} x {SIDE} bytes, got {images.dtype} {images.shape[1:]}.")
    labels = np.array([int(case.values[0]) for case in dataset.cases])
    return images, labels, [case.split or "" for case in dataset.cases]


def make_scattered(
    out: Path,
    *,
    cases: int,
    seed: int,
    canvas: int,
    pieces: int = 0,
    digits: Path | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> list[str]:
    """Write ``digits.npz`` with ``images`` and ``labels``: a digit each, anywhere on an empty picture.

    What overlaps is as bright as its brightest part. ``truth/places.csv`` says where each digit is: the first row and
    column of its 28 x 28 pixels. A case does not depend on how many there are, and its digit and place not on pieces.

    Args:
        out: The folder; files of the same names are replaced.
        cases: How many.
        seed: Even for training, odd for testing; see `source_digits`.
        canvas: Pixels of a side.
        pieces: How many pieces of other digits, 8 x 8 pixels each, lie about, too.
        digits: As ``path`` of `source_digits`.
        progress: Called with (cases done, cases) after each.

    Returns:
        The ids of the cases, as the layout gives them.

    Raises:
        InputError: If the canvas is smaller than a digit, a number too small, or the digits cannot be used.
    """
    if canvas < SIDE:
        raise InputError(f"--canvas: must be at least {SIDE} pixels, a digit's side, got {canvas}.")
    if cases < 1 or pieces < 0:
        raise InputError(f"digits: must be 1 case or more and 0 pieces or more, got {cases} and {pieces}.")
    images, labels = source_digits(seed, digits)
    pictures, chosen = np.zeros((cases, canvas, canvas), np.uint8), np.zeros(cases, int)
    places = [("case", "row", "column")]
    ids = [f"image_{case:05d}" for case in range(cases)]
    for case, picture in enumerate(pictures):
        rng = np.random.default_rng([seed, case])
        chosen[case] = rng.integers(len(images))
        row, column = rng.integers(canvas - SIDE + 1, size=2).tolist()
        _put(picture, images[chosen[case]], row, column)
        places.append((ids[case], str(row), str(column)))
        for _ in range(pieces):
            scatter(picture, images[rng.integers(len(images))], PIECE, rng)
        if progress:
            progress(case + 1, cases)
    write_digits(out, pictures, labels[chosen], places)
    return ids


def scatter(
    picture: UInt8[np.ndarray, "rows columns"], other: UInt8[np.ndarray, "28 28"], size: int, rng: np.random.Generator
) -> None:
    """Lay a piece of another digit, from where there is ink, anywhere on a picture."""
    top, left = (SIDE - INK) // 2 + rng.integers(INK - size + 1, size=2)
    row, column = rng.integers(len(picture) - size + 1, size=2).tolist()
    _put(picture, other[top : top + size, left : left + size], row, column)


def write_digits(
    out: Path,
    pictures: UInt8[np.ndarray, "n rows columns"],
    labels: Integer[np.ndarray, "n"],
    places: Sequence[Sequence[str]],
) -> None:
    """Write ``digits.npz`` with pictures and labels, and ``truth/places.csv``, whose first row names its columns."""
    with atomic(out / "digits.npz") as path:
        np.savez_compressed(path, images=pictures, labels=labels[:, None].astype(np.uint8))
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(places)
    write_text(out / "truth" / "places.csv", table.getvalue())


def _put(picture: np.ndarray, part: np.ndarray, row: int, column: int) -> None:
    under = picture[row : row + part.shape[0], column : column + part.shape[1]]
    np.maximum(under, part, out=under)
