"""`saccade predict` for landmarks: a file and a table with the points of all images, and pictures of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from saccade.cli.predict_targets import refuse_options
from saccade.errors import InputError

if TYPE_CHECKING:
    from saccade.tasks.landmarks.predictor import LandmarksPredictor

TAKEN = ("--pictures",)


def predict(
    opened: "Sequence[tuple[Path, Any]]", inputs: Sequence[Path], out: Path, options: Mapping[str, Any], overwrite: bool
) -> None:
    """Work through the images behind a progress bar.

    Raises:
        InputError: For options that other tasks have, or what cannot be used.
    """
    from saccade.cli.bar import progress_bar
    from saccade.explain.draw_points import point_picture
    from saccade.tasks.landmarks.output import find_images, predict_landmarks

    refuse_options(options, TAKEN, "landmark run")
    if len(opened) > 1:
        raise InputError("predict: --ensemble is for segmentations and classifications, this run is one of landmarks.")
    predictor: LandmarksPredictor = opened[0][1]
    found = find_images(inputs, apart_from=out)
    with progress_bar("predicting", len(found)) as bar:
        path = predict_landmarks(
            predictor,
            found,
            out,
            draw=point_picture if options["--pictures"] else None,
            overwrite=overwrite,
            progress=bar.progress,
            say=bar.say,
        )
    typer.echo(str(path))
