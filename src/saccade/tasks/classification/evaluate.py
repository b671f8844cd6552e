"""Scores of predictions against the true targets, whatever tool made them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from saccade.data.classification.case import Case, ImageDataset
from saccade.data.classification.layouts import scan_image_dataset
from saccade.data.classification.targets import Kind, as_number
from saccade.errors import InputError
from saccade.metrics.classification import (
    calibration_bins,
    roc_points,
    score_classes,
    score_labels_present,
    score_numbers,
)
from saccade.tasks.classification.rows import Table, read_table

FILE = "predictions.csv"
TINY = 1e-12


def is_predictions(path: Path) -> bool:
    """Whether a path is a table of predictions, or a folder with one."""
    if path.is_dir():
        path = path / FILE
    return path.is_file() and path.suffix.lower() == ".csv"


def evaluate_predictions(
    predictions: Path,
    truth: Path,
    *,
    columns: Sequence[str] | None = None,
    missing: str = "fail",
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Score a table of predictions.

    Cases are matched by their id: the whole of it, else the end of a path that only one case of the truth has.

    Args:
        predictions: A ``predictions.csv``, or the folder it is in.
        truth: A data set with targets in any layout.
        columns: Of a table, the targets; None for those that the predictions or the header name.
        missing: What becomes of a true case without a prediction: ``fail``, or ``skip`` leaves it out.
        seed: Of the bootstrap.
        say: Gets a line about cases left out.

    Returns:
        As `score_table`.

    Raises:
        InputError: If either cannot be read, nothing matches, or cases have no prediction.
    """
    path = predictions / FILE if predictions.is_dir() else predictions
    table = read_table(path)
    named = table.names if table.kind in ("regression", "multi_label") else None
    dataset = scan_image_dataset(truth, columns or named)
    labelled = dataset.labelled()
    found = match_ids(list(table.rows), [case.id for case in labelled])
    absent = [case.id for case in labelled if case.id not in found]
    if not found:
        some = ", ".join(list(table.rows)[:3]), ", ".join(case.id for case in labelled[:3])
        raise InputError(f"{path}: no case is in the truth; predicted are {some[0]}, true are {some[1]}.")
    if absent and missing == "fail":
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        raise InputError(
            f"{path}: must have a row for every case, has none for {shown}. --missing skip leaves them out."
        )
    if say is not None and absent:
        say(f"no prediction for {len(absent)} case(s): left out")
    if say is not None and len(found) < len(table.rows):
        say(f"no truth for {len(table.rows) - len(found)} case(s): left out")
    cases = {found[case.id]: case for case in labelled if case.id in found}
    return score_table(table, cases, dataset, seed=seed)


def score_table(table: Table, cases: Mapping[str, Case], dataset: ImageDataset, *, seed: int = 0) -> dict[str, Any]:
    """Scores of predictions.

    Args:
        table: The predictions.
        cases: Name in the table -> case with the truth; others are left out.
        dataset: Of the cases.
        seed: Of the bootstrap.

    Returns:
        ``{"kind", "classes", "summary", "per_class", "cases"}`` and where they have a meaning ``"confusion"``,
        ``"calibration"`` and ``"roc"``. Each case has its truth, what was said, and its ``loss`` (negative
        log-likelihood, or absolute error).

    Raises:
        InputError: If a true class is none of the predicted ones, or a target is no number.
    """
    names = list(table.names)
    said = np.array([table.rows[id] for id in cases], float)
    if table.kind in ("classes", "ordinal"):
        truth = np.array([_class_of(case, names) for case in cases.values()])
    else:
        order = [dataset.columns.index(name) if name in dataset.columns else n for n, name in enumerate(names)]
        if len(dataset.columns) != len(names):
            wanted, found = ", ".join(names), ", ".join(dataset.columns)
            raise InputError(f"{dataset.root}: must have the targets {wanted}, has {found}.")
        truth = np.array([[_number(case, case.values[n]) for n in order] for case in cases.values()])
    return score_said(table.kind, names, list(cases), truth, said, seed=seed)


def score_said(
    kind: Kind, names: Sequence[str], ids: Sequence[str], truth: np.ndarray, said: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """As `score_table`, for numbers.

    Args:
        kind: Of the targets.
        names: Of the values.
        ids: Of the cases.
        truth: (n,) numbers of classes, or (n, t) with NaN where there is no target.
        said: (n, k) probabilities or (n, t) numbers.
        seed: Of the bootstrap.
    """
    about = {"kind": kind, "classes": list(names)}
    if kind in ("classes", "ordinal"):
        # what other tools round need not sum to one
        said = said / np.maximum(said.sum(1, keepdims=True), TINY)
        result = score_classes(truth, said, names, ordinal=kind == "ordinal", seed=seed)
        right, found = said[np.arange(len(truth)), truth], said.argmax(1)
        result["calibration"] = calibration_bins(said.max(1), (found == truth).astype(float))
        result["roc"] = {name: roc_points(truth == c, said[:, c]) for c, name in enumerate(names)}
        result["cases"] = {
            id: {
                "truth": names[truth[n]],
                "prediction": names[found[n]],
                "correct": bool(found[n] == truth[n]),
                "loss": float(-np.log(max(right[n], TINY))),
                "probabilities": dict(zip(names, said[n].tolist(), strict=True)),
            }
            for n, id in enumerate(ids)
        }
        return {**about, **result}
    known = ~np.isnan(truth)
    if kind == "multi_label":
        result = score_labels_present(truth, said, names, seed=seed)
        right = np.where(truth == 1, said, 1 - said)
        losses = np.where(known, -np.log(np.maximum(right, TINY)), 0.0)
        result["calibration"] = calibration_bins(said[known], truth[known])
        result["roc"] = {
            name: roc_points(truth[known[:, c], c] == 1, said[known[:, c], c]) for c, name in enumerate(names)
        }
    else:
        result = score_numbers(truth, said, names, seed=seed)
        losses = np.where(known, np.abs(truth - said), 0.0)
    mean = losses.sum(1) / np.maximum(known.sum(1), 1)
    result["cases"] = {
        id: {
            "truth": dict(zip(names, (None if np.isnan(v) else float(v) for v in truth[n]), strict=True)),
            "prediction": dict(zip(names, said[n].tolist(), strict=True)),
            "loss": float(mean[n]),
        }
        for n, id in enumerate(ids)
    }
    return {**about, **result}


def match_ids(predicted: Sequence[str], true: Sequence[str]) -> dict[str, str]:
    """True id -> predicted name: the whole of it, else the end of a path that only one true id has."""
    ends: dict[str, set[str]] = {}
    for id in true:
        for end in _ends(id):
            ends.setdefault(end, set()).add(id)
    found: dict[str, str] = {}
    exact = set(true)
    for name in predicted:
        ids = {name} if name in exact else next((ends[end] for end in _ends(name) if end in ends), set())
        if len(ids) == 1:
            found.setdefault(next(iter(ids)), name)
    return found


def _ends(id: str) -> list[str]:
    """The path and its ends, longest first: a/b/c, b/c, c."""
    parts = PurePosixPath(id).parts
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _class_of(case: Case, names: Sequence[str]) -> int:
    value = case.values[0]
    if value not in names:
        raise InputError(f"case {case.id}: its class '{value}' must be one of those predicted: {', '.join(names)}.")
    return names.index(value)


def _number(case: Case, text: str) -> float:
    if not text:
        return float("nan")
    if (number := as_number(text)) is None:
        raise InputError(f"case {case.id}: its target must be a number, got '{text}'.")
    return number
