"""Which pieces of an organ stay, and how validation cases decide it."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import files, save

from saccade.data.volume import Volume
from saccade.errors import InputError
from saccade.tasks.segmentation.cleanup import CleanUp, Rule, choose_clean_up, clean_up, tune_clean_up

AFFINE = np.array([[2.0, 1.0, 0, 0], [0, 3.0, 0, 0], [0, 0, -5.0, 0], [0, 0, 0, 1]])  # determinant -30: 0.03 ml
NAMES = {1: "liver", 4: "spleen"}


def pieces(value: int = 1) -> Volume:
    """Pieces of 4, 3 and 1 voxels, the last two touching at a corner alone; and one voxel of label 9 in a corner."""
    array = np.zeros((5, 7, 11), np.uint8)
    array[0, 0:4, 0] = array[3, 2:5, 5] = array[4, 5, 6] = value
    array[4, 6, 10] = 9
    return Volume(array, AFFINE)


def rules(neighbourhood: int = 26, **organs: dict) -> CleanUp:
    return CleanUp.parse({"neighbourhood": neighbourhood, "organs": organs}, "t")


def sizes(volume: Volume) -> tuple[int, int, int]:
    return tuple(int(np.count_nonzero(part)) for part in (volume.array[0], volume.array[3], volume.array[4, 5]))


@pytest.mark.parametrize(
    ("neighbourhood", "rule", "left"),
    [
        (26, {}, (4, 3, 1)),
        (26, {"keep_largest": True}, (4, 0, 0)),  # two of 4: the first is the largest
        (26, {"minimum_ml": 0.12}, (4, 3, 1)),  # 4 voxels of 0.03 ml are not below it
        (6, {"minimum_ml": 0.12}, (4, 0, 0)),
        (6, {"minimum_ml": 0.09}, (4, 3, 0)),
        (6, {"keep_largest": True, "minimum_ml": 0.13}, (0, 0, 0)),
    ],
)
def test_what_stays(neighbourhood, rule, left) -> None:
    given = pieces()
    cleaned = clean_up(given, rules(neighbourhood, liver=rule), NAMES)
    assert sizes(cleaned) == left
    assert cleaned.array[4, 6, 10] == 9
    assert cleaned.array.dtype == np.uint8
    assert sizes(given) == (4, 3, 1)
    assert sizes(clean_up(pieces(4), rules(neighbourhood, liver=rule), NAMES)) == (4, 3, 1)  # another organ


def test_an_organ_that_is_not_there() -> None:
    assert not clean_up(
        Volume(np.zeros((3, 5, 7), np.uint16), AFFINE), rules(liver={"keep_largest": True}), NAMES
    ).array.any()


def make_run(run: Path) -> Path:
    """Two cases. Liver: one true piece, a stray one of 0.3 ml in both predictions, larger than the liver in the second.

    Spleen: two true pieces, a stray one of 0.09 ml.
    """
    run.mkdir(parents=True)
    (run / "model.safetensors").write_bytes(b"first")
    for case, length in enumerate((20, 8)):
        truth = np.zeros((23, 7, 11), np.uint8)
        truth[:length, 0, 0] = 1
        truth[:12, 3, 3] = truth[:9, 5, 5] = 4
        predicted = truth.copy()
        predicted[:10, 0, 10] = 1
        predicted[20:, 6, 8] = 4
        save(run / f"validation/truth/case{case}.nii.gz", truth, AFFINE)
        save(run / f"validation/case{case}.nii.gz", predicted, AFFINE)
    return run


def test_rules_are_those_that_raise_the_mean_dice(tmp_path) -> None:
    run = make_run(tmp_path / "run")
    found = tune_clean_up(run, NAMES)
    # liver: pieces of 0.6 and 0.24 ml right, of 0.3 ml wrong twice. As it is 40/50 and 16/26; without pieces below
    # 0.5 ml the first is perfect and the second lost: 0.5; largest piece alone the same. So it stays as it is.
    # spleen: pieces of 0.36 and 0.27 ml right, of 0.09 ml wrong: 42/45; 0.1 ml is the mildest of those that remove it.
    assert found.organs == {"spleen": Rule(minimum_ml=0.1)}
    assert found.tuning.mean_dice == {"spleen": (pytest.approx(42 / 45, abs=1e-6), 1.0)}
    assert (found.tuning.cases, found.neighbourhood) == (2, 26)
    save(run / "validation/case1.nii.gz", np.zeros((23, 7, 11), np.uint8), AFFINE)  # lost either way
    save(run / "validation/truth/case1.nii.gz", np.zeros((23, 7, 11), np.uint8), AFFINE)
    assert tune_clean_up(run, NAMES).organs == {"liver": Rule(minimum_ml=0.5), "spleen": Rule(minimum_ml=0.1)}


def test_the_largest_piece_where_no_minimum_would_do(tmp_path) -> None:
    run = make_run(tmp_path / "run")
    for case, length in enumerate((20, 8)):  # the stray piece is now of 0.18 ml in one case, 0.45 ml in the other
        for folder in ("validation", "validation/truth"):
            array = np.zeros((23, 7, 11), np.uint8)
            array[:length, 0, 0] = 1
            if folder == "validation":
                array[: (15, 6)[case], 0, 10] = 1
            save(run / folder / f"case{case}.nii.gz", array, AFFINE)
    # a minimum that removes 0.45 ml also removes the true piece of 0.24 ml
    assert tune_clean_up(run, NAMES).organs == {"liver": Rule(keep_largest=True)}


def test_auto_makes_rules_once_and_again_for_other_weights(tmp_path) -> None:
    run, said = make_run(tmp_path / "run"), []
    first = choose_clean_up("auto", run, NAMES, said.append)
    assert said == ["clean-up tuned on 2 validation cases: spleen no piece below 0.1 ml (mean Dice 0.9333 -> 1.0000)"]
    assert json.loads((run / "clean_up.json").read_text("utf-8"))["organs"] == {
        "spleen": {"keep_largest": False, "minimum_ml": 0.1}
    }
    for path in (run / "validation").rglob("*.nii.gz"):
        path.unlink()
    assert choose_clean_up("auto", run, NAMES, said.append) == first
    assert choose_clean_up(str(run / "clean_up.json"), tmp_path, NAMES, said.append) == first
    assert len(said) == 1
    (run / "model.safetensors").write_bytes(b"trained on")
    with pytest.raises(InputError) as error:
        choose_clean_up("auto", run, NAMES, said.append)
    assert str(error.value) == (
        f"{run}: has neither clean_up.json for its present weights nor predictions in validation/ to make it from. "
        "Train with held-out cases, or give --clean-up a file."
    )


def test_nothing_to_clean_is_said(tmp_path) -> None:
    run, said = make_run(tmp_path / "run"), []
    for path in (run / "validation/truth").iterdir():
        (run / "validation" / path.name).write_bytes(path.read_bytes())
    assert (
        clean_up(pieces(), choose_clean_up("auto", run, NAMES, said.append), NAMES).array.tolist()
        == pieces().array.tolist()
    )
    assert said == ["clean-up tuned on 2 validation cases: no rule raises their Dice, labels stay as they are"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"organs": {"livre": {}}}, "unknown organ 'livre'. Did you mean 'liver'? Known: liver, spleen."),
        ({"organs": {"liver": {"minimum_ml": -1}}},
         "organs.liver.minimum_ml: Input should be greater than or equal to 0, got -1."),
        ({"organs": {}, "neighbourhood": 18}, "neighbourhood: Input should be 6 or 26, got 18."),
        ([], "must hold named values, got list."),
    ],
)  # fmt: skip
def test_files_that_hold_no_rules(tmp_path, content, message) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        choose_clean_up(str(path), tmp_path, NAMES, print)
    assert str(error.value) == f"{path}: {message}"


def test_a_prediction_that_is_missing_or_lies_elsewhere(tmp_path) -> None:
    run = make_run(tmp_path / "run")
    save(run / "validation/case1.nii.gz", np.zeros((23, 7, 10), np.uint8), AFFINE)
    with pytest.raises(InputError, match=r"case1\.nii\.gz: must lie on the grid of the prediction of that name in "):
        choose_clean_up("auto", run, NAMES, print)
    (run / "validation/case1.nii.gz").unlink()
    with pytest.raises(InputError, match=r"validation/case1\.nii\.gz: there is no such file"):
        choose_clean_up("auto", run, NAMES, print)
    assert "clean_up.json" not in files(run)
