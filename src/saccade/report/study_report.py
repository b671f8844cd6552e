"""The page of a study: its tables, and box plots of every case's Dice."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from saccade.errors import InputError
from saccade.files import read_json, write_text
from saccade.metrics.aggregate import is_scored
from saccade.report import boxes
from saccade.report.gather import Case, Run
from saccade.study.compare_cases import mean_dice_of_cases
from saccade.study.compare_tables import study_tables
from saccade.study.tables import number

HERE = Path(__file__).parent
MEAN = "Mean over organs"
# What is shown of each case of a study that is none of segmentations: what it is called, and how it is got.
OF_CASES: dict[str, tuple[str, Callable[[Mapping[str, Any]], float] | None]] = {
    "classification": ("Loss", lambda case: case["loss"]),
    "detection": ("Missed objects and false positives", lambda case: case["missed"] + case["false_positives"]),
}
Values = dict[str, dict[str, float]]  # arm -> case -> Dice


def is_study(folder: Path) -> bool:
    """Whether a folder is one of `saccade compare`, finished or not."""
    return (folder / "plan.json").is_file() and not (folder / "config.yaml").is_file()


def write_study_report(folder: Path, out: Path | None = None) -> Path:
    """Write one self-contained HTML page about a study: costs, comparisons, organs, and the Dice of every case.

    Args:
        folder: The study's folder.
        out: The file to write; default ``report.html`` in the folder.

    Returns:
        The file written.

    Raises:
        InputError: If the study is not finished or its ``study.json`` is damaged, or ``out`` is a folder.
    """
    out = folder / "report.html" if out is None else out
    if out.is_dir():
        raise InputError(f"report: the output must be a file, got the folder {out}. Try {out}/report.html.")
    if not (folder / "study.json").is_file():
        raise InputError(f"report: {folder} is a study that is not finished. Go on with the same saccade compare.")
    study = read_json(folder / "study.json")
    try:
        page = _render(study, folder.resolve().name)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"report: {folder / 'study.json'} must be as saccade compare wrote it, but is not ({reason})."
        ) from error
    write_text(out, page)
    return out


def _render(study: Mapping[str, Any], name: str) -> str:
    # autoescape must be said: by default it is decided from the file's suffix, and names come from the user's files
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    arms, (of_cases, value_of) = study["arms"], OF_CASES.get(study.get("task", ""), ("Mean Dice", None))
    if value_of is None:
        means = {arm: mean_dice_of_cases(scores) for arm, scores in arms.items()}
    else:
        means = {arm: {case: value_of(v) for case, v in scores["cases"].items()} for arm, scores in arms.items()}
    cases = sorted({case for found in means.values() for case in found})
    return environment.get_template("study.html.j2").render(
        name=name,
        study=study,
        tables=study_tables(study),
        plots=[] if value_of else draw_study(study),
        of_cases=of_cases,
        frame=boxes.FRAME,
        cases=[(case, [number(found.get(case)) for found in means.values()]) for case in cases],
        version=version("saccade"),
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
    )


def draw_study(study: Mapping[str, Any]) -> list[boxes.BoxPlot]:
    """A box plot for the mean over organs and one for each organ, a row for each arm; see `boxes.draw_boxes`."""
    arms = study["arms"]
    plots = {MEAN: {arm: mean_dice_of_cases(scores) for arm, scores in arms.items()}}
    for organ in dict.fromkeys(organ for scores in arms.values() for organ in scores["summary"]):
        plots[organ] = {
            arm: {
                case: float(found[organ]["dice"])
                for case, found in scores["cases"].items()
                if organ in found and is_scored(found[organ])
            }
            for arm, scores in arms.items()
        }
    return [plot for title, values in plots.items() for plot in _draw(title, values)]


def _draw(title: str, values: Values) -> list[boxes.BoxPlot]:
    """The drawing of a run's report, with arms in the place of organs."""
    names = sorted({case for found in values.values() for case in found})
    cases = [
        Case(
            name=case,
            scores={arm: {"dice": found[case]} for arm, found in values.items() if case in found},
            prediction=None,
            source=None,
            truth=None,
            attention={},
        )
        for case in names
    ]
    arms: dict[str, dict[str, Any]] = {arm: {} for arm in values}
    about: dict[str, Any] = {"config": {}, "summary": {}, "environment": {}, "splits": {}, "labels": {}, "curves": []}
    run = Run(name=title, config_text="", organs=arms, cases=cases, **about)
    return [replace(plot, title=title) for plot in boxes.draw_boxes(run)]
