"""Score predicted label maps against true ones: files in, one dictionary out, whatever tool made the predictions."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.layout_labels import parse_label_names
from saccade.data.layouts import Case, load_case
from saccade.data.orient import to_canonical
from saccade.data.volume import Volume, read_volume, same_grid
from saccade.errors import InputError, unknown_name
from saccade.metrics import METRICS, aggregate, score_labels
from saccade.metrics.inputs import Real, Spacing, as_labels
from saccade.metrics.scores import labels_in
from saccade.tasks.segmentation.pairs import Pairs, find_pairs

MISSING = ("fail", "worst", "skip")
Scores = dict[int, dict[str, float]]

# Scores compare voxel with voxel: what writers round off an affine does not matter to them.
GRID_TOLERANCE_MM = 0.01


def evaluate_folders(
    predictions: Path | str,
    truth: Path | str,
    *,
    label_names: Mapping[int, str] | None = None,
    tolerance_mm: Real = 1.0,
    missing: str = "fail",
    progress: Callable[[int, int, str], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Scores of every case and organ, and their summary.

    Cases are paired by id. A prediction stored in another axis order of the truth's own grid is turned; one on another
    grid is refused. The scores and their rules are those of docs/metrics.md.

    Args:
        predictions: Folder of label maps, or one label map.
        truth: Folder of label maps, a data set in a known layout, or one label map.
        label_names: Label value -> organ; default what labels.json or dataset.json beside the truth say.
        tolerance_mm: Of the surface Dice.
        missing: What a truth without a prediction is: an error (``"fail"``), a prediction of nothing (``"worst"``), or
            left out (``"skip"``).
        progress: Called after each case with the number done, the number in all, and the case.
        say: Gets a line on each thing left out.

    Returns:
        ``{"cases": {case: {organ: {metric: value}}}, "summary": {organ: {metric: {"mean", "std", "n", "n_missed",
        "n_spurious"}}}}``. Organs stand in label order: those named and those found in any case, the unnamed under
        their number as text. What is not scored is nan (null in JSON).

    Raises:
        InputError: If files cannot be read or paired, lie on different grids, or hold no labels.
    """
    if missing not in MISSING:
        raise unknown_name("evaluate_folders", "choice for missing", missing, list(MISSING))
    pairs = find_pairs(Path(predictions), Path(truth))
    names = pairs.label_names if label_names is None else parse_label_names("label_names", label_names)
    _report_unpaired(pairs, Path(predictions), missing, say)
    jobs: dict[str, tuple[Path | None, Case]] = dict(pairs.found)
    if missing == "worst":
        jobs |= {case.id: (None, case) for case in pairs.missing}
    scores: dict[str, Scores] = {}
    for done, id in enumerate(sorted(jobs), start=1):
        predicted, true, spacing_mm = _read_pair(*jobs[id])
        scores[id] = evaluate_arrays(predicted, true, spacing_mm, labels=names, tolerance_mm=tolerance_mm)
        if progress is not None:
            progress(done, len(jobs), id)
    return summarise(scores, names)


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
        ``{label: {metric: value}}`` in label order, to be given to `summarise`.

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


def summarise(scores: Mapping[str, Scores], label_names: Mapping[int, str]) -> dict[str, Any]:
    """The result of `evaluate_folders` from the scores of each case.

    Args:
        scores: Case -> what `evaluate_arrays` gives.
        label_names: Label value -> organ.

    Raises:
        InputError: If there is no case or no label, or two labels would have one name.
    """
    labels = sorted({*label_names, *(label for case in scores.values() for label in case)})
    if not labels:
        raise InputError("evaluate: must have at least one label to score, got only background.")
    organs = {label: label_names.get(label, str(label)) for label in labels}
    if len(set(organs.values())) < len(organs):
        raise InputError(f"evaluate: every label must have its own name, got {', '.join(organs.values())}.")
    unscored = dict.fromkeys(METRICS, float("nan"))
    cases = {
        id: {organ: dict(case.get(label, unscored)) for label, organ in organs.items()} for id, case in scores.items()
    }
    return {"cases": cases, "summary": aggregate(cases)}


def _report_unpaired(pairs: Pairs, predictions: Path, missing: str, say: Callable[[str], None] | None) -> None:
    absent = ", ".join(case.id for case in pairs.missing)
    if absent and missing == "fail":
        raise InputError(
            f"{predictions}: must hold a prediction for every case, got none for {absent}. "
            "Choose missing=worst to count them as empty, missing=skip to leave them out."
        )
    if say is None:
        return
    if absent:
        say(f"no prediction for {absent}: " + ("counted as empty" if missing == "worst" else "left out"))
    if pairs.extra:
        say(f"no truth for {', '.join(pairs.extra)}: left out")


def _read_pair(predicted: Path | None, case: Case) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Two label maps on one grid, and its spacing; no prediction is a prediction of nothing."""
    true = _read_truth(case)
    if predicted is None:
        labels = _labels(true, case)
        return np.zeros_like(labels), labels, true.spacing_mm
    guess = read_volume(predicted)
    if not same_grid(guess, true, GRID_TOLERANCE_MM):
        turned, true = to_canonical(guess), to_canonical(true)
        if not same_grid(turned, true, GRID_TOLERANCE_MM):
            raise InputError(
                f"case {case.id}: {predicted} must lie on the grid of {case.label}, "
                f"{_grid(_read_truth(case))}, got {_grid(guess)}."
            )
        guess = turned
    return _labels(guess, case), _labels(true, case), true.spacing_mm


def _read_truth(case: Case) -> Volume:
    """The true label map; through its image where only that says how it lies."""
    label = load_case(case)[1] if case.flip_label_y else read_volume(case.label) if case.label else None
    if label is None:
        raise InputError(f"case {case.id}: must have a label map, got none.")
    return label


def _labels(volume: Volume, case: Case) -> np.ndarray:
    if volume.channels > 1:
        raise InputError(f"case {case.id}: {volume.source} must hold one label per voxel, got {volume.channels}.")
    return as_labels(f"case {case.id}: {volume.source}", volume.array)


def _grid(volume: Volume) -> str:
    rows = "; ".join(" ".join(f"{value:.6g}" for value in row) for row in volume.affine[:3])
    return f"shape {volume.shape} affine [{rows}]"
