"""`saccade predict` for a classification or regression: a table with a row for each image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.errors import InputError

if TYPE_CHECKING:
    from saccade.tasks.classification.predictor import ClassificationPredictor


def refuse_options(options: Mapping[str, object]) -> None:
    """Refuse what has a meaning for segmentations alone."""
    for name, value in options.items():
        if value:
            way = " Use saccade explain." if name == "--attention" else " The table always has them."
            hint = way if name in ("--attention", "--probabilities") else ""
            raise InputError(f"predict: {name} is for segmentations, this run is a classification.{hint}")


def predict_targets(
    predictor: "ClassificationPredictor", inputs: Sequence[Path], out: Path, *, overwrite: bool
) -> Path:
    """Work through the images behind a progress bar; gives the table."""
    from saccade.cli.bar import progress_bar
    from saccade.tasks.classification.output import find_inputs, predict_images

    cases = find_inputs(inputs, apart_from=out)
    with progress_bar() as bar:
        task = bar.add_task("predicting", total=len(cases))

        def say(text: str) -> None:
            bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

        return predict_images(
            predictor, cases, out, overwrite=overwrite, progress=lambda done: bar.update(task, completed=done), say=say
        )
