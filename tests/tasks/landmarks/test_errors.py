"""Kinds of errors, and predictions moved from one image to another."""

import numpy as np
import pytest

from saccade.report.landmark_gallery import warp
from saccade.tasks.landmarks.errors import kinds_of_errors

NAMES = [f"rib_{n}" for n in range(6)]


def case(said: list[float | None], tolerance: float = 2.0) -> dict:
    """Ribs 10 apart along y; ``said`` is where along y each was put."""
    found = {}
    for n, (name, y) in enumerate(zip(NAMES, said, strict=True)):
        error = None if y is None else abs(y - 10.0 * n)
        found[name] = {
            "truth": (0.0, 10.0 * n), "said": None if y is None else (0.0, y), "error": error,
            "localised": error is not None and error <= tolerance,
        }  # fmt: skip
    return found


def test_miscounted_ribs_are_a_chain_error() -> None:
    assert kinds_of_errors(case([0, 20, 30, 41, 50, 50]), NAMES) == dict.fromkeys(NAMES[1:5], "chain")
    assert kinds_of_errors(case([0, 20, 30, 30, 40, 50]), NAMES) == dict.fromkeys(NAMES[1:3], "mistaken")


def test_other_errors() -> None:
    found = kinds_of_errors(case([0, None, 24, 30, 140, 50]), NAMES)
    assert found == {"rib_1": "none", "rib_2": "near", "rib_4": "region"}
    only = {"a": {"truth": (0.0, 0.0), "said": (9.0, 9.0), "error": 12.7, "localised": False}}
    assert kinds_of_errors(only, ["a"]) == {"a": "near"}  # there is no other place that it could be


def test_a_warp_takes_landmarks_to_landmarks_and_follows_affine_maps() -> None:
    rng = np.random.default_rng(0)
    first = {f"{n}": p for n, p in enumerate(rng.uniform(0, 100, (7, 2)))}
    matrix, offset = np.array([[1.1, 0.2], [-0.1, 0.9]]), np.array([5.0, -3.0])
    second = {name: matrix @ p + offset for name, p in first.items()}
    moved = warp(first, second, {"said": np.array([40.0, 60.0]), **first})
    assert moved["said"] == pytest.approx(matrix @ [40.0, 60.0] + offset)
    bent = {name: p + 5 * np.sin(p[::-1] / 20) for name, p in first.items()}
    for name, p in warp(first, bent, first).items():
        assert p == pytest.approx(bent[name])


def test_with_few_landmarks_a_warp_is_a_shift() -> None:
    first = {"a": np.array([0.0, 0.0]), "b": np.array([4.0, 0.0])}
    second = {name: p + np.array([3.0, 1.0]) for name, p in first.items()}
    assert warp(first, second, {"c": np.array([9.0, 9.0])})["c"] == pytest.approx([12.0, 10.0])
    assert warp(first, {"z": np.zeros(2)}, first) == {}
