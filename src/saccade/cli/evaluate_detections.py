"""`saccade evaluate` for detections: average precision, sensitivity at false positives."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saccade.errors import InputError

if TYPE_CHECKING:
    from saccade.cli.evaluate import Scored, Wanted


def reads(predictions: Path) -> bool:
    """Whether these are predictions of this kind."""
    from saccade.tasks.detection.files import is_detections

    return is_detections(predictions)


def score(predictions: Path, truth: Path, wanted: "Wanted") -> "Scored":
    """Score detections against a data set of boxes, and others where there are some.

    Raises:
        InputError: For options that other predictions have, or what cannot be scored.
    """
    from saccade.cli.evaluate import Scored
    from saccade.study.detections import detection_csv, detection_tables
    from saccade.tasks.detection.evaluate import evaluate_detections

    for name, value in {**wanted.of_label_maps, "--columns": wanted.columns}.items():
        if value is not None and value != []:
            what = "tables of predictions" if name == "--columns" else "label maps"
            raise InputError(f"evaluate: {name} is for {what}, {predictions} are detections.")
    result = evaluate_detections(
        predictions,
        truth,
        against=wanted.against,
        missing=wanted.missing,
        seed=wanted.seed,
        say=lambda line: typer.echo(f"saccade: {line}", err=True),
    )
    return Scored(result, detection_tables(result), detection_csv(result))
