"""What classifiers score on moving shapes that see one frame, the mean of all, or neighbours: it must be chance."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from saccade.data.classification.layouts import find_image_dataset
from saccade.data.classification.read import read_image
from saccade.data.synthetic.moving_shapes import CONTRAST, DAY, EVENTS, NIGHT, SHAPES, mask

RIDGE = 1e3  # strength of the penalty on pixels
TREES, LEAF = 100, 5
NEIGHBOURS = EVENTS[1] + 3  # frames in a row, from the first on, in which two shapes are seen
THERE = 0.5 * CONTRAST  # mean over a shape's pixels, above their surroundings, from which on it is called seen

Look = Callable[[np.ndarray], np.ndarray]  # from videos to what is seen of each


def frame_shortcuts(train: Path | str, test: Path | str) -> dict[str, float]:
    """Accuracy on one set of moving shapes of shortcuts that were fitted on another; chance is 0.5.

    A picture (the first frame, the last, the mean of all, the mean change from frame to frame) is looked at by a linear
    classifier of its pixels, and by a forest that is told how well each of the four shapes fits at its best place.
    "added up" knows the shape and the light of every frame, and adds up what each is worth; "neighbours" is a forest
    that knows both of every one of the first seven frames. No shortcut is "both days", the rule itself on the shapes
    that fit best in the first and the ninth frame: it shows that the shapes can be told.

    Args:
        train: A folder of `saccade data make moving-shapes`.
        test: Another one, of another seed.

    Returns:
        Shortcut -> accuracy, 0..1.

    Raises:
        InputError: If a data set cannot be read.
    """
    (videos, classes), (unseen, truth) = (_read(root) for root in (train, test))
    linear = make_pipeline(StandardScaler(), RidgeClassifier(alpha=RIDGE))
    adding = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    forest = RandomForestClassifier(TREES, min_samples_leaf=LEAF, random_state=0)
    pictures: dict[str, Look] = {
        "first frame": lambda v: v[:, 0],
        "last frame": lambda v: v[:, -1],
        "mean frame": lambda v: v.mean(1),
        "mean change": lambda v: np.abs(np.diff(v, axis=1)).mean(1),
    }
    ways: dict[str, tuple[Any, Look]] = {}
    for name, picture in pictures.items():
        ways[f"{name}, pixels"] = linear, partial(_pixels, picture)
        ways[f"{name}, shapes"] = forest, partial(_fits, picture)
    ways["added up"] = adding, lambda v: told(v).sum(1)
    ways["neighbours"] = forest, lambda v: told(v[:, :NEIGHBOURS]).reshape(len(v), -1)
    scores = {
        name: float(np.mean(model.fit(features(videos), classes).predict(features(unseen)) == truth))
        for name, (model, features) in ways.items()
    }
    first, second = (fits(unseen[:, EVENTS[place]]).argmax(1) for place in (0, 2))
    return {**scores, "both days": float(np.mean(np.where(first == second, "1", "0") == truth))}


def _pixels(picture: Look, videos: np.ndarray) -> np.ndarray:
    return picture(videos).reshape(len(videos), -1)


def _fits(picture: Look, videos: np.ndarray) -> np.ndarray:
    return fits(picture(videos))


def fits(pictures: Float[np.ndarray, "*n rows columns"]) -> Float[np.ndarray, "*n 4"]:
    """How far each shape's pixels are above their surroundings where it fits best."""
    masks = np.stack([mask(name) for name in SHAPES])
    size = masks.shape[1:]
    inside = masks / masks.sum((1, 2), keepdims=True)
    outside = (1 - masks) / (1 - masks).sum((1, 2), keepdims=True)
    windows = np.lib.stride_tricks.sliding_window_view(pictures, size, axis=(-2, -1))
    found: np.ndarray = np.einsum("...ij,sij->...s", windows, inside - outside).max((-3, -2))
    return found


def told(videos: Float[np.ndarray, "n frames rows columns"]) -> Float[np.ndarray, "n frames 9"]:
    """Of every frame which shape it shows by day or by night (1 in one of eight places, or none), and its light."""
    seen = fits(videos)
    by_day = np.median(videos, (2, 3)) > (DAY + NIGHT) / 2
    which = np.eye(len(SHAPES))[seen.argmax(-1)] * (seen.max(-1, keepdims=True) > THERE)
    return np.concatenate([which * by_day[..., None], which * ~by_day[..., None], by_day[..., None]], -1)


def _read(root: Path | str) -> tuple[Float[np.ndarray, "n frames rows columns"], np.ndarray]:
    cases = find_image_dataset(root).labelled()
    videos = np.stack([read_image(case.source).array[..., 0] for case in cases]).astype(float)
    return videos, np.array([case.values[0] for case in cases])
