"""The page of a classification or regression: scores, confusion, curves, and the images with the worst errors first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from markupsafe import Markup

from saccade.errors import InputError
from saccade.report import charts
from saccade.report.charts import Chart, Line
from saccade.report.gather import as_mapping, read_curves, read_optional, read_run_config
from saccade.report.run_report import HERE, facts_of, page_template, split_rows
from saccade.report.target_gallery import draw_gallery
from saccade.study.targets import SCORES, target_tables

SHOWN = 60  # images
MOST_CLASSES = 40  # of a confusion matrix that can be read
MOST_CURVES = 10


@dataclass(frozen=True)
class TargetRun:
    """What the folder of such a run holds."""

    name: str
    config: dict[str, Any]
    config_text: str
    summary: dict[str, Any]
    environment: dict[str, Any]
    splits: dict[str, Any]
    result: dict[str, Any]
    notices: list[str]


def render_targets(run: Path, *, cases: int | None = None) -> str:
    """The page as HTML.

    Args:
        run: The run's folder.
        cases: How many images are shown, worst first; default 60.

    Raises:
        InputError: If ``run`` is not the folder of a run, or its scores are damaged. What else is missing is named on
            the page.
    """
    with damage_told(run):
        return _render(run, read_target_run(run), SHOWN if cases is None else cases)


def read_target_run(run: Path) -> TargetRun:
    """What the folder of a run holds; what is missing becomes a notice.

    Raises:
        InputError: If it is not the folder of a run.
    """
    config, text = read_run_config(run)
    notices: list[str] = []
    return TargetRun(
        name=run.resolve().name,
        config=config,
        config_text=text,
        summary=read_optional(run / "summary.json", notices),
        environment=read_optional(run / "environment.json", notices),
        splits=read_optional(run / "splits.json", notices),
        result=read_optional(run / "validation" / "metrics.json", notices),
        notices=notices,
    )


@contextmanager
def damage_told(run: Path) -> Iterator[None]:
    """Whatever goes wrong with scores that are not as training wrote them becomes a line that says so."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"report: {run}/validation/metrics.json must be as training wrote it, but is not ({reason})."
        ) from error


def _render(run: Path, record: TargetRun, shown: int) -> str:
    result = record.result
    gallery = draw_gallery(run, record.config, result, shown, record.notices) if result else []
    curves = read_curves(run / "metrics.csv", record.notices)
    headline = _headline(result)
    return render_page(
        "target.html.j2",
        record,
        headline=headline,
        facts=facts_of(record.summary, [name.replace("_", " ") for name in SCORES]),
        tables=[table for table in target_tables(result) if table.title != "confusion"] if result else [],
        confusion=_confusion(result),
        charts=draw_result(result),
        training=charts.draw_charts(curves, _groups(curves)),
        gallery=gallery,
    )


def render_page(template: str, record: TargetRun, **own: Any) -> str:
    """What the pages of all tasks but segmentation have in common, and the values of their own, in a template."""
    return str(
        page_template(template).render(
            run=record,
            title=str(record.config.get("system", "Run")),
            frame=charts.FRAME,
            cases=len(as_mapping(record.result.get("cases"))),
            splits=split_rows(record.splits),
            version=version("saccade"),
            style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
            **own,
        )
    )


def draw_result(result: Mapping[str, Any]) -> list[tuple[Chart, str]]:
    """ROC curves and how often what was said with some confidence is right, each with the name of its first axis."""
    found = []
    roc = {name: points for name, points in as_mapping(result.get("roc")).items() if points}
    if roc:
        # two classes have the same curve, seen from both ends
        names = list(roc)[1:] if len(roc) == 2 and result["kind"] == "classes" else list(roc)[:MOST_CURVES]
        lines = {f"{name} (AUROC {result['per_class'][name]['auroc']:.3f})": roc[name] for name in names}
        found.append((square_chart("ROC", lines), "false positive rate"))
    if result.get("calibration"):
        points = [(part["confidence"], part["accuracy"]) for part in result["calibration"]]
        ideal = [(0.0, 0.0), (1.0, 1.0)]
        found.append((square_chart("Calibration", {"found": points, "ideal": ideal}), "said with this probability"))
    return found


def square_chart(title: str, curves: Mapping[str, list[Any]]) -> Chart:
    """Curves of points in the unit square, by name."""
    frame = charts.FRAME
    left, right = frame["left"], frame["width"] - frame["right"]
    top, bottom = frame["top"], frame["height"] - frame["bottom"]

    def place(x: float, y: float) -> tuple[float, float]:
        return round(left + x * (right - left), 1), round(bottom - y * (bottom - top), 1)

    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    return Chart(
        title,
        [Line(name, [place(float(x), float(y)) for x, y in points]) for name, points in curves.items()],
        [(place(tick, 0.0)[0], f"{tick:g}") for tick in ticks],
        [(place(0.0, tick)[1], f"{tick:g}") for tick in ticks],
    )


def _headline(result: Mapping[str, Any]) -> tuple[float, str] | None:
    """The score that stands at the top of the page."""
    summary = as_mapping(result.get("summary"))
    for name in ("balanced_accuracy", "auroc", "r2"):
        if name in summary and summary[name]["value"] is not None:
            return float(summary[name]["value"]), SCORES[name]
    return None


def _confusion(result: Mapping[str, Any]) -> list[tuple[str, list[tuple[int, float]]]]:
    """Of each true class how many cases were called what, and their share of the class."""
    table = result.get("confusion") or []
    if not 0 < len(table) <= MOST_CLASSES:
        return []
    return [
        (str(name), [(int(count), round(count / max(1, sum(row)), 3)) for count in row])
        for name, row in zip(result["classes"], table, strict=True)
    ]


def _groups(curves: list[dict[str, float]]) -> list[tuple[str, str]]:
    """Charts of a training: its losses, the score of the held-out cases, the learning rate."""
    scores = [name for row in curves[:1] for name in row] + [name for row in curves for name in row]
    score = next((name for name in scores if name.startswith("val_") and name != "val_loss"), None)
    own = [] if score is None else [(SCORES.get(score.removeprefix("val_"), "Score"), score)]
    return [("Loss", "loss"), *own, ("Learning rate", "learning_rate")]
