"""A predictor that needs no training: it finds class 1 where the scan is 1 and looks at what is bright."""

import numpy as np
import torch

from saccade.errors import InputError
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.predictor import Segmentation, SegmentationPredictor

NAMES = {1: "liver", 4: "a b"}


class Fake(SegmentationPredictor):
    """Probabilities are the scan's values over 10 times the place of the organ in the list, entropy is 0.5."""

    attends = True

    def __init__(self, pattern: str = "{case}.nii.gz", weights: float = 0.0, names=NAMES) -> None:
        data = {"root": ".", "label_names": names, "patch_size": (4, 4, 4), "intensity": {"kind": "z_score"}}
        self.config = SegmentationConfig.parse(
            {"system": "unet", "data": data, "inference": {"file_pattern": pattern}}, "t"
        )
        self.network, self.device = torch.nn.Linear(1, 1), torch.device("cpu")
        torch.nn.init.constant_(self.network.weight, weights)
        torch.nn.init.zeros_(self.network.bias)
        self.memory: list[int | None] = []  # the limits that were given

    def expected_peak_bytes(self, scan, *, attention=False, probabilities=(), uncertainty=False) -> int:
        return 10**9 * (1 + attention + len(probabilities) + uncertainty)

    def segment(
        self, scan, *, attention=False, probabilities=(), uncertainty=False, max_memory=None, progress=None
    ) -> Segmentation:
        self.memory.append(max_memory)
        if progress:
            progress(1, 2)
        if scan.array.max() > 90:
            raise InputError("bad scan.")
        values = scan.array.astype(np.float32)
        return Segmentation(
            scan.like((scan.array == 1).astype(np.uint8)),
            {"gate_0": scan.like(values / 3)} if attention else {},
            {organ: scan.like(values / 10 / n) for n, organ in enumerate(probabilities, start=1)},
            scan.like(np.full(scan.shape, 0.5, np.float32)) if uncertainty else None,
            {"network": 2.0},
        )
