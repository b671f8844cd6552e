"""Simulated chest radiographs: landmarks lie on ribs, what is not in the picture has none, easy ways score low."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from saccade.cli.main import main
from saccade.data.landmarks.check import check_landmarks
from saccade.data.landmarks.layouts import find_landmark_dataset, scan_landmark_dataset
from saccade.data.synthetic.chest import SIZES, names, simulate_radiograph, to_pixels
from saccade.data.synthetic.chest_anatomy import NAMED, draw_chest
from saccade.data.synthetic.point_shortcuts import point_shortcuts
from saccade.errors import InputError


def test_the_data_set_is_read_and_has_no_fault(tmp_path) -> None:
    assert main(["data", "make", "chest-radiographs", str(tmp_path / "a"), "--cases", "6", "--seed", "3"]) == 0
    dataset = find_landmark_dataset(tmp_path / "a")
    assert dataset.names == tuple(names())
    assert len(dataset.names) == 2 * NAMED
    assert check_landmarks(scan_landmark_dataset(tmp_path / "a")) == []
    for case in dataset.cases:
        assert set(case.lines) == set(case.points)
        for name, point in case.points.items():
            vertices = np.array(case.lines[name].vertices)
            assert np.linalg.norm(vertices - point, axis=1).min() < 4
    assert main(["data", "make", "chest-radiographs", str(tmp_path / "b"), "--cases", "2", "--seed", "3"]) == 0
    for name in ("images/chest_0001.png",):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_there_are_eight_to_twelve_pairs_from_top_to_bottom() -> None:
    pairs = Counter()
    for seed in range(60):
        chest = draw_chest(np.random.default_rng(seed))
        pairs[len(chest.ribs) // 2] += 1
        for side in (-1, 1):
            keys = [rib.key for rib in chest.ribs if rib.side == side]
            assert all(a[1] < b[1] for a, b in pairwise(keys))
            assert all(np.sign(key[0] - chest.heart[0] + 0.06) == side for key in keys)
    assert set(pairs) == {8, 9, 10, 11, 12}


def test_ribs_are_brighter_than_what_is_between_them() -> None:
    on, between = [], []
    for case in range(6):
        image, ribs = simulate_radiograph(1, case, "full")
        smooth = gaussian_filter(image.astype(float), 1)
        for rib in ribs:
            if rib.number in (4, 5, 6):
                x, y = to_pixels(rib.key, SIZES["full"])
                on.append(smooth[int(y), int(x)])
                between.append(smooth[int(y - 0.03 * 256), int(x)])
    assert np.mean(np.array(on) > np.array(between)) > 0.8


def test_ribs_outside_the_exposed_field_have_no_landmark() -> None:
    missing = Counter()
    for case in range(20):
        image, ribs = simulate_radiograph(2, case)
        missing[2 * NAMED - len(ribs)] += 1
        for rib in ribs:
            x, y = to_pixels(rib.key, len(image))
            assert image[max(0, int(y) - 2) : int(y) + 3, max(0, int(x) - 2) : int(x) + 3].max() > 0
    assert missing[0] > 4
    assert sum(missing.values()) - missing[0] > 2


def test_shortcuts_score_low(tmp_path) -> None:
    for name, seed, cases in (("train", 0, 16), ("test", 1, 6)):
        main(["data", "make", "chest-radiographs", str(tmp_path / name), "--seed", str(seed), "--cases", str(cases)])
    scores = point_shortcuts(tmp_path / "train", tmp_path / "test")
    assert set(scores) == {"mean position", "nearest image"}
    assert all(score < 0.5 for score in scores.values())
    same = point_shortcuts(tmp_path / "train", tmp_path / "train")
    assert same["nearest image"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0, "small"), "simulate_radiograph: seed and case must be 0 or more, got -1 and 0."),
        ((0, 0, "large"), "simulate_radiograph: unknown size 'large'. Known: small, full."),
    ],
)
def test_wrong_wishes(arguments, message) -> None:
    with pytest.raises(InputError) as error:
        simulate_radiograph(*arguments)
    assert str(error.value) == message
