"""What trivial methods score on images with landmarks: an easy phantom is no proof of a good method."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from saccade.data.classification.read import read_image, with_channels
from saccade.data.landmarks.case import LandmarkCase
from saccade.data.landmarks.layouts import find_landmark_dataset
from saccade.metrics.landmarks import on_line

PIXELS = 32  # of a side, at which images are compared


def point_shortcuts(train: Path | str, test: Path | str) -> dict[str, float]:
    """Share of landmarks of one data set that are right by their centre line, for shortcuts fitted on another.

    "mean position": where the landmark is in the mean of the training images; "nearest image": where it is in the
    training image whose pixels are most like those of the image (correlation, at 32 x 32). A landmark that the shortcut
    has no place for counts as wrong.

    Args:
        train: A data set of landmarks in pictures of one size.
        test: Another one of the same kind, with centre lines.

    Returns:
        Shortcut -> share, 0..1.

    Raises:
        InputError: If a data set cannot be read.
    """
    known, unseen = (find_landmark_dataset(root).labelled() for root in (train, test))
    names = dict.fromkeys(name for case in known for name in case.points)
    mean = {name: np.mean([case.points[name] for case in known if name in case.points], 0) for name in names}
    library = np.stack([_small(case) for case in known])
    right: dict[str, list[bool]] = {"mean position": [], "nearest image": []}
    for case in unseen:
        nearest = known[int((library @ _small(case)).argmax())].points
        for name, truth in case.points.items():
            line = case.lines[name]
            for way, places in (("mean position", mean), ("nearest image", nearest)):
                vertices = np.array(line.vertices)
                found = name in places and on_line(np.array(places[name]), np.array(truth), vertices, line.half_width)
                right[way].append(found)
    return {way: float(np.mean(found)) for way, found in right.items()}


def _small(case: LandmarkCase) -> np.ndarray:
    """A picture with few pixels, as a vector of mean 0 and length 1."""
    image = with_channels(read_image(case.source), 1, str(case.source))[..., 0]
    small = F.adaptive_avg_pool2d(torch.from_numpy(image)[None], PIXELS).flatten().double().numpy()
    small = small - small.mean()
    found: np.ndarray = small / max(float(np.linalg.norm(small)), 1e-12)
    return found
