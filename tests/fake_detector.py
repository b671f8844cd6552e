"""A detector that needs no training: it finds what is bright, surer of larger things."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage

from saccade.data.classification.read import is_picture, read_image
from saccade.data.orient import to_canonical
from saccade.data.volume import read_volume
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.detections import Detections
from saccade.tasks.detection.frame import Frame
from saccade.tasks.detection.predictor import DetectionPredictor
from saccade.tasks.settings import merge


class FakeDetector(DetectionPredictor):
    """Every connected part above 200 is a "red"; it is sure of its share of the image's longest side."""

    def __init__(self, config: dict | None = None, weights: float = 0.0) -> None:
        data = {"root": ".", "classes": ["red", "white"], "size": (8, 8), "intensity": {"kind": "z_score"}}
        given = merge({"system": "ssd", "data": data, "inference": {"score": 0.1}}, config or {})
        self.config = DetectionConfig.parse(given, "t")
        self.network = torch.nn.Linear(1, 1)
        self.device = torch.device("cpu")
        torch.nn.init.constant_(self.network.weight, weights)
        torch.nn.init.zeros_(self.network.bias)
        self.seen: list[str] = []

    def with_inference(self, changes: dict[str, object]) -> "FakeDetector":
        other = FakeDetector(merge(self.config.model_dump(), {"inference": changes}))
        other.seen = self.seen
        return other

    def predict_all(self, images) -> Iterator[Detections]:
        for image in images:
            self.seen.append(image.name)
            if is_picture(image):
                array, affine = read_image(image).array[..., 0], None
            else:
                volume = to_canonical(read_volume(image))
                array, affine = volume.array, volume.affine
            parts = ndimage.find_objects(ndimage.label(array > 200)[0])
            ends = [[s.start for s in part][::-1] + [s.stop for s in part][::-1] for part in parts]
            sides = [max(s.stop - s.start for s in part) / max(array.shape) for part in parts]
            kept = [n for n in np.argsort(sides)[::-1] if sides[n] >= self.config.inference.score]
            boxes = np.array(ends, float).reshape(-1, 2 * array.ndim)[kept]
            frame = Frame(array.shape, array.shape, affine)
            scores = np.array(sides)[kept]
            yield Detections(frame.to_user(boxes), scores, ("red",) * len(kept), (), frame.picture_size)
