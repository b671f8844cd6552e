import json

import numpy as np
import pytest

from saccade.data.synthetic import make_abdomen, shortcut_scores
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError


def write_case(root, number, hu, label):
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    write_volume(Volume(hu.astype(np.int16), affine), root / f"Training/img/img{number:04d}.nii.gz")
    write_volume(Volume(label.astype(np.uint8), affine), root / f"Training/label/label{number:04d}.nii.gz")


def body(shape=(37, 31, 29)):
    hu = np.full(shape, -1000)
    hu[3:-3, 3:-3, :] = 40
    return hu, np.zeros(shape, int)


def write_names(root):
    (root / "labels.json").write_text(json.dumps({"1": "bright", "2": "fixed", "3": "never", "4": "moved"}))


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """Four cases: one organ has its own HU and wanders, one has the HU of the body and stays."""
    root = tmp_path_factory.mktemp("blocks")
    for number in range(4):
        hu, label = body()
        at = 6 + 5 * number
        label[at : at + 5, 5:12, 4:11] = 1
        hu[label == 1] = 200
        label[10:21, 15:26, 9:20] = 2
        k = 2 if number < 2 else 20
        label[25:32, 14:21, k : k + 7] = 4
        write_case(root, number + 1, hu, label)
    write_names(root)
    return shortcut_scores(root)


def test_a_threshold_finds_what_has_its_own_hu_and_nothing_else(blocks):
    assert blocks["threshold"]["bright"] > 0.85  # smoothing rounds the corners
    # All but the smoothed rim of the body at best: 1331 voxels of about 27 * 21 * 25, Dice 2 * 1331 / (14175 + 1331).
    assert blocks["threshold"]["fixed"] < 0.18


def test_position_finds_what_stays_and_nothing_that_wanders(blocks):
    assert blocks["position"]["fixed"] > 0.9
    assert blocks["position"]["bright"] < 0.2


def test_the_held_out_half_is_not_learnt_from(blocks):
    assert blocks["position"]["moved"] == 0
    assert blocks["both"]["moved"] == 0


def test_both_are_at_least_as_good_where_they_agree_and_an_organ_never_seen_is_nan(blocks):
    assert blocks["both"]["fixed"] > 0.9
    assert list(blocks) == ["threshold", "position", "both"]
    assert all(np.isnan(scores["never"]) for scores in blocks.values())


def test_shortcuts_do_not_find_the_simulated_pancreas(tmp_path):
    make_abdomen(tmp_path, 12, seed=0)
    scores = shortcut_scores(tmp_path)
    assert all(scores[shortcut]["pancreas"] < 0.4 for shortcut in scores)
    assert scores["threshold"]["liver"] < 0.8
    assert scores["both"]["liver"] > 0.6  # the baselines are not broken: what they can find, they find


def test_one_case_is_too_few(tmp_path):
    write_case(tmp_path, 1, *body())
    write_names(tmp_path)
    with pytest.raises(InputError) as error:
        shortcut_scores(tmp_path)
    assert str(error.value) == f"{tmp_path}: shortcuts need at least 2 cases in Training/img, found 1."
