"""Folders of label maps to scores: pairing, grids, names, missing cases, errors in full."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from saccade.data.layouts import Case
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError
from saccade.files import write_json
from saccade.metrics import METRICS, score_labels
from saccade.tasks.segmentation.evaluate import evaluate_arrays, evaluate_folders, summarise
from saccade.tasks.segmentation.pairs import find_pairs

SHAPE = (13, 11, 7)
AFFINE = np.array([[-0.8, 0, 0, 40], [0, 1.1, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1]])
SPACING = (0.8, 1.1, 2.5)


def labels(seed: int) -> np.ndarray:
    """Label 1 and label 3 as boxes at places that depend on the seed."""
    array = np.zeros(SHAPE, np.uint8)
    array[2 + seed : 7 + seed, 2:8, 1:5] = 1
    array[9:12, 3 : 8 + seed, 2:4] = 3
    return array


def write(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(Volume(array, affine), path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three cases; predictions under the names that `saccade predict` and other tools give."""
    for number, name in ((1, "img0001.nii.gz"), (2, "img0002_seg.nii.gz"), (3, "img0003.nii.gz")):
        write(tmp_path / "predictions" / name, labels(number % 2))
        write(tmp_path / "truth" / f"label000{number}.nii.gz", labels(0))
    return tmp_path / "predictions", tmp_path / "truth"


def test_shape_and_values_of_the_result(folders):
    write_json(folders[1] / "labels.json", {"1": "liver", "2": "spleen"})
    seen = []
    result = evaluate_folders(*folders, tolerance_mm=2, progress=lambda *event: seen.append(event))
    assert seen == [(1, 3, "img0001"), (2, 3, "img0002"), (3, 3, "img0003")]
    assert list(result) == ["cases", "summary"]
    assert list(result["cases"]) == ["img0001", "img0002", "img0003"]
    for organs in (*result["cases"].values(), result["summary"]):
        assert list(organs) == ["liver", "spleen", "3"]
    for case, number in (("img0001", 1), ("img0002", 0)):
        expected = score_labels(labels(number), labels(0), [1, 3], SPACING, tolerance_mm=2)
        assert tuple(result["cases"][case]["liver"]) == METRICS
        assert result["cases"][case]["liver"] == pytest.approx(expected[1])
        assert result["cases"][case]["3"] == pytest.approx(expected[3])
    assert all(math.isnan(value) for value in result["cases"]["img0001"]["spleen"].values())
    assert list(result["summary"]["liver"]["dice"]) == ["mean", "std", "n", "n_missed", "n_spurious"]
    dice = [result["cases"][case]["liver"]["dice"] for case in result["cases"]]
    assert result["summary"]["liver"]["dice"]["mean"] == pytest.approx(np.mean(dice))
    assert result["summary"]["spleen"]["dice"]["n"] == 0


def test_json_has_null_for_what_is_not_scored(folders, tmp_path):
    write(folders[0] / "img0001.nii.gz", np.zeros(SHAPE, np.uint8))
    write_json(tmp_path / "out.json", evaluate_folders(*folders, label_names={1: "liver", 2: "spleen"}))
    result = json.loads((tmp_path / "out.json").read_text(), parse_constant=pytest.fail)
    assert result["cases"]["img0001"]["liver"]["precision"] is None
    assert result["cases"]["img0001"]["liver"]["dice"] == 0
    assert result["summary"]["liver"]["dice"]["n_missed"] == 1
    assert result["summary"]["spleen"]["dice"]["mean"] is None


def test_names_come_from_beside_the_truth(folders):
    write_json(folders[1].parent / "dataset.json", {"labels": {"background": 0, "kidney": 1, "aorta": 3}})
    assert list(evaluate_folders(*folders)["summary"]) == ["kidney", "aorta"]
    assert list(evaluate_folders(*folders, label_names={3: "vein"})["summary"]) == ["1", "vein"]


def test_one_file_against_one_file(folders):
    result = evaluate_folders(folders[0] / "img0001.nii.gz", folders[1] / "label0001.nii.gz")
    assert list(result["cases"]) == ["img0001"]
    assert result["cases"]["img0001"] == evaluate_folders(*folders)["cases"]["img0001"]


