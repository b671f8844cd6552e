"""Every layout gives its cases, targets and parts; what does not fit ends in one line."""

import nibabel as nib
import numpy as np
import pytest
from image_sets import class_folders, graded, idx, medmnist, picture, save, table

from saccade.data.classification.case import Packed
from saccade.data.classification.layouts import find_image_dataset, is_image_dataset, scan_image_dataset
from saccade.data.classification.read import read_image
from saccade.errors import InputError


def test_class_folders_with_and_without_parts(tmp_path) -> None:
    plain = find_image_dataset(class_folders(tmp_path / "plain", 2))
    assert (plain.layout, plain.columns) == ("class folders", ("class",))
    assert [(case.id, case.values, case.split) for case in plain.cases] == [
        ("cat/00", ("cat",), None),
        ("cat/01", ("cat",), None),
        ("dog/00", ("dog",), None),
        ("dog/01", ("dog",), None),
    ]
    parted = find_image_dataset(class_folders(tmp_path / "parted", 1, ("train", "val")))
    assert [(case.id, case.split) for case in parted.cases] == [
        ("train/cat/00", "train"), ("train/dog/00", "train"),
        ("val/cat/00", "validation"), ("val/dog/00", "validation"),
    ]  # fmt: skip
    assert is_image_dataset(tmp_path / "plain")


def test_an_empty_class_and_two_images_of_one_name(tmp_path) -> None:
    root = class_folders(tmp_path / "set", 1)
    (root / "owl").mkdir()
    with pytest.raises(InputError) as error:
        find_image_dataset(root)
    assert str(error.value) == (
        f"{root}/owl: empty class: expected an image of this class, found none. "
        f"See all faults with: saccade data check {root}"
    )
    save(root / "cat/00.jpg", picture(0, True))
    (root / "cat/odd.tiff").write_bytes(b"")
    kinds = [fault.kind for fault in scan_image_dataset(root).faults]
    assert sorted(kinds) == ["duplicate case", "duplicate case", "empty class", "unreadable"]


def test_a_table_with_its_images_in_a_folder_below(tmp_path) -> None:
    save(tmp_path / "images/a.png", picture(0, True))
    save(tmp_path / "images/b.png", picture(1, False))
    rows = [
        {"file": "a.png", "patient": "p1", "view": "ap", "machine": "one"},
        {"file": "b", "patient": "p1", "view": "pa", "machine": "one"},
        {"file": "c.png", "patient": "p2", "view": "pa", "machine": "one"},
    ]
    dataset = scan_image_dataset(table(tmp_path, rows))
    assert dataset.columns == ("view",)  # the only one that differs
    assert [(case.id, case.values, case.group) for case in dataset.cases] == [
        ("a", ("ap",), "p1"),
        ("b", ("pa",), "p1"),
    ]
    assert [str(fault) for fault in dataset.faults] == [
        f"case c: {tmp_path}/c.png: missing file: expected the image that table.csv names, found none."
    ]
    assert is_image_dataset(tmp_path)
    assert scan_image_dataset(tmp_path, ["machine"]).columns == ("machine",)
    with pytest.raises(InputError, match=r"table.csv: unknown column 'vieww'. Did you mean 'view'\?"):
        scan_image_dataset(tmp_path, ["vieww"])


def test_columns_that_cannot_be_told(tmp_path) -> None:
    root = graded(tmp_path, 4, colour=lambda level: "ab"[level % 2], size=lambda level: level)
    with pytest.raises(InputError) as error:
        find_image_dataset(root)
    assert str(error.value) == (
        f"{root}/table.csv: must have a target column called target, label or class, has file, colour, size. "
        "Say which: --set data.columns=[colour], or --columns with data check."
    )
    flags = graded(tmp_path / "flags", 4, oedema=lambda level: level % 2, mass=lambda level: level // 2)
    assert find_image_dataset(flags).columns == ("oedema", "mass")


def test_tables_for_the_parts_semicolons_and_a_bad_split(tmp_path) -> None:
    save(tmp_path / "a.png", picture(0, True))
    save(tmp_path / "b.png", picture(1, True))
    (tmp_path / "train.csv").write_text("path;label\na.png;x\n")
    (tmp_path / "val.csv").write_text("path;label\nb.png;y\n")
    assert [case.split for case in find_image_dataset(tmp_path).cases] == ["train", "validation"]
    (tmp_path / "odd.csv").write_text("path,label,split\na.png,x,trian\n")
    with pytest.raises(
        InputError, match=r"must hold one table of images, or train, val and test; got odd.csv, train.csv"
    ):
        find_image_dataset(tmp_path)
    with pytest.raises(InputError, match=r"list: expected split: train, validation or test, found trian\."):
        find_image_dataset(tmp_path / "odd.csv")


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 3), (5, 6, 7)])
def test_medmnist(tmp_path, shape) -> None:
    path = medmnist(tmp_path / "set.npz", shape, each=2)
    dataset = find_image_dataset(path)
    assert [(case.id, case.values, case.split) for case in dataset.cases] == [
        ("train_00000", ("0",), "train"), ("train_00001", ("1",), "train"),
        ("val_00000", ("0",), "validation"), ("val_00001", ("1",), "validation"),
    ]  # fmt: skip
    image = read_image(dataset.cases[3].source)
    colour = shape[-1] == 3
    assert image.array.shape == (shape if colour else (*shape, 1))
    np.testing.assert_array_equal(
        image.array, picture(101, True, shape) if colour else picture(101, True, shape)[..., None]
    )
    assert is_image_dataset(tmp_path)
    assert is_image_dataset(path)


