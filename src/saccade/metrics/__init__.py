"""Scores of segmentations, in physical units, with written rules for empty masks (docs/metrics.md)."""

from saccade.metrics.aggregate import aggregate
from saccade.metrics.intervals import bootstrap_interval, confidence_intervals
from saccade.metrics.lesion_summary import count_at_thresholds, froc, summarise_lesions
from saccade.metrics.lesions import Lesion, LesionScores, score_lesions
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
    "Lesion",
    "LesionScores",
    "SurfaceDistances",
    "aggregate",
    "bootstrap_interval",
    "confidence_intervals",
    "count_at_thresholds",
    "dice",
    "froc",
    "hausdorff",
    "hausdorff95",
    "precision",
    "recall",
    "score_labels",
    "score_lesions",
    "summarise_lesions",
    "surface_dice",
    "surface_distance",
    "surface_distances",
    "volume_error_ml",
]
