"""`saccade evaluate` for landmarks: how many are localised, and how far off they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from saccade.errors import InputError

if TYPE_CHECKING:
    from saccade.cli.evaluate import Scored, Wanted


def reads(predictions: Path) -> bool:
    """Whether these are predictions of this kind."""
    from saccade.tasks.landmarks.files import is_points

    return is_points(predictions)


def score(predictions: Path, truth: Path, wanted: "Wanted") -> "Scored":
    """Score landmarks against a data set of them, and others where there are some.

    Raises:
        InputError: For options that other predictions have, or what cannot be scored.
    """
    from saccade.cli.evaluate import Scored
    from saccade.study.landmarks import compare_landmarks, landmark_tables
    from saccade.study.tables import summary_csv
    from saccade.tasks.landmarks.evaluate import evaluate_landmarks

    for name, value in {**wanted.of_label_maps, "--columns": wanted.columns}.items():
        if value is not None and value != [] and name != "--tolerance":
            what = "tables of predictions" if name == "--columns" else "label maps"
            raise InputError(f"evaluate: {name} is for {what}, {predictions} are landmarks.")
    given = wanted.of_label_maps.get("--tolerance")
    tolerance = float(given) if isinstance(given, int | float) else None

    def scored(path: Path, what: str) -> dict[str, Any]:
        return evaluate_landmarks(
            path,
            truth,
            tolerance=tolerance,
            missing=wanted.missing,
            seed=wanted.seed,
            say=lambda line: typer.echo(f"saccade: {what}{line}", err=True),
        )

    result = scored(predictions, "")
    if wanted.against is not None:
        other = scored(wanted.against, f"{wanted.against}: ")
        against = compare_landmarks(result, other, seed=wanted.seed)
        result["against"] = {"other": str(wanted.against), **against}
    return Scored(result, landmark_tables(result), summary_csv(result["summary"]))
