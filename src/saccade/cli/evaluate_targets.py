"""`saccade evaluate` for a table of predictions: scores of classes, levels, labels or numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from saccade.errors import InputError

if TYPE_CHECKING:
    from saccade.cli.evaluate import Scored, Wanted


def reads(predictions: Path) -> bool:
    """Whether these are predictions of this kind."""
    from saccade.tasks.classification.evaluate import is_predictions

    return is_predictions(predictions)


def score(predictions: Path, truth: Path, wanted: "Wanted") -> "Scored":
    """Score a table against a data set, and another one where there is one.

    Raises:
        InputError: For options that label maps alone have, or what cannot be scored.
    """
    from saccade.cli.evaluate import Scored
    from saccade.study.tables import summary_csv
    from saccade.study.targets import compare_targets, target_tables
    from saccade.tasks.classification.evaluate import evaluate_predictions

    for name, value in wanted.of_label_maps.items():
        if value is not None and value != []:
            raise InputError(f"evaluate: {name} is for label maps, {predictions} is a table of predictions.")
    missing = wanted.missing
    if missing == "worst":
        raise InputError("evaluate: --missing worst is for label maps; a case without a row can be left out with skip.")
    names = [name.strip() for name in wanted.columns.split(",")] if wanted.columns else None

    def of_table(table: Path, what: str) -> dict[str, Any]:
        def say(line: str) -> None:
            typer.echo(f"saccade: {what}{line}", err=True)

        return evaluate_predictions(table, truth, columns=names, missing=missing, seed=wanted.seed, say=say)

    result = of_table(predictions, "")
    if (other := wanted.against) is not None:
        compared = compare_targets(result, of_table(other, f"{other}: "), seed=wanted.seed)
        result["against"] = {"other": str(other), **compared}
    return Scored(result, target_tables(result), summary_csv(result["summary"]))