def test_an_archive_is_never_unpickled_and_says_what_it_lacks(tmp_path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, train_images=np.array([{}], object), train_labels=np.zeros(1))
    with pytest.raises(
        InputError, match=r"set.npz: array 'train_images' cannot be read \(Object arrays cannot be loaded"
    ):
        find_image_dataset(path)
    np.savez(path, a=np.zeros(1))
    with pytest.raises(InputError, match=r"set.npz: must hold train_images and train_labels .*, holds a\.$"):
        find_image_dataset(path)
    medmnist(path, train_labels=np.zeros((3, 1)))
    with pytest.raises(InputError, match=r"train_labels must have a row for each of the 8 images, has shape \(3, 1\)"):
        find_image_dataset(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"set.npz: cannot be read as a NumPy archive"):
        find_image_dataset(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_files(tmp_path, suffix) -> None:
    stack = np.arange(2 * 5 * 7, dtype=np.uint8).reshape(2, 5, 7)
    images = idx(tmp_path / f"t10k-images-idx3-ubyte{suffix}", stack)
    idx(tmp_path / f"t10k-labels-idx1-ubyte{suffix}", np.array([7, 2], np.uint8))
    dataset = find_image_dataset(tmp_path)
    assert [(case.id, case.values, case.split) for case in dataset.cases] == [
        ("t10k_00000", ("7",), None), ("t10k_00001", ("2",), None),
    ]  # fmt: skip
    assert dataset.cases[1].source == Packed(images, "", 1)
    np.testing.assert_array_equal(read_image(dataset.cases[1].source).array[..., 0], stack[1])
    idx(tmp_path / f"train-images-idx3-ubyte{suffix}", stack)
    idx(tmp_path / f"train-labels-idx1-ubyte{suffix}", np.array([1, 0], np.uint8))
    assert [case.split for case in find_image_dataset(tmp_path).cases] == ["test", "test", "train", "train"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\1\0\x08\x01\0\0\0\2ab", "must be an idx file of MNIST's form, begins with other bytes."),
        (b"\0\0\x08\x01\0\0\0\3ab", "must hold 3 bytes of values, holds fewer."),
        (b"\0\0\x08\x01\0\0\0\1ab", "must hold 1 bytes of values, holds more."),
        (
            b"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x02",
            "must hold at most 32 GB, its header says 34359738352 GB.",
        ),
        (b"\0\0\x08\x02\0\0", "is cut off, its header says 2 axes."),
    ],
)  # fmt: skip
def test_mnist_files_that_are_none(tmp_path, content, message) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(1, np.uint8))
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        find_image_dataset(path)
    assert str(error.value) == f"{path}: {message}"


def test_volumes_with_a_table(tmp_path) -> None:
    array = np.arange(5 * 7 * 3, dtype=np.int16).reshape(5, 7, 3)
    nib.save(nib.Nifti1Image(array, np.diag([-2.0, 1.0, 3.0, 1.0])), tmp_path / "a.nii.gz")
    dataset = find_image_dataset(table(tmp_path, [{"scan": "a.nii.gz", "age": "61.5"}]))
    image = read_image(dataset.cases[0].source)
    assert (dataset.columns, dataset.cases[0].values, dataset.cases[0].id) == (("age",), ("61.5",), "a")
    np.testing.assert_array_equal(image.array[..., 0], array[::-1])  # right is first
    assert image.spacing_mm == (2.0, 1.0, 3.0)


def test_what_is_a_segmentation(tmp_path, pairs) -> None:
    assert not is_image_dataset(pairs)
    save(tmp_path / "images/a.png", picture(0, True))
    save(tmp_path / "masks/a.png", picture(0, True))
    (tmp_path / "list.csv").write_text("image,label\na.nii.gz,b.nii.gz\n")
    assert not is_image_dataset(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"must hold class folders of pictures .*; got an empty folder\.$"):
        find_image_dataset(tmp_path / "empty")
    with pytest.raises(InputError, match=r"gone: there is no such file or folder\.$"):
        find_image_dataset(tmp_path / "gone")