def test_a_data_set_is_a_truth(folders, tmp_path):
    for number in (1, 2, 3):
        image = np.random.default_rng(number).normal(size=SHAPE).astype(np.float32)
        write(tmp_path / "set" / "Training" / "img" / f"img000{number}.nii.gz", image)
        write(tmp_path / "set" / "Training" / "label" / f"label000{number}.nii.gz", labels(0))
    expected = evaluate_folders(*folders)["cases"]["img0001"]
    for truth in (tmp_path / "set", tmp_path / "set" / "Training" / "label"):
        result = evaluate_folders(folders[0], truth)
        assert len(result["summary"]) == 13  # BTCV names its organs
        assert result["cases"]["img0001"]["spleen"] == expected["1"]
        assert result["cases"]["img0001"]["left kidney"] == expected["3"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flip", [0, 1, 2])
def test_another_axis_order_of_the_same_grid_is_turned(folders, order, flip):
    affine = AFFINE[:, [*order, 3]]
    array = np.flip(labels(1).transpose(order), flip)
    affine[:, 3] += affine[:, flip] * (array.shape[flip] - 1)
    affine[:, flip] *= -1
    expected = evaluate_folders(*folders)["cases"]["img0001"]
    write(folders[0] / "img0001.nii.gz", np.ascontiguousarray(array), affine)
    found = evaluate_folders(*folders)["cases"]["img0001"]
    for organ in expected:
        assert found[organ] == pytest.approx(expected[organ])


def test_another_grid_is_refused(folders):
    moved = AFFINE.copy()
    moved[0, 3] += 0.5
    path = write(folders[0] / "img0002_seg.nii.gz", labels(0), moved)
    with pytest.raises(InputError) as error:
        evaluate_folders(*folders)
    assert str(error.value) == (
        f"case img0002: {path} must lie on the grid of {folders[1] / 'label0002.nii.gz'}, "
        "shape (13, 11, 7) affine [-0.8 0 0 40; 0 1.1 0 -20; 0 0 2.5 5], "
        "got shape (13, 11, 7) affine [-0.8 0 0 40.5; 0 1.1 0 -20; 0 0 2.5 5]."
    )
    write(path, labels(0)[:-1])
    with pytest.raises(InputError, match=r"case img0002: .* got shape \(12, 11, 7\) affine"):
        evaluate_folders(*folders)


def test_rounding_of_an_affine_is_no_other_grid(folders):
    write(folders[0] / "img0001.nii.gz", labels(1), AFFINE)
    exact = evaluate_folders(*folders)
    rounded = AFFINE.copy()
    rounded[:3, 3] += 1e-3
    write(folders[0] / "img0001.nii.gz", labels(1), rounded)
    assert evaluate_folders(*folders) == exact


def test_missing_predictions(folders):
    (folders[0] / "img0003.nii.gz").unlink()
    write(folders[0] / "other.nii.gz", labels(0))
    said: list[str] = []
    with pytest.raises(InputError) as error:
        evaluate_folders(*folders)
    assert str(error.value) == (
        f"{folders[0]}: must hold a prediction for every case, got none for img0003. "
        "Choose missing=worst to count them as empty, missing=skip to leave them out."
    )
    skipped = evaluate_folders(*folders, missing="skip", say=said.append)
    assert list(skipped["cases"]) == ["img0001", "img0002"]
    assert said == ["no prediction for img0003: left out", "no truth for other: left out"]
    worst = evaluate_folders(*folders, missing="worst", say=said.append)
    assert said[2] == "no prediction for img0003: counted as empty"
    assert worst["cases"]["img0003"]["1"]["dice"] == 0
    assert worst["summary"]["1"]["dice"]["n_missed"] == 1
    with pytest.raises(InputError) as error:
        evaluate_folders(*folders, missing="worse")
    assert str(error.value) == (
        "evaluate_folders: unknown choice for missing 'worse'. Did you mean 'worst'? Known: fail, worst, skip."
    )


def test_a_slice_is_scored_as_the_image_it_is():
    a, b = labels(1)[:, :, 2:3], labels(0)[:, :, 2:3]
    found = evaluate_arrays(a, b, SPACING)
    expected = score_labels(a[:, :, 0], b[:, :, 0], [1, 3], SPACING[:2])
    for label in (1, 3):
        thick = expected[label] | {"volume_error_ml": expected[label]["volume_error_ml"] * 2.5}
        assert found[label] == pytest.approx(thick)
    point = np.ones((1, 1, 1), np.uint8)
    assert evaluate_arrays(point, point, (1, 1, 1))[1]["dice"] == 1


def test_label_maps_that_are_none(folders):
    path = folders[0] / "img0001.nii.gz"
    wrong = {
        f"case img0001: {path}: labels must be whole numbers, got 0.5.": np.full(SHAPE, 0.5, np.float32),
        f"case img0001: {path}: labels must be whole numbers, got nan.": np.full(SHAPE, np.nan, np.float32),
        f"case img0001: {path}: labels must lie in 0..65535, got -1..-1.": np.full(SHAPE, -1, np.int16),
        f"case img0001: {path} must hold one label per voxel, got 2.": np.ones((*SHAPE, 2), np.uint8),
    }
    for message, array in wrong.items():
        write(path, array)
        with pytest.raises(InputError) as error:
            evaluate_folders(*folders)
        assert str(error.value) == message
    path.write_text("no image")
    with pytest.raises(InputError, match=f"^{path}: "):
        evaluate_folders(*folders)


def test_nothing_to_score(folders, tmp_path):
    predictions, truth = folders
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    write(other / "x.nii.gz", labels(0))
    wrong = {
        f"{tmp_path / 'none'}: there is no such file or folder.": (tmp_path / "none", truth),
        f"{predictions / 'img0001.nii.gz'}, {truth}: must be two label maps or two folders, got one of each.": (
            predictions / "img0001.nii.gz",
            truth,
        ),
        f"{other}: must hold predictions of the cases of {truth} (img0001, img0002, img0003), got x.": (other, truth),
        f"{empty}: must hold label maps (.nii, .nii.gz, .nrrd or .mha), got none.": (empty, truth),
    }
    for message, arguments in wrong.items():
        with pytest.raises(InputError) as error:
            evaluate_folders(*arguments)
        assert str(error.value) == message
    nothing = write(tmp_path / "a.nii.gz", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError) as error:
        evaluate_folders(nothing, nothing)
    assert str(error.value) == "evaluate: must have at least one label to score, got only background."
    with pytest.raises(InputError) as error:
        summarise({"a": evaluate_arrays(labels(0), labels(0), SPACING)}, {1: "3"})
    assert str(error.value) == "evaluate: every label must have its own name, got 3, 3."


def test_pairs_name_the_truth(folders):
    pairs = find_pairs(*folders)
    assert pairs.found["img0002"] == (
        folders[0] / "img0002_seg.nii.gz",
        Case("img0002", (), folders[1] / "label0002.nii.gz"),
    )
    assert (pairs.missing, pairs.extra, pairs.label_names) == ((), (), {})
