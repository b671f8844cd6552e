"""Folders of label maps to scores: pairing, grids, names, missing cases, errors in full."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from saccade import workers
from saccade.data.layouts import Case
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError
from saccade.files import write_json
from saccade.metrics import METRICS, score_labels
from saccade.tasks.segmentation.evaluate import LesionSettings, evaluate_arrays, evaluate_folders, summarise
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
    assert list(result) == ["cases", "summary", "intervals", "extents", "settings"]
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
    result = json.loads((tmp_path / "out.json").read_text("utf-8"), parse_constant=pytest.fail)
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


def test_extent_and_settings_of_what_was_scored(folders):
    result = evaluate_folders(*folders, tolerance_mm=2.5, missing="skip", seed=7)
    sides = np.array(SHAPE) * SPACING
    assert result["extents"]["img0002"]["diagonal_mm"] == pytest.approx(np.linalg.norm(sides))
    assert result["extents"]["img0002"]["volume_ml"] == pytest.approx(np.prod(sides) / 1000)
    intervals = {"method": "percentile bootstrap over cases", "level": 0.95, "draws": 10000, "seed": 7}
    assert result["settings"] == {"tolerance_mm": 2.5, "missing": "skip", "intervals": intervals}
    assert result["intervals"]["1"]["dice"] == pytest.approx({"low": math.nan, "high": math.nan}, nan_ok=True)


def test_intervals_with_cases_enough(folders):
    for number in range(4, 9):
        rough = labels(0)
        rough[np.random.default_rng(number).random(SHAPE) < 0.05 * number] = 0
        write(folders[0] / f"img000{number}.nii.gz", rough)
        write(folders[1] / f"label000{number}.nii.gz", labels(0))
    one, two = (evaluate_folders(*folders, seed=seed) for seed in (0, 1))
    for organ, metrics in one["intervals"].items():
        for metric, ends in metrics.items():
            assert ends["low"] <= one["summary"][organ][metric]["mean"] <= ends["high"]
    assert one["intervals"]["1"]["dice"]["low"] < one["intervals"]["1"]["dice"]["high"]
    assert one["summary"] == two["summary"]
    assert one["intervals"] != two["intervals"]


@pytest.mark.process
def test_processes_change_nothing(folders, monkeypatch):
    monkeypatch.setattr(workers, "STARTING_S", 0.0)
    write_json(folders[1] / "labels.json", {"1": "liver"})
    seen = []
    lesions = LesionSettings()
    alone = evaluate_folders(*folders, lesions=lesions, workers=1)
    both = evaluate_folders(*folders, lesions=lesions, workers=2, progress=lambda *event: seen.append(event))
    write_json(folders[0].parent / "a.json", alone)
    write_json(folders[0].parent / "b.json", both)
    assert (folders[0].parent / "a.json").read_bytes() == (folders[0].parent / "b.json").read_bytes()
    assert [event[:2] for event in seen] == [(1, 3), (2, 3), (3, 3)]
    (folders[0] / "img0003.nii.gz").write_text("no image")
    with pytest.raises(InputError, match=r"^[^\n]*img0003.nii.gz: [^\n]*$"):
        evaluate_folders(*folders, workers=2)


def lesion_map(*places: tuple[int, int, int]) -> np.ndarray:
    """A lesion of 2 x 2 x 1 voxels from each place."""
    array = np.zeros(SHAPE, np.uint8)
    for i, j, k in places:
        array[i : i + 2, j : j + 2, k] = 1
    return array


@pytest.fixture
def tumours(tmp_path: Path) -> tuple[Path, Path]:
    """Two cases: a lesion found, one missed, a false alarm; and a case with neither."""
    truth = {"a": lesion_map((0, 2, 3), (8, 8, 5)), "b": lesion_map()}
    prediction = {"a": lesion_map((0, 2, 3), (4, 5, 1)), "b": lesion_map()}
    for case in truth:
        write(tmp_path / "truth" / f"{case}.nii.gz", truth[case])
        write(tmp_path / "predictions" / f"{case}.nii.gz", prediction[case])
    write_json(tmp_path / "labels.json", {"1": "small tumour"})
    return tmp_path / "predictions", tmp_path / "truth"


def test_lesions_of_cases(tumours):
    result = evaluate_folders(*tumours, lesions=LesionSettings(("small tumour",), edges_ml=(1,)))
    assert list(result) == ["cases", "summary", "intervals", "extents", "settings", "lesions"]
    assert result["settings"]["lesions"] == {"overlap": 0.1, "edges_ml": (1,)}
    found = result["lesions"]["small tumour"]
    assert list(found) == ["summary", "cases"]
    ml = 4 * math.prod(SPACING) / 1000
    first, second = found["cases"]["a"]["lesions"]
    centre = AFFINE @ [0.5, 2.5, 3, 1]
    assert first == {
        "ml": pytest.approx(ml),
        "centre_mm": pytest.approx(centre[:3]),
        "touches_border": True,
        "found": True,
        "dice": 1,
    }
    assert (second["touches_border"], second["found"], second["dice"]) == (False, False, 0)
    assert found["cases"]["a"]["false_positives_ml"] == pytest.approx([ml])
    assert found["cases"]["b"] == {"lesions": [], "n_predicted": 0, "false_positives_ml": []}
    summary = found["summary"]
    assert (summary["n_cases"], summary["n_lesions"], summary["sensitivity"]) == (2, 2, 0.5)
    assert (summary["false_positives_per_case"], summary["precision"]) == (0.5, 0.5)
    assert [size["n"] for size in summary["sizes"]] == [2, 0]


def test_a_turned_prediction_leaves_lesions_where_they_are(tumours):
    expected = evaluate_folders(*tumours, lesions=LesionSettings())["lesions"]
    turned = AFFINE.copy()
    turned[:, 3] += turned[:, 0] * (SHAPE[0] - 1)
    turned[:, 0] *= -1
    write(tumours[0] / "a.nii.gz", lesion_map((0, 2, 3), (4, 5, 1))[::-1], turned)
    found = evaluate_folders(*tumours, lesions=LesionSettings())["lesions"]

    def places(result: dict) -> list:
        return sorted((x["centre_mm"], x["found"]) for x in result["small tumour"]["cases"]["a"]["lesions"])

    assert places(found) == places(expected)


def test_every_label_or_some(folders):
    write_json(folders[1] / "labels.json", {"1": "liver", "2": "cyst"})
    every = evaluate_folders(*folders, lesions=LesionSettings())["lesions"]
    assert list(every) == ["liver", "cyst", "3"]
    assert every["cyst"]["summary"]["n_lesions"] == 0
    some = evaluate_folders(*folders, lesions=LesionSettings(("3", "liver")))["lesions"]
    assert list(some) == ["liver", "3"]
    assert some["3"]["cases"] == every["3"]["cases"]
    wrong = {
        "lesions: unknown organ 'lever'. Did you mean 'liver'? Known: liver, cyst, all.": {"organs": ("lever",)},
        "lesions: overlap must lie in 0..1, got -1.": {"overlap": -1},
        "lesions: edges of size classes must be above 0 ml and ascending, got 0, 1.": {"edges_ml": (0, 1)},
    }
    for message, settings in wrong.items():
        with pytest.raises(InputError) as error:
            evaluate_folders(*folders, lesions=LesionSettings(**settings))
        assert str(error.value) == message


def test_probabilities_give_a_curve(tumours, tmp_path):
    maps = tmp_path / "maps"
    unsure = 0.9 * lesion_map((0, 2, 3)) + 0.4 * lesion_map((8, 8, 5)) + 0.6 * lesion_map((4, 5, 1))
    write(maps / "a_Small-Tumour.nii.gz", unsure.astype(np.float32))
    write(maps / "b" / "small_tumour.nii.gz", np.zeros(SHAPE, np.float32))
    lesions = LesionSettings(("small tumour",), probabilities=maps)
    found = evaluate_folders(*tumours, lesions=lesions)["lesions"]["small tumour"]["froc"]
    points = {p["threshold"]: (p["sensitivity"], p["false_positives_per_case"]) for p in found["points"]}
    assert (points[0.05], points[0.45], points[0.65], points[0.95]) == ((1, 0.5), (0.5, 0.5), (0.5, 0), (0, 0))
    assert found["sensitivity_at"] == {"0.125": 0.5, "0.25": 0.5, "0.5": 1, "1": 1, "2": 1, "4": 1, "8": 1}

    (tumours[0] / "b.nii.gz").unlink()
    (maps / "b" / "small_tumour.nii.gz").unlink()  # a case that counts as empty needs no map
    again = evaluate_folders(*tumours, lesions=lesions, missing="worst")["lesions"]["small tumour"]["froc"]
    assert again == found
    write(maps / "a_Small-Tumour.nii.gz", 2 * unsure.astype(np.float32))
    with pytest.raises(InputError) as error:
        evaluate_folders(*tumours, lesions=lesions, missing="skip")
    path = maps / "a_Small-Tumour.nii.gz"
    assert str(error.value) == f"case a: {path} must hold probabilities in 0..1, got 0..1.8."
    path.unlink()
    with pytest.raises(InputError) as error:
        evaluate_folders(*tumours, lesions=lesions, missing="skip")
    assert str(error.value) == f"{maps}: must hold a map for every case and organ, got no a/small tumour.nii.gz."
    with pytest.raises(InputError, match=r"none: must be a folder of probability maps, there is none."):
        evaluate_folders(*tumours, lesions=LesionSettings(probabilities=maps / "none"), missing="skip")
    (tmp_path / "labels.json").unlink()
    with pytest.raises(InputError, match=r"^lesions: name the organs whose probabilities lie in"):
        evaluate_folders(*tumours, lesions=LesionSettings(probabilities=maps), missing="skip")
