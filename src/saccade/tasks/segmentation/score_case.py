"""Score one case: its files read, brought onto one grid, every organ scored, and its lesions where they are wanted.

Everything here is as picklable as it is light: it is what the worker processes of an evaluation run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.layouts import Case, load_case
from saccade.data.orient import to_canonical
from saccade.data.volume import Volume, read_volume, same_grid
from saccade.errors import InputError
from saccade.metrics import LesionScores, count_at_thresholds, score_labels, score_lesions
from saccade.metrics.inputs import Real, Spacing, as_labels
from saccade.metrics.overlap import voxel_ml
from saccade.metrics.scores import labels_in
from saccade.metrics.surface import diagonal_mm

Scores = dict[int, dict[str, float]]

# Scores compare voxel with voxel: what writers round off an affine does not matter to them.
GRID_TOLERANCE_MM = 0.01


@dataclass(frozen=True)
class CaseJob:
    """What is to be done for one case.

    Args:
        case: Holds the truth.
        predicted: The predicted label map; None is a prediction of nothing.
        labels: Labels to score beside those found in either map.
        tolerance_mm: Of the surface Dice.
        lesions: Labels whose lesions are scored; None for every label, empty for none.
        overlap: As in `saccade.metrics.score_lesions`.
        probabilities: Label -> its probability map, None for a map of zeros.
    """

    case: Case
    predicted: Path | None
    labels: tuple[int, ...]
    tolerance_mm: Real
    lesions: tuple[int, ...] | None = ()
    overlap: Real = 0.0
    probabilities: Mapping[int, Path | None] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseLesions:
    """The lesions of one label of one case.

    Args:
        scores: Of the label map.
        centres_mm: Where each lesion's centre of mass lies in the world (RAS), in mm.
        counts: Found and false positives at each threshold of the probability map; empty without one.
    """

    scores: LesionScores
    centres_mm: tuple[tuple[float, ...], ...]
    counts: tuple[tuple[int, int], ...]

    @staticmethod
    def nothing() -> "CaseLesions":
        """No lesion, and nothing predicted."""
        return CaseLesions(LesionScores((), 0, ()), (), ())


@dataclass(frozen=True)
class CaseResult:
    """Scores of one case, and the size of its grid, which bounds every distance and volume in it.

    Where not everything was labelled in it, ``labelled`` has the labels that were; there are no scores of others.
    """

    scores: Scores
    lesions: dict[int, CaseLesions]
    diagonal_mm: float
    volume_ml: float
    labelled: tuple[int, ...] | None = None


def score_case(job: CaseJob) -> CaseResult:
    """Read a case and score it.

    Raises:
        InputError: If a file cannot be read, holds no label map, or lies on another grid than the truth.
    """
    true = _read_truth(job.case)
    paths = {path for path in (job.predicted, *job.probabilities.values()) if path is not None}
    volumes, true = _on_one_grid({path: read_volume(path) for path in paths}, true, job.case)
    truth = _labels(true, job.case)
    prediction = np.zeros_like(truth) if job.predicted is None else _labels(volumes[job.predicted], job.case)
    scores = evaluate_arrays(prediction, truth, true.spacing_mm, labels=job.labels, tolerance_mm=job.tolerance_mm)
    known = job.case.labelled
    if known is not None:  # nobody has looked for the others
        scores = {label: metrics for label, metrics in scores.items() if label in known}
    wanted = [label for label in (scores if job.lesions is None else job.lesions) if known is None or label in known]
    lesions = {label: _lesions(label, prediction, truth, true, volumes, job) for label in wanted}
    spacing = np.array(true.spacing_mm)
    volume_ml = float(np.prod(true.shape)) * voxel_ml(spacing)
    return CaseResult(scores, lesions, diagonal_mm(true.shape, spacing), volume_ml, known)


def evaluate_arrays(
    prediction: np.ndarray,
    truth: np.ndarray,
    spacing_mm: Spacing,
    *,
    labels: Sequence[int] | Mapping[int, str] = (),
    tolerance_mm: Real = 1.0,
) -> Scores:
    """Scores of one case; a volume one voxel thick is scored as the image that it is.

    Args:
        prediction: Label map, whole numbers from 0 up.
        truth: Label map of the same shape.
        spacing_mm: Voxel size per axis.
        labels: Labels to score beside those found in either map.
        tolerance_mm: Of the surface Dice.

    Returns:
        ``{label: {metric: value}}`` in label order.

    Raises:
        InputError: As `saccade.metrics.score_labels`.
    """
    a, b = as_labels("evaluate_arrays", prediction), as_labels("evaluate_arrays", truth)
    wanted = sorted({*labels, *labels_in(a), *labels_in(b)})
    thin = [axis for axis, size in enumerate(b.shape) if size == 1]
    if a.shape != b.shape or len(thin) == b.ndim:
        thin = []
    spacing = np.asarray(spacing_mm, dtype=float)
    scores = score_labels(
        a.squeeze(tuple(thin)), b.squeeze(tuple(thin)), wanted, [*np.delete(spacing, thin)], tolerance_mm=tolerance_mm
    )
    for metrics in scores.values():  # an image counts as 1 mm thick, this one is as thick as its slice
        metrics["volume_error_ml"] *= float(np.prod(spacing[thin]))
    return scores


def _lesions(
    label: int, prediction: np.ndarray, truth: np.ndarray, grid: Volume, volumes: Mapping[Path, Volume], job: CaseJob
) -> CaseLesions:
    mask = truth == label
    scores = score_lesions(prediction == label, mask, grid.spacing_mm, overlap=job.overlap)
    centres = [grid.affine[:3, :3] @ lesion.centre + grid.affine[:3, 3] for lesion in scores.lesions]
    counts: list[tuple[int, int]] = []
    if label in job.probabilities:
        path = job.probabilities[label]
        map_ = np.zeros_like(mask) if path is None else _probability(volumes[path], job.case)
        counts = count_at_thresholds(map_, mask, grid.spacing_mm, overlap=job.overlap)
    return CaseLesions(scores, tuple(tuple(centre.round(3).tolist()) for centre in centres), tuple(counts))


def _probability(volume: Volume, case: Case) -> np.ndarray:
    who = f"case {case.id}: {volume.source}"
    if volume.channels > 1:
        raise InputError(f"{who} must hold one probability per voxel, got {volume.channels}.")
    low, high = volume.array.min(), volume.array.max()
    if not 0 <= low <= high <= 1:  # nan fails too
        raise InputError(f"{who} must hold probabilities in 0..1, got {low:g}..{high:g}.")
    return volume.array


def _read_truth(case: Case) -> Volume:
    """The true label map; through its image where only that says how it lies."""
    label = load_case(case)[1] if case.flip_label_y else read_volume(case.label) if case.label else None
    if label is None:
        raise InputError(f"case {case.id}: must have a label map, got none.")
    return label


def _on_one_grid(volumes: dict[Path, Volume], true: Volume, case: Case) -> tuple[dict[Path, Volume], Volume]:
    """All of them in one axis order, which is canonical unless they share the truth's own."""
    if all(same_grid(volume, true, GRID_TOLERANCE_MM) for volume in volumes.values()):
        return volumes, true
    turned, canonical = {path: to_canonical(volume) for path, volume in volumes.items()}, to_canonical(true)
    for path, volume in turned.items():
        if not same_grid(volume, canonical, GRID_TOLERANCE_MM):
            raise InputError(
                f"case {case.id}: {path} must lie on the grid of {case.label}, "
                f"{_grid(true)}, got {_grid(volumes[path])}."
            )
    return turned, canonical


def _labels(volume: Volume, case: Case) -> np.ndarray:
    if volume.channels > 1:
        raise InputError(f"case {case.id}: {volume.source} must hold one label per voxel, got {volume.channels}.")
    return as_labels(f"case {case.id}: {volume.source}", volume.array)


def _grid(volume: Volume) -> str:
    rows = "; ".join(" ".join(f"{value:.6g}" for value in row) for row in volume.affine[:3])
    return f"shape {volume.shape} affine [{rows}]"


def as_json(lesions: CaseLesions) -> dict[str, Any]:
    """What a JSON file says of the lesions of one label of one case."""
    return {
        "lesions": [
            {
                "ml": lesion.ml,
                "centre_mm": list(centre),
                "touches_border": lesion.touches_border,
                "found": lesion.found,
                "dice": lesion.dice,
            }
            for lesion, centre in zip(lesions.scores.lesions, lesions.centres_mm, strict=True)
        ],
        "n_predicted": lesions.scores.n_predicted,
        "false_positives_ml": list(lesions.scores.false_positives_ml),
    }
