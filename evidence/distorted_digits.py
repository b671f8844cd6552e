"""The simulated digits of the studies, what shortcuts score on them, and what networks made of each digit's place."""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import once, saccade

import saccade as library
from saccade.attention.tap import record
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.synthetic.class_shortcuts import class_shortcuts
from saccade.data.synthetic.digits import INK
from saccade.tasks.classification.predictor import ClassificationPredictor

TRAIN_CASES, TEST_CASES = 6000, 1000
AT_ONCE = 100
SOURCE = (
    "simulated: `saccade data make digits-distorted DIR --distortion {kind} --cases 6000 --seed 0` to learn, "
    "`--cases 1000 --seed 1` to test, made of scikit-learn's 1,797 digits; the two share none"
)


def digit_sets(options: argparse.Namespace, kind: str) -> tuple[Path, Path]:
    """A set to learn from and one to test on, made where they are not there."""
    made = []
    for name, cases, seed in (("train", TRAIN_CASES, 0), ("test", TEST_CASES, 1)):
        folder = options.work / f"digits-{kind}-{name}"
        if not (folder / "truth" / "places.csv").is_file():  # what is written last
            words = ("--distortion", kind, "--cases", cases, "--seed", seed)
            saccade("data", "make", "digits-distorted", folder, *words)
        made.append(folder)
    return made[0], made[1]


def shortcuts(options: argparse.Namespace, kind: str) -> dict[str, float]:
    """Accuracy of trivial classifiers on the test set."""
    return dict(
        once(f"digits-{kind}-shortcuts", lambda: {"accuracy": class_shortcuts(*digit_sets(options, kind))})["accuracy"]
    )


def read_places(folder: Path) -> dict[str, dict[str, float]]:
    """Case -> row and column of its digit's middle, degrees, scale."""
    with (folder / "truth" / "places.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row.pop("case"): {name: float(value) for name, value in row.items()} for row in rows}


def maps_of(run: Path, test: Path) -> tuple[list[str], list[str], dict[str, np.ndarray]]:
    """Ids and classes of a test set's cases, and every map that a run's network records on them."""
    predictor = library.load(run)
    assert isinstance(predictor, ClassificationPredictor)
    cases = find_image_dataset(test).cases
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(cases), AT_ONCE):
        images = torch.stack([predictor.prepared(case.source) for case in cases[start : start + AT_ONCE]])
        with torch.inference_mode(), record(predictor.network) as maps:
            predictor.network(images)
        for name, seen in maps.items():
            found.setdefault(name, []).append(seen.tensor.numpy())
    stacked = {name: np.concatenate(parts) for name, parts in found.items()}
    return [case.id for case in cases], [case.values[0] for case in cases], stacked


def poses(run: Path, test: Path, canvas: int) -> dict[str, Any]:
    """How differently digits lie before and after a spatial transformer: spreads within each class, averaged.

    Angles in degrees, places as shares of the side, sizes as standard deviations of the logarithm; and by how much the
    transformer shrinks what it looks at, the root of the affine map's determinant.
    """
    ids, names, maps = maps_of(run, test)
    places, grid = read_places(test), maps["transformer.map"].astype(float)
    side = grid.shape[1]
    # The map is affine: it follows from three of its places, whose coordinates in the output are these.
    low, high = 1 / side - 1, 1 - 1 / side
    across = (grid[:, 0, -1] - grid[:, 0, 0]) / (high - low)
    down = (grid[:, -1, 0] - grid[:, 0, 0]) / (high - low)
    matrix = np.stack([across, down], -1)
    shift = grid[:, 0, 0] - low * (across + down)
    before: list[tuple[float, ...]] = []
    after: list[tuple[float, ...]] = []
    for id, linear, moved in zip(ids, matrix, shift, strict=True):
        place = places[id]
        angle = np.radians(place["degrees"])
        turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])  # x first, y down
        middle = 2 * np.array([place["column"], place["row"]]) / canvas - 1
        back = np.linalg.inv(linear)
        seen = back @ turn * place["scale"]
        x, y = back @ (middle - moved)
        found = np.arctan2(seen[0, 1] - seen[1, 0], seen[0, 0] + seen[1, 1])
        before.append((angle, *middle / 2, np.log(place["scale"])))
        after.append((found, x / 2, y / 2, 0.5 * np.log(abs(np.linalg.det(seen)))))
    zoom = float(np.sqrt(np.abs(np.linalg.det(matrix))).mean())
    return {"before": _spreads(before, names), "after": _spreads(after, names), "mean_zoom": zoom}


def _spreads(found: list[tuple[float, ...]], names: list[str]) -> dict[str, float]:
    table, kinds = np.array(found), np.array(names)
    spreads = []
    for kind in sorted(set(names)):
        mine = table[kinds == kind]
        mean = np.angle(np.exp(1j * mine[:, 0]).mean())
        turned = np.degrees(np.angle(np.exp(1j * (mine[:, 0] - mean))))
        spreads.append((np.sqrt((turned**2).mean()), np.sqrt(mine[:, 1:3].var(0).mean()), mine[:, 3].std()))
    return dict(zip(("degrees", "place", "log_size"), np.mean(spreads, 0).tolist(), strict=True))


def energies(run: Path, test: Path, canvas: int) -> dict[str, Any]:
    """Of each spatial map the share of its weight in the box of the digit's ink, and how often its peak lies there."""
    ids, _, maps = maps_of(run, test)
    places = read_places(test)
    centres = np.arange(canvas) + 0.5
    inside = []
    for id in ids:
        place = places[id]
        half = INK / 2 * place["scale"]
        rows, columns = (np.abs(centres - place[axis]) <= half for axis in ("row", "column"))
        inside.append(rows[:, None] & columns)
    box = torch.tensor(np.array(inside), dtype=torch.float32)[:, None]
    shares, hits = {}, {}
    for name, values in maps.items():
        weights = torch.tensor(values)
        cells = torch.nn.functional.adaptive_avg_pool2d(box, weights.shape[2:])  # how much of a cell is in the box
        shares[name] = float((weights * cells).sum((1, 2, 3)).mean() / weights.sum((1, 2, 3)).mean())
        peak = weights.flatten(1).argmax(1, keepdim=True)
        hits[name] = float((cells.flatten(1).gather(1, peak) >= 0.5).float().mean())
    return {"share_in_the_digit_s_box": shares, "peak_in_the_digit_s_box": hits, "area_of_the_box": float(box.mean())}
