"""`saccade predict` for a classification or regression: a table with a row for each image, and maps of attention."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from saccade.errors import InputError

if TYPE_CHECKING:
    from saccade.data.classification.case import Case
    from saccade.tasks.classification.output import Predictor
    from saccade.tasks.classification.predictor import ClassificationPredictor

TAKEN = ("--attention", "--vectors", "--mirror")
_WAYS_OUT = {"--probabilities": " The table always has them."}
# Whose options these are, where not of segmentations alone.
_OF_OTHERS = {
    "--attention": "segmentations and classifications",
    "--mirror": "segmentations and classifications",
    "--vectors": "classifications",
    "--voc": "detections",
    "--pictures": "detections and landmarks",
    "--min-score": "detections",
}


def refuse_options(options: Mapping[str, object], taken: Sequence[str], task: str) -> None:
    """Refuse what was given and has no meaning for a task."""
    for name, value in options.items():
        if name not in taken and value is not None and value is not False and value != []:
            hint = _WAYS_OUT.get(name, "") if task == "classification" else ""
            whose = _OF_OTHERS.get(name, "segmentations")
            raise InputError(f"predict: {name} is for {whose}, this run is a {task}.{hint}")


def predict(
    opened: "Sequence[tuple[Path, Any]]", inputs: Sequence[Path], out: Path, options: Mapping[str, Any], overwrite: bool
) -> None:
    """Classes and numbers of images.

    Raises:
        InputError: For options that other tasks have, or what cannot be used.
    """
    from saccade.cli.predict import changes_of, members
    from saccade.tasks.classification.predictor import ClassificationPredictor

    refuse_options(options, TAKEN, "classification")
    predictors = members(opened, ClassificationPredictor, "classification", changes_of(options))
    typer.echo(predict_targets(predictors, inputs, out, attention=options["--attention"], overwrite=overwrite))
    if options["--vectors"]:
        typer.echo(predict_vectors(predictors, inputs, out))


def predict_targets(
    predictors: "Sequence[ClassificationPredictor]",
    inputs: Sequence[Path],
    out: Path,
    *,
    attention: bool,
    overwrite: bool,
) -> Path:
    """Work through the images behind a progress bar; gives the table."""
    from saccade.cli.bar import progress_bar
    from saccade.tasks.classification.ensemble import ensemble_of
    from saccade.tasks.classification.output import find_inputs, predict_images

    whole: Predictor = predictors[0] if len(predictors) == 1 else ensemble_of(predictors)
    write_maps = _maps_of(predictors, out / "attention") if attention else None
    cases = find_inputs(inputs, apart_from=out)
    with progress_bar("predicting", len(cases)) as bar:
        return predict_images(
            whole,
            cases,
            out,
            write_maps=write_maps,
            overwrite=overwrite,
            progress=bar.progress,
            say=bar.say,
        )


def predict_vectors(predictors: "Sequence[ClassificationPredictor]", inputs: Sequence[Path], out: Path) -> Path:
    """The vector of each image; gives the table.

    Raises:
        InputError: Of several networks, whose vectors have nothing in common.
    """
    from saccade.tasks.classification.output import find_inputs
    from saccade.tasks.classification.vectors import write_vectors

    if len(predictors) > 1:
        raise InputError("predict: --vectors are those of one network; leave --ensemble out.")
    return write_vectors(predictors[0], find_inputs(inputs, apart_from=out), out)


def _maps_of(predictors: "Sequence[ClassificationPredictor]", out: Path) -> "Callable[[Case], list[Path]]":
    """Writes where each network's attention lay in an image, as `saccade explain --method attention_maps` does."""
    from saccade.explain.runs import Request, explainer_of, write_explanation

    for predictor in predictors:
        if not predictor.attends:
            system = predictor.config.system
            raise InputError(
                f"predict: {system} has no attention maps to write; leave --attention out, or use saccade explain."
            )
    request = Request("attention_maps")
    folders = [out] if len(predictors) == 1 else [out / f"member{n}" for n, _ in enumerate(predictors, start=1)]
    explainers = list(zip(folders, map(explainer_of, predictors), strict=True))

    def write(case: "Case") -> list[Path]:
        files: list[Path] = []
        for folder, explainer in explainers:
            for explanation in explainer.explain(case, explainer.targets(())[:1], request):
                record = write_explanation(case.id, explanation, folder, request)
                files += [Path(record["map"]), Path(record["picture"])]
        return files

    return write
