"""What trivial classifiers score on images with a class each: an easy phantom is no proof of a good method."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from saccade.data.classification.layouts import find_image_dataset
from saccade.data.classification.read import read_image, with_channels
from saccade.errors import InputError

BINS = 16  # of the histogram, each with as many of the training values
CELLS = 4  # of the coarse image, along each axis
RIDGE = 1e3  # strength of the penalty on pixels, of which there are more than images

Features = Callable[[np.ndarray], np.ndarray]


def class_shortcuts(train: Path | str, test: Path | str) -> dict[str, float]:
    """Accuracy on one data set of five shortcuts that were fitted on another.

    "brightness": mean and standard deviation of the values; "histogram": how often each value occurs, wherever; "class
    mean": the nearest mean image; "coarse": means on a grid of 4 cells along each axis; "pixels": a linear classifier
    of all values. Brightness, histogram and coarse image go through a logistic regression.

    Args:
        train: A data set of images of one size with a class each, in any layout.
        test: Another one of the same kind.

    Returns:
        Shortcut -> accuracy, 0..1.

    Raises:
        InputError: If a data set cannot be read, or its images have several sizes.
    """
    images, classes = _read(train)
    unseen, truth = _read(test)
    if images.shape[1:] != unseen.shape[1:]:
        raise InputError(f"{test}: images must have the size of those of {train}, {images.shape[1:]}.")
    edges = np.quantile(images, np.linspace(0, 1, BINS + 1)[1:-1])
    small = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    ways: dict[str, tuple[object, Features]] = {
        "brightness": (small, _brightness),
        "histogram": (small, lambda values: _histogram(values, edges)),
        "class mean": (NearestCentroid(), _flat),
        "coarse": (small, _coarse),
        "pixels": (make_pipeline(StandardScaler(), RidgeClassifier(alpha=RIDGE)), _flat),
    }
    scores = {}
    for name, (model, features) in ways.items():
        fitted = model.fit(features(images), classes)  # type: ignore[attr-defined]
        scores[name] = float(np.mean(fitted.predict(features(unseen)) == truth))
    return scores


def _read(root: Path | str) -> tuple[Float[np.ndarray, "n *space"], np.ndarray]:
    cases = find_image_dataset(root).labelled()
    images = [with_channels(read_image(case.source), 1, str(case.source))[..., 0] for case in cases]
    if len({image.shape for image in images}) != 1:
        raise InputError(f"{root}: shortcuts need images of one size, got {len(images)} of several sizes or none.")
    return np.stack(images), np.array([case.values[0] for case in cases])


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def _brightness(images: np.ndarray) -> np.ndarray:
    return np.stack([_flat(images).mean(1), _flat(images).std(1)], 1)


def _histogram(images: np.ndarray, edges: np.ndarray) -> np.ndarray:
    bins = np.searchsorted(edges, _flat(images))
    return np.stack([np.bincount(row, minlength=len(edges) + 1) for row in bins])


def _coarse(images: np.ndarray) -> np.ndarray:
    for axis in range(1, images.ndim):
        parts = np.array_split(images, min(CELLS, images.shape[axis]), axis)
        images = np.stack([part.mean(axis) for part in parts], axis)
    return _flat(images)
