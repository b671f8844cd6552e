"""A configuration of patches of blobs, its cases, and whether two patches are equal."""

from pathlib import Path

import torch

from saccade.data.layouts import Case, find_dataset
from saccade.tasks.segmentation.config import SegmentationConfig


def config(**training) -> SegmentationConfig:
    data = {"root": ".", "label_names": {1: "ball"}, "patch_size": (5, 3, 7), "intensity": {"kind": "z_score"}}
    augmentation = {"noise": 0.1, "flip_axes": (0,)}
    return SegmentationConfig.parse(
        {"system": "unet", "data": data, "augmentation": augmentation, "training": training}, "test"
    )


def cases(pairs: Path) -> list[Case]:
    return find_dataset(pairs).labelled()


def same(a, b) -> bool:
    return torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
