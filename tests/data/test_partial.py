"""Which classes of a case were labelled: in a list, in partial.json, beside label maps, and in the data check."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tiny import files, save
from typer.testing import CliRunner

from saccade.cli.data import app
from saccade.data.check import check_dataset
from saccade.data.layouts import find_dataset, scan_dataset
from saccade.data.partial import labelled_beside, read_partial, written_classes
from saccade.errors import InputError

NAMES = {"1": "liver", "2": "right kidney", "5": "spleen"}


def data_set(root: Path, values: tuple[tuple[int, ...], ...] = ((1, 2, 5),) * 3, names: bool = True) -> Path:
    """Cases a, b, c, ... in images/ and labels/, with these values in their label maps."""
    for seed, (id, inside) in enumerate(zip("abcdef", values, strict=False)):
        image = np.random.default_rng(seed).normal(size=(5, 7, 11)).astype(np.float32)
        save(root / f"images/{id}.nii.gz", image)
        save(root / f"labels/{id}.nii.gz", np.resize(np.array([0, *inside], np.uint8), image.shape))
    if names:
        (root / "labels.json").write_text(json.dumps(NAMES))
    return root


def declare(root: Path, **cases) -> Path:
    (root / "partial.json").write_text(json.dumps(cases))
    return root


def labelled(dataset) -> dict:
    return {case.id: case.labelled for case in dataset.cases}


@pytest.mark.parametrize(
    ("value", "classes"),
    [
        (None, None),
        ("", None),
        ("liver; right kidney|5", ("liver", "right kidney", "5")),
        ("liver,", ("liver",)),
        (["liver", 5], ("liver", "5")),
        (5, ("5",)),
        ([], ()),
    ],
)
def test_how_classes_are_written(value, classes) -> None:
    assert written_classes(value) == classes


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_column_of_a_list(tmp_path, delimiter) -> None:
    data_set(tmp_path)
    rows = [("a", "Liver|2"), ("b", ""), ("c", "5")]
    lines = [["image", "label", "labelled"]]
    lines += [[f"images/{id}.nii.gz", f"labels/{id}.nii.gz", classes] for id, classes in rows]
    (tmp_path / "cases.csv").write_text("\n".join(delimiter.join(line) for line in lines))
    assert labelled(find_dataset(tmp_path)) == {"a": (1, 2), "b": None, "c": (5,)}
    # the list alone knows no names, but values do
    (tmp_path / "cases.csv").write_text((tmp_path / "cases.csv").read_text("utf-8").replace("Liver|2", "1|2"))
    assert labelled(find_dataset(tmp_path / "cases.csv"))["a"] == (1, 2)
    assert labelled(find_dataset(tmp_path / "cases.csv", {1: "x", 2: "y"}))["a"] is None  # that is all of them


def test_a_field_of_a_json_list(tmp_path) -> None:
    data_set(tmp_path)
    entries = [{"image": f"images/{id}.nii.gz", "label": f"labels/{id}.nii.gz"} for id in "abc"]
    entries[0]["labelled"], entries[2]["labelled"] = ["right kidney", 1], "spleen"
    content = {"labels": NAMES, "training": entries[:2], "validation": entries[2:]}
    (tmp_path / "cases.json").write_text(json.dumps(content))
    dataset = find_dataset(tmp_path / "cases.json")
    assert labelled(dataset) == {"a": (1, 2), "b": None, "c": (5,)}
    assert [case.split for case in dataset.cases] == ["train", "train", "validation"]


def test_partial_json_in_any_folder(tmp_path) -> None:
    data_set(tmp_path / "pairs")
    declare(tmp_path / "pairs", a=["liver", "background"], **{"B.nii.gz": "2; 5"}, c=[1, 2, 5])
    assert labelled(find_dataset(tmp_path / "pairs")) == {"a": (1,), "b": (2, 5), "c": None}
    for number in (1, 2):
        save(tmp_path / f"btcv/img/img{number:04}.nii.gz", np.random.default_rng(number).normal(size=(5, 7, 3)))
        save(tmp_path / f"btcv/label/label{number:04}.nii.gz", np.ones((5, 7, 3), np.uint8))
    declare(tmp_path / "btcv", label0002=["pancreas", "Spleen"])
    assert labelled(find_dataset(tmp_path / "btcv")) == {"img0001": None, "img0002": (1, 11)}
    # names of the user's own go beside those of the data set
    assert labelled(find_dataset(tmp_path / "btcv", {11: "gland", 1: "milt"}))["img0002"] is None
    assert labelled(find_dataset(tmp_path / "btcv", {11: "gland", 2: "kidney"}))["img0002"] == (1, 11)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": ["livr"]}', "case a: {}/partial.json: list: expected classes of this data set, perhaps 'liver', found 'livr'."),  # noqa: E501
        ('{"a": [3]}', "case a: {}/partial.json: list: expected classes of this data set, found '3'."),
        ('{"a": []}', "case a: {}/partial.json: list: expected at least one class that is labelled, found none."),
        ('{"a": ["background"]}', "case a: {}/partial.json: list: expected at least one class that is labelled, found none."),  # noqa: E501
        ('{"z": [1]}', "case z: {}/partial.json: list: expected a case of this data set, found none of this name."),
        ("[1]", "{}/partial.json: list: expected classes for each case that has only some labelled, "),
        ("{", "{}/partial.json: list: expected classes for each case that has only some labelled, "),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, content, message) -> None:
    data_set(tmp_path)
    (tmp_path / "partial.json").write_text(content)
    with pytest.raises(InputError) as error:
        find_dataset(tmp_path)
    assert str(error.value).startswith(message.format(tmp_path))
    assert "\n" not in str(error.value)
    (fault,) = scan_dataset(tmp_path).faults
    assert fault.kind == "list"


def test_names_need_names_and_each_case_one_place(tmp_path) -> None:
    data_set(tmp_path, names=False)
    declare(tmp_path, a=["liver"])
    with pytest.raises(InputError, match=r"list: expected values of classes, as they have no names, found 'liver'\."):
        find_dataset(tmp_path)
    assert labelled(find_dataset(tmp_path, {1: "liver", 2: "other"}))["a"] == (1,)
    rows = [f"images/{id}.nii.gz,labels/{id}.nii.gz,1" for id in "abc"]
    (tmp_path / "cases.csv").write_text("\n".join(["image,label,labelled", *rows]))
    declare(tmp_path, a=[2])
    with pytest.raises(InputError, match=r"expected its classes declared once, found others in the list of cases\."):
        find_dataset(tmp_path)


def test_beside_label_maps(tmp_path) -> None:
    data_set(tmp_path)
    declare(tmp_path, a=["liver"], b=[1, 2, 5], elsewhere=["nonsense"])
    names = {1: "liver", 2: "right kidney", 5: "spleen"}
    assert labelled_beside(tmp_path / "labels", ["a", "b", "c"], names) == {"a": (1,)}
    assert labelled_beside(tmp_path, ["a"], names) == {"a": (1,)}
    assert labelled_beside(tmp_path / "labels", ["c"], {}) == {}
    with pytest.raises(InputError, match=re.escape(f"case a: {tmp_path}/partial.json: list: expected values of ")):
        labelled_beside(tmp_path / "labels", ["a"], {})
    assert labelled_beside(tmp_path / "images/..", [], names) == {}
    assert read_partial(tmp_path / "partial.json")["elsewhere"] == ("nonsense",)


def test_the_check_finds_traces_and_classes_that_nobody_labelled(tmp_path) -> None:
    data_set(tmp_path, ((1,), (1, 2), (5,)))
    declare(tmp_path, a=["liver"], b=["liver"], c=["liver"])
    faults = {(fault.case, fault.kind): fault for fault in check_dataset(tmp_path)}
    assert faults.keys() == {("b", "unlabelled class"), ("c", "unlabelled class"), ("", "unlabelled class")}
    assert str(faults["b", "unlabelled class"]) == (
        f"case b: {tmp_path}/labels/b.nii.gz: unlabelled class: expected voxels of the classes declared labelled, "
        "liver, found right kidney."
    )
    assert faults["", "unlabelled class"].found == "none with right kidney, spleen"
    declare(tmp_path, a=["liver"], b=["liver", "right kidney"], c=["spleen"])
    assert check_dataset(tmp_path) == []


def test_the_check_says_how_many(tmp_path) -> None:
    declare(data_set(tmp_path, ((1,), (1, 2, 5), (5,))), a=["liver"], c=["spleen"])
    before = files(tmp_path)
    told = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert told.stdout == f"{tmp_path}: pairs layout, 3 cases (3 labelled, 2 of them in part), no faults.\n"
    content = json.loads(CliRunner().invoke(app, ["check", str(tmp_path), "--json"]).stdout)
    assert content["partially_labelled"] == {"a": [1], "c": [5]}
    assert files(tmp_path) == before
