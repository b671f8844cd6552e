"""Moving shapes: the class is a relation of two distant frames, and what does not relate them scores at chance."""

import csv
from pathlib import Path

import numpy as np
import pytest

from saccade.cli.main import main
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.synthetic.frame_shortcuts import frame_shortcuts
from saccade.data.synthetic.moving_shapes import CONTRAST, DIFFERENT, EVENTS, NOISE, make, mask, simulate
from saccade.errors import InputError


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, list[dict[str, str]]]:
    with np.load(folder / "videos.npz") as file:
        images, labels = file["images"], file["labels"]
    with (folder / "truth" / "events.csv").open(encoding="utf-8") as file:
        return images, labels[:, 0], list(csv.DictReader(file))


def test_a_seed_gives_the_same_bytes_and_a_case_does_not_depend_on_the_others(tmp_path) -> None:
    said = make(tmp_path / "a", cases=6, seed=3)
    make(tmp_path / "b", cases=6, seed=3)
    make(tmp_path / "c", cases=9, seed=3)
    make(tmp_path / "d", cases=6, seed=4)
    for name in ("videos.npz", "truth/events.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    images = {name: load(tmp_path / name)[0] for name in "acd"}
    assert np.array_equal(images["a"], images["c"][:6])
    assert not (images["a"] == images["d"]).all((1, 2, 3)).any()
    assert said == [case.id for case in find_image_dataset(tmp_path / "a").cases]


def test_the_class_is_whether_both_days_have_the_same_shape(tmp_path) -> None:
    make(tmp_path, cases=40, seed=0)
    _, labels, events = load(tmp_path)
    assert labels.tolist() == [0, 1] * 20
    for case, label in enumerate(labels):
        found = events[4 * case : 4 * case + 4]
        shapes = [event["shape"] for event in found]
        assert [event["light"] for event in found] == ["day", "night"] * 2
        assert sorted(shapes.count(name) for name in set(shapes)) == [1, 3]
        assert (shapes[0] == shapes[2]) == label
        assert (shapes[1] == shapes[3]) != label


def test_shapes_are_where_the_truth_says_and_nowhere_else(tmp_path) -> None:
    make(tmp_path, cases=10, seed=1)
    images, _, events = load(tmp_path)
    for number, event in enumerate(events):
        shape = mask(event["shape"]) > 0
        for offset, keys in enumerate((("row", "column"), ("next_row", "next_column"))):
            frame = images[number // 4, int(event["frame"]) + offset].astype(float)
            row, column = (int(event[key]) for key in keys)
            box = frame[row : row + 5, column : column + 5]
            rest = np.ones(frame.shape, bool)
            rest[row : row + 5, column : column + 5] = ~shape
            assert abs(box[shape].mean() - frame[rest].mean() - CONTRAST) < 4 * NOISE / 3
            assert frame[rest].std() < 1.5 * NOISE
    empty = [frame for frame in range(images.shape[1]) if not {frame, frame - 1} & set(EVENTS)]
    assert empty == [2, 3, 6, 7, 10, 11]
    assert images[:, empty].std((2, 3)).max() < 1.5 * NOISE


def test_by_day_and_by_night_the_ground_differs_and_shapes_move() -> None:
    videos = [simulate(np.random.default_rng(seed), returns=bool(seed % 2)) for seed in range(20)]
    ground = np.median([video for video, _ in videos], (0, 2, 3))
    assert np.abs(ground - ([150] * 3 + [60] * 4 + [150] * 4 + [60] * 3)).max() <= 2
    steps = np.array([np.subtract(*event.places[::-1]) for _, events in videos for event in events])
    assert np.abs(steps).max() == 2
    assert steps.any(1).mean() > 0.8


def test_no_two_neighbouring_shapes_tell_the_class() -> None:
    alike = {
        label: np.mean([[(one == odd) == (one + 1 == odd) for one in range(3)] for odd in odds], 0)
        for label, odds in enumerate(DIFFERENT)
    }
    assert alike[0].tolist() == alike[1].tolist() == [0.5, 0.5, 0.5]


def test_shortcuts_score_at_chance_and_the_two_days_tell_it_all(tmp_path) -> None:
    make(tmp_path / "train", cases=400, seed=0)
    make(tmp_path / "test", cases=400, seed=1)
    scores = frame_shortcuts(tmp_path / "train", tmp_path / "test")
    assert scores.pop("both days") > 0.95
    assert len(scores) == 10
    # 400 coins: their standard deviation is 0.025
    assert {name: score for name, score in scores.items() if not 0.4 < score < 0.6} == {}


def test_it_can_be_made_and_checked_from_the_command_line(tmp_path, capsys) -> None:
    assert main(["data", "make", "moving-shapes", str(tmp_path / "set"), "--cases", "4", "--seed", "5"]) == 0
    assert main(["data", "check", str(tmp_path / "set")]) == 0
    assert "4 cases (4 labelled; 0 2, 1 2), no faults" in " ".join(capsys.readouterr().out.split())


def test_numbers_that_cannot_be(tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"^moving-shapes: must be 1 case or more and a seed of 0 or more, got 0 and 1\.$"
    ):
        make(tmp_path, cases=0, seed=1)
