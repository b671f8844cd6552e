"""What trivial methods score on lesions with boxes and descriptors: an easy phantom is no proof of a good method."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, gaussian_laplace, maximum_filter
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from saccade.data.classification.read import read_image, with_channels
from saccade.data.detection.case import Object
from saccade.data.detection.layouts import find_box_dataset
from saccade.errors import InputError
from saccade.metrics.description import recall_at
from saccade.metrics.detection import score_detections
from saccade.metrics.detection_match import Found, Truth

PEAKS = 20  # candidates of a picture
ANY = "object"
Pictures = list[tuple[Float[np.ndarray, "rows columns"], Sequence[Object]]]


def box_shortcuts(train: Path | str, test: Path | str) -> dict[str, Any]:
    """Scores on one data set of shortcuts fitted on another.

    Args:
        train: Pictures with boxes, in any layout.
        test: Others of the same kind.

    Returns:
        ``boxes``: of "brightest" (the brightest places at the scale of a median box) and "blobs" (the places that stand
        out most from what is around them, at three scales) ``recall_at_4`` and ``ap50``, classes put together.
        ``descriptors``: given true boxes, the accuracy for each descriptor of "majority" (the commonest value) and
        "brightness and size": a logistic regression on mean and deviation of the grey levels in the box, and on its
        lengths and proportions.

    Raises:
        InputError: If a data set cannot be read, holds volumes, or has no box to learn from.
    """
    learnt, unseen = _read(train), _read(test)
    sides = [sqrt(_area(item)) for _, objects in learnt for item in objects]
    if not sides:
        raise InputError(f"{train}: must have a box to learn from, has none.")
    side = float(np.median(sides))
    scales = [float(part) for part in np.quantile(sides, (0.25, 0.5, 0.75))]
    truth = {str(number): _truth(objects) for number, (_, objects) in enumerate(unseen)}
    ways: dict[str, Callable[[np.ndarray], Found]] = {
        "brightest": lambda picture: _peaks(gaussian_filter(picture, side / 4)[None], [side]),
        "blobs": lambda picture: _peaks(_blobs(picture, scales), scales),
    }
    boxes = {}
    for name, way in ways.items():
        found = {str(number): way(picture) for number, (picture, _) in enumerate(unseen)}
        ap50 = score_detections(found, truth, [ANY])["summary"]["ap50"]["value"]
        boxes[name] = {"recall_at_4": recall_at(found, truth), "ap50": ap50}
    names = dict.fromkeys(name for _, objects in learnt for item in objects for name in item.more)
    return {"boxes": boxes, "descriptors": _of_descriptors(learnt, unseen, list(names))}


def _of_descriptors(learnt: Pictures, unseen: Pictures, names: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {"majority": {}, "brightness and size": {}}
    for name in names:
        (features, values), (others, truth) = (_features(pictures, name) for pictures in (learnt, unseen))
        commonest = Counter(values).most_common(1)[0][0]
        found["majority"][name] = float(np.mean(np.array(truth) == commonest))
        if len(set(values)) > 1:
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(features, values)
            found["brightness and size"][name] = float(np.mean(model.predict(others) == truth))
    return found


def _features(pictures: Pictures, name: str) -> tuple[np.ndarray, list[str]]:
    """Of each object whose descriptor is known its features, and that descriptor."""
    known = [(picture, item) for picture, objects in pictures for item in objects if name in item.more]
    return np.array([_of_box(picture, item) for picture, item in known]), [item.more[name] for _, item in known]


def _of_box(picture: np.ndarray, item: Object) -> np.ndarray:
    x1, y1, x2, y2 = item.box
    inside = picture[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))]
    width, height = x2 - x1, y2 - y1
    lengths = [width, height, width * height, abs(np.log(width / height))]
    return np.array([inside.mean(), inside.std(), *lengths])


def _blobs(picture: np.ndarray, scales: Sequence[float]) -> np.ndarray:
    """How far each place stands out at each scale; a disc does most at sigma = radius / sqrt(2)."""
    sigmas = [side / 2 / sqrt(2) for side in scales]
    return np.stack([-(sigma**2) * gaussian_laplace(picture, sigma) for sigma in sigmas])


def _peaks(values: np.ndarray, scales: Sequence[float]) -> Found:
    """Squares around the highest places of (scales, rows, columns), of each scale's side."""
    reach = int(min(scales) / 2)
    top = values.max(0)
    rows, columns = np.nonzero(top == maximum_filter(top, 2 * reach + 1))
    order = np.argsort(-top[rows, columns])[:PEAKS]
    rows, columns = rows[order], columns[order]
    half = np.array(scales)[values.argmax(0)[rows, columns]] / 2
    x, y = columns + 0.5, rows + 0.5
    return Found(np.stack([x - half, y - half, x + half, y + half], 1), top[rows, columns], (ANY,) * len(rows))


def _truth(objects: Sequence[Object]) -> Truth:
    boxes = np.array([item.box for item in objects], float).reshape(-1, 4)
    flags = (np.array([getattr(item, flag) for item in objects], bool) for flag in ("difficult", "crowd"))
    return Truth(boxes, (ANY,) * len(objects), *flags)


def _area(item: Object) -> float:
    x1, y1, x2, y2 = item.box
    return (x2 - x1) * (y2 - y1)


def _read(root: Path | str) -> Pictures:
    dataset = find_box_dataset(root)
    if dataset.dims != 2:
        raise InputError(f"{root}: shortcuts need pictures, got volumes.")
    return [
        (with_channels(read_image(scene.image), 1, str(scene.image))[..., 0], scene.objects) for scene in dataset.scenes
    ]
