"""Pictures, tables, archives and MNIST files in which anything may be damaged: an answer or one clear line."""

import io
import shutil
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from damage import BYTE_EDITS, WHOLE, with_bytes
from fuzzing import bounded, command, fuzz, written
from hypothesis import given
from hypothesis import strategies as st
from image_sets import idx, picture
from PIL import Image

from saccade.data.classification.read import MOST_PIXELS, read_image
from saccade.errors import InputError

FORMATS = ("grey.png", "colour.png", "palette.png", "deep.png", "grey.jpg", "colour.jpg", "grey.bmp")


@pytest.fixture(scope="module", autouse=True)
def _no_hang() -> Iterator[None]:
    with bounded(120):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@cache
def picture_bytes(name: str, seed: int = 0) -> bytes:
    """A small picture as a file of that kind."""
    grey, file = picture(seed, bool(seed % 2)), io.BytesIO()
    kinds = {"colour": picture(seed, bool(seed % 2), (13, 11, 3)), "deep": grey.astype(np.uint16) * 200}
    image = Image.fromarray(kinds.get(name.split(".")[0], grey))
    suffix = name.split(".")[1].replace("jpg", "jpeg")
    (image.convert("P") if name.startswith("palette") else image).save(file, suffix)
    return file.getvalue()


@given(st.sampled_from(FORMATS), BYTE_EDITS, BYTE_EDITS)
@fuzz(150)
def test_pictures(folder, name, head, edits) -> None:
    path = folder / name
    path.write_bytes(with_bytes(with_bytes(picture_bytes(name), head, 60), edits))
    with written() as said:
        try:
            array = read_image(path).array
        except InputError as error:
            array, line = None, str(error)
    assert said == []
    if array is None:
        assert line.startswith(f"{path}: ")
        assert len(line.splitlines()) == 1
        assert len(line) < len(str(path)) + 200
        assert head or edits
        return
    assert array.shape[-1] in (1, 3)
    assert 0 < array.size <= 3 * MOST_PIXELS
    if not head and not edits and not name.endswith("jpg"):  # JPEG loses something
        with Image.open(path) as file:
            kept = np.asarray(file.convert("RGB") if name.startswith("palette") else file)
        np.testing.assert_array_equal(array, kept.reshape(array.shape))


# data check -----------------------------------------------------------------------------------------------------------


def check(root: Path, *more: str) -> None:
    """Faults are the answer and no error; what is no data set at all is one line."""
    for form in ([], ["--json"]):
        code, err = command("data", "check", root, *form, *more)
        assert code in (0, 2)
        assert len(err) <= 1
        assert code == 2 or not err
        assert all(line.startswith("saccade: ") for line in err)


def fresh(folder: Path) -> Path:
    root = folder / "set"
    shutil.rmtree(root, ignore_errors=True)
    for number in range(4):
        path = root / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture_bytes("grey.png", number))
    return root


@given(st.sampled_from(FORMATS), BYTE_EDITS, st.sampled_from(["cat/x", "cat/0", "owl/x", "train/cat/x", "x"]))
@fuzz(25)
def test_class_folders(folder, name, edits, where) -> None:
    root = fresh(folder)
    path = (root / where).with_suffix(Path(name).suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(with_bytes(picture_bytes(name), edits))
    check(root)


TABLE = [["path", "label", "split", "patient"], *([f"{n}.png", "ab"[n % 2], "train", f"p{n}"] for n in range(4))]
CELLS = (
    "", "nan", "inf", "-1", "1e308", "0.5", '"', '""', "a\nb", "a;b", "\0", ".", "..", "/", "/dev/zero", "../0.png",
    "0.png", "0", "path", "label", "class", "id", "images", "0.nii.gz", "é" * 300, "\ud7ff", "test", "val", "trian",
    "[bold]",
)  # fmt: skip
CELL_EDITS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from(CELLS)), max_size=4)


@given(
    CELL_EDITS, BYTE_EDITS, st.sampled_from(",;\t"), st.sampled_from([[], ["--columns", "label"], ["--columns", ""]])
)
@fuzz(40)
def test_tables(folder, cells, edits, between, more) -> None:
    root = folder / "table"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for number in range(4):
        (root / f"{number}.png").write_bytes(picture_bytes("grey.png", number))
    rows = [list(row) for row in TABLE]
    for row, column, text in cells:
        rows[row][column] = text
    content = "\n".join(between.join(row) for row in rows).encode()
    (root / "cases.csv").write_bytes(with_bytes(content, edits))
    check(root, *more)
    check(root / "cases.csv", *more)


ARRAYS = (
    np.zeros((4, 5, 7), np.uint8), np.arange(140.0).reshape(4, 5, 7), np.full((4, 5, 7, 3), np.nan), np.zeros(4),
    np.zeros((0, 5, 7)), np.zeros((4, 0, 7)), np.zeros(()), np.zeros((4, 5, 7), complex), np.array([["a"]] * 4),
    np.array([[1.0], [np.nan], [0], [1]]), np.array([[0, 1], [1, 0], [1, 1], [0, 0]]), np.array([2**63] * 4, np.uint64),
    np.array([{}] * 4, object), np.zeros(4, [("x", int)]), np.zeros((4, 1), "M8[s]"), np.zeros((4, 2, 2, 2, 2, 2)),
    np.arange(4, dtype=">i4"), np.zeros((4, 5, 7), bool),
)  # fmt: skip
MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(["train_images", "train_labels", "val_images", "val_labels", "images", "labels", "x"]),
        st.integers(0, len(ARRAYS) - 1),
        BYTE_EDITS,
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda member: member[0],
)


def npy_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


@given(MEMBERS, BYTE_EDITS)
@fuzz(50)
def test_archives(folder, members, edits) -> None:
    root, file = folder / "packed", io.BytesIO()
    root.mkdir(exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for name, number, damage in members:
            archive.writestr(f"{name}.npy", with_bytes(npy_bytes(ARRAYS[number]), damage, 128))
    (root / "set.npz").write_bytes(with_bytes(file.getvalue(), edits))
    check(root)
    check(root / "set.npz", "--task", "classification")


LENGTHS = st.tuples(st.integers(2, 15), st.sampled_from([number % 2**32 for number in WHOLE]))


@given(st.booleans(), BYTE_EDITS, st.lists(LENGTHS, max_size=1), BYTE_EDITS)
@fuzz(30)
def test_mnist_files(folder, zipped, head, lengths, edits) -> None:
    root, suffix = folder / "mnist", ".gz" if zipped else ""
    shutil.rmtree(root, ignore_errors=True)
    images = idx(root / "train-images-idx3-ubyte", np.stack([picture(n, n % 2 == 0) for n in range(4)]))
    idx(root / f"train-labels-idx1-ubyte{suffix}", np.arange(4, dtype=np.uint8) % 2)
    content = with_bytes(images.read_bytes(), head, 16)
    for place, number in lengths:
        content = content[:place] + number.to_bytes(4, "big") + content[place + 4 :]
    images.unlink()
    path = root / f"train-images-idx3-ubyte{suffix}"
    if zipped:
        import gzip

        content = gzip.compress(content, mtime=0)
    path.write_bytes(with_bytes(content, edits))
    check(root)
    check(path, "--task", "classification")
