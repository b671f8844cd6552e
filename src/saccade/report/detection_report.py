"""The page of a detection: scores, precision and recall, and the images with the most errors first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.explain.draw_boxes import JUDGED, svg_sample
from saccade.report import charts
from saccade.report.charts import Chart
from saccade.report.detection_gallery import draw_gallery
from saccade.report.gather import as_mapping, read_curves
from saccade.report.run_report import facts_of
from saccade.report.target_report import TargetRun, damage_told, read_target_run, render_page, square_chart
from saccade.study.detections import SCORES, detection_tables
from saccade.study.tables import number
from saccade.tasks.detection.evaluate import shown_from

SHOWN = 40  # images
MOST_CURVES = 10
TRAINING = (("Loss", "loss"), ("AP50", "val_ap50"), ("Learning rate", "learning_rate"))


def render_detections(run: Path, *, cases: int | None = None) -> str:
    """The page as HTML.

    Args:
        run: The run's folder.
        cases: How many images are shown, worst first; default 40.

    Raises:
        InputError: If ``run`` is not the folder of a run, or its scores are damaged. What else is missing is named on
            the page.
    """
    with damage_told(run):
        return _render(run, read_target_run(run), SHOWN if cases is None else cases)


def draw_precision(result: Mapping[str, Any]) -> list[tuple[Chart, str]]:
    """The curve of each class (of the first ten), with the name of its first axis."""
    curves = {}
    for name, points in list(as_mapping(result.get("curves")).items())[:MOST_CURVES]:
        if points:
            ap50 = result["summary"]["per_class"][name]["ap50"]["value"]
            curves[f"{name} (AP50 {number(ap50)})"] = [(0.0, points[0][1]), *points]
    return [(square_chart("Precision", curves), "recall")] if curves else []


def _render(run: Path, record: TargetRun, shown: int) -> str:
    result = record.result
    gallery = draw_gallery(run, record.config, result, shown, record.notices) if result else []
    curves = read_curves(run / "metrics.csv", record.notices)
    return render_page(
        "detection.html.j2",
        record,
        headline=_headline(result),
        facts=facts_of(record.summary, list(SCORES)),
        tables=detection_tables(result) if result else [],
        confusion=[],
        charts=draw_precision(result),
        training=charts.draw_charts(curves, TRAINING),
        gallery=gallery,
        sliced=any(panel.title for card in gallery for panel in card.panels),
        legend=[(style, svg_sample(style)) for style in JUDGED],
        least=shown_from(result["working_point"]) if result else None,
    )


def _headline(result: Mapping[str, Any]) -> tuple[float, str] | None:
    """The score that stands at the top of the page."""
    found = as_mapping(as_mapping(result.get("summary")).get("ap50"))
    value = found.get("value")
    return None if value is None else (float(value), SCORES["ap50"])
