"""`saccade data check` on images: all faults at once, in words and for programs; folds keep patients together."""

import json
from pathlib import Path

import numpy as np
import pytest
from image_sets import class_folders, graded, medmnist, picture, save, table

from saccade.cli.main import main
from saccade.data.classification.case import Case, Packed
from saccade.data.classification.folds import deal_folds
from saccade.data.classification.targets import class_order, kind_of
from saccade.errors import InputError


def faults_of(root, capsys, *more: str) -> list[tuple[str, str, str]]:
    assert main(["data", "check", str(root), "--json", *more]) == 2
    return [(f["case"], f["kind"], f["found"]) for f in json.loads(capsys.readouterr().out)["faults"]]


def test_a_clean_set(tmp_path, capsys) -> None:
    assert main(["data", "check", str(class_folders(tmp_path, 2))]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: class folders, 4 cases (4 labelled; cat 2, dog 2), no faults.\n"


def test_all_faults_of_class_folders_at_once(tmp_path, capsys) -> None:
    root = class_folders(tmp_path, 2)
    (root / "owl").mkdir()
    (root / "cat/broken.png").write_bytes(b"no picture")
    save(root / "cat/flat.png", np.full((5, 7), 9, np.uint8))
    save(root / "dog/copy.png", picture(0, False))  # cat/00 under another name
    found = faults_of(root, capsys)
    assert [(case, kind) for case, kind, _ in found] == [
        ("", "empty class"), ("cat/broken", "unreadable"), ("cat/flat", "constant image"),
        ("dog/copy", "duplicate case"),
    ]  # fmt: skip
    assert found[3][2] == "the values of case cat/00, which is cat"


def test_all_faults_of_a_table_at_once(tmp_path, capsys) -> None:
    for number in range(4):
        save(tmp_path / f"p{number}.png", picture(number, True))
    rows = [
        {"path": "p0.png", "label": "mild", "split": "train"},
        {"path": "p1.png", "label": "severe", "split": "train"},
        {"path": "p2.png", "label": "sever", "split": "test"},
        {"path": "gone.png", "label": "mild", "split": "train"},
        {"path": "p0.png", "label": "mild", "split": "val"},
    ]
    assert faults_of(table(tmp_path, rows), capsys) == [
        ("gone", "missing file", "none"),
        ("p0", "duplicate case", "another case of this id"),
        ("p0", "duplicate case", "another case of this id"),
        ("p0", "duplicate case", "the values of case p0"),
        ("p2", "unknown target", "sever"),
    ]


def test_numbers_that_are_none_one_class_and_images_that_are_not_finite(tmp_path, capsys) -> None:
    root = graded(tmp_path / "set", 4, age=lambda level: ["61.5", "nan", "40", "old"][level])
    assert main(["data", "check", str(root)]) == 0  # text is a class
    capsys.readouterr()
    some = graded(tmp_path / "some", 4, age=lambda level: ["61.5", "NA", "40", "42"][level])
    assert faults_of(some, capsys) == [
        ("", "unknown target", f"{some}: age must hold finite numbers, got 'NA' for case p01. "
         "Leave the cell empty where there is no target"),
    ]  # fmt: skip
    one = graded(tmp_path / "one", 4, label=lambda level: "x")
    assert [kind for _, kind, _ in faults_of(one, capsys)] == ["single class"]
    images = np.ones((8, 9, 9), np.float32) * np.arange(9, dtype=np.float32)
    images += np.arange(8)[:, None, None]
    images[3, 2, 2] = np.nan
    path = medmnist(tmp_path / "nan.npz", train_images=images)
    assert faults_of(path, capsys) == [
        ("train_00003", "not finite", f"{path}[train_images,3]: values must be finite numbers, found NaN or infinity")
    ]


def test_columns_are_chosen_and_must_be_there(tmp_path, capsys) -> None:
    root = graded(tmp_path, 4, colour=lambda level: "ab"[level % 2], size=lambda level: level)
    assert main(["data", "check", str(root), "--columns", "colour"]) == 0
    assert "(4 labelled; a 2, b 2)" in capsys.readouterr().out
    assert main(["data", "check", str(root), "--columns", "color"]) == 2
    assert "unknown column 'color'. Did you mean 'colour'?" in capsys.readouterr().err


def cases(*targets: str, groups: str = "") -> list[Case]:
    return [
        Case(f"{n}", Packed(Path("a"), "", n), (target,), None, groups[n] if groups else None)
        for n, target in enumerate(targets)
    ]


def test_folds_have_their_share_of_each_class_and_keep_groups_together() -> None:
    some = cases(*"aaaaaabbb")
    folds = deal_folds(some, 3, by_class=True)
    for fold in folds:
        assert sorted(some[int(id)].values[0] for id in fold) == ["a", "a", "b"]
    assert folds == deal_folds(some[::-1], 3, by_class=True)
    assert folds != deal_folds(some, 3, by_class=True, seed=1)
    grouped = cases(*"aabbaabb", groups="ppqqrsst")
    for fold in deal_folds(grouped, 2, by_class=True):
        for group in "pqrst":
            members = {case.id for case in grouped if case.group == group}
            assert members <= set(fold) or not members & set(fold)
    with pytest.raises(InputError, match=r"^folds: must be from 2 to the number of cases, .* \(5\), got 6\.$"):
        deal_folds(grouped, 6, by_class=True)


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([("a",), ("b",)], "classes"),
        ([("0",), ("3",)], "classes"),
        ([("0.5",), ("3",)], "regression"),
        ([(f"{n}",) for n in range(21)], "regression"),
        ([("0", "1"), ("1", "")], "multi_label"),
        ([("0", "1.5"), ("1", "2")], "regression"),
    ],
)
def test_what_targets_look_like(rows, kind) -> None:
    made = [Case(f"{n}", Packed(Path("a"), "", n), row) for n, row in enumerate(rows)]
    assert kind_of([f"c{n}" for n in range(len(rows[0]))], made, "here") == kind


def test_order_of_classes_and_text_in_several_columns() -> None:
    assert class_order(["10", "9", "10"]) == ("9", "10")
    assert class_order(["b", "10", "a"]) == ("10", "a", "b")
    made = [Case("0", Packed(Path("a"), "", 0), ("yes", "1"))]
    with pytest.raises(
        InputError, match=r"^here: several target columns must hold numbers, found 'yes' in a, b\. Choose"
    ):
        kind_of(["a", "b"], made, "here")
