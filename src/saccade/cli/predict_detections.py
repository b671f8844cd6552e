"""`saccade predict` for detections: a file with the boxes of all images, XML files and pictures beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from saccade.cli.predict_targets import refuse_options
from saccade.errors import InputError

if TYPE_CHECKING:
    from saccade.tasks.detection.detections import Detections
    from saccade.tasks.detection.predictor import DetectionPredictor

TAKEN = ("--voc", "--pictures", "--min-score")


def predict(
    opened: "Sequence[tuple[Path, Any]]", inputs: Sequence[Path], out: Path, options: Mapping[str, Any], overwrite: bool
) -> None:
    """Work through the images behind a progress bar.

    Raises:
        InputError: For options that other tasks have, or what cannot be used.
    """
    from saccade.cli.bar import progress_bar
    from saccade.tasks.detection.output import find_scenes, predict_scenes

    refuse_options(options, TAKEN, "detection")
    if len(opened) > 1:
        raise InputError("predict: --ensemble is for segmentations and classifications, this run is a detection.")
    predictor: DetectionPredictor = opened[0][1]
    if options["--min-score"] is not None:
        predictor = predictor.with_inference({"score": options["--min-score"]})
    scenes = find_scenes(inputs, apart_from=out)
    with progress_bar("predicting", len(scenes)) as bar:
        path = predict_scenes(
            predictor,
            scenes,
            out,
            voc=options["--voc"],
            draw=_drawing(predictor.names) if options["--pictures"] else None,
            overwrite=overwrite,
            progress=bar.progress,
            say=bar.say,
        )
    typer.echo(str(path))


def _drawing(classes: Sequence[str]):  # type: ignore[no-untyped-def]
    from saccade.explain.draw_boxes import box_figure, marks_of, panels_of
    from saccade.explain.render import encode

    def draw(image: Path, found: "Detections") -> bytes:
        return encode(box_figure(panels_of(image, marks_of(found, classes))))

    return draw
