"""`saccade evaluate` for a table of predictions: scores of classes, levels, labels or numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from saccade.errors import InputError


def evaluate_targets(
    predictions: Path,
    truth: Path,
    *,
    columns: str | None,
    missing: str,
    against: Path | None,
    seed: int,
    refused: Mapping[str, object],
) -> dict[str, Any]:
    """Score a table against a data set, and another one where there is one.

    Raises:
        InputError: For options that label maps alone have, or what cannot be scored.
    """
    from saccade.study.targets import compare_targets
    from saccade.tasks.classification.evaluate import evaluate_predictions

    for name, value in refused.items():
        if value is not None and value != []:
            raise InputError(f"evaluate: {name} is for label maps, {predictions} is a table of predictions.")
    if missing == "worst":
        raise InputError("evaluate: --missing worst is for label maps; a case without a row can be left out with skip.")
    names = [name.strip() for name in columns.split(",")] if columns else None

    def score(table: Path, what: str) -> dict[str, Any]:
        def say(line: str) -> None:
            typer.echo(f"saccade: {what}{line}", err=True)

        return evaluate_predictions(table, truth, columns=names, missing=missing, seed=seed, say=say)

    result = score(predictions, "")
    if against is not None:
        result["against"] = {
            "other": str(against),
            **compare_targets(result, score(against, f"{against}: "), seed=seed),
        }
    return result
