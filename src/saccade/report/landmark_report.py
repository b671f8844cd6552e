"""The page of a run of landmarks: scores, all predictions on one image, kinds of errors, the worst images first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.report import charts
from saccade.report.gather import as_mapping, read_curves
from saccade.report.landmark_gallery import count_errors, draw_cards, draw_together, open_cases
from saccade.report.run_report import facts_of
from saccade.report.target_report import TargetRun, damage_told, read_target_run, render_page
from saccade.study.landmarks import SCORES, landmark_tables
from saccade.study.tables import Table

SHOWN = 24  # images
TRAINING = (("Loss", "loss"), ("Localised by the hottest pixel", "val_localised"), ("Learning rate", "learning_rate"))


def render_landmarks(run: Path, *, cases: int | None = None) -> str:
    """The page as HTML.

    Args:
        run: The run's folder.
        cases: How many images are shown, worst first; default 24.

    Raises:
        InputError: If ``run`` is not the folder of a run, or its scores are damaged. What else is missing is named on
            the page.
    """
    with damage_told(run):
        return _render(run, read_target_run(run), SHOWN if cases is None else cases)


def _render(run: Path, record: TargetRun, shown: int) -> str:
    result = record.result
    known = open_cases(record.config, record.notices) if result and shown else {}
    together, of_case = draw_together(result, known)
    curves = read_curves(run / "metrics.csv", record.notices)
    return render_page(
        "landmarks.html.j2",
        record,
        headline=_headline(result),
        facts=facts_of(record.summary, [name.replace("_", " ") for name in SCORES]),
        tables=[*landmark_tables(result), _errors(result)] if result else [],
        confusion=[],
        charts=[],
        training=charts.draw_charts(curves, TRAINING),
        gallery=draw_cards(result, known, shown) if result else [],
        together=together,
        of_case=of_case,
    )


def _errors(result: Mapping[str, Any]) -> Table:
    rows = [[words, str(landmarks), str(images)] for words, landmarks, images in count_errors(result)]
    return Table("landmarks that are not localised", [["Error", "Landmarks", "Images"], *rows])


def _headline(result: Mapping[str, Any]) -> tuple[float, str] | None:
    """The score that stands at the top of the page."""
    value = as_mapping(as_mapping(result.get("summary")).get("localised")).get("value")
    return None if value is None else (float(value), "landmarks localised")
