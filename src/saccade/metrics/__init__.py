"""Scores of segmentations, in physical units, with written rules for empty masks (docs/metrics.md)."""

from saccade.metrics.aggregate import aggregate
from saccade.metrics.overlap import dice, precision, recall, volume_error_ml
from saccade.metrics.scores import METRICS, score_labels
from saccade.metrics.surface import (
    SurfaceDistances,
    hausdorff,
    hausdorff95,
    surface_dice,
    surface_distance,
    surface_distances,
)

__all__ = [
    "METRICS",
    "SurfaceDistances",
    "aggregate",
    "dice",
    "hausdorff",
    "hausdorff95",
    "precision",
    "recall",
    "score_labels",
    "surface_dice",
    "surface_distance",
    "surface_distances",
    "volume_error_ml",
]
