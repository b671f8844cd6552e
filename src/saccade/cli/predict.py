"""`saccade predict`: labels, attention maps and volumes of scans."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    inputs: Annotated[list[Path], typer.Argument(help="Scans, DICOM folders, or folders of scans.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for <case>.nii.gz, volumes.csv and label descriptions.")],
    attention: Annotated[
        bool, typer.Option("--attention", help="Also write each gate's map on the scan's grid.")
    ] = False,
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Axes to average mirror images over, e.g. 0,1; '' for none.")
    ] = None,
    overlap: Annotated[float | None, typer.Option("--overlap", help="Overlap of windows, 0 up to 1.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")] = "cpu",
) -> None:
    """Segment scans; results lie on each scan's own grid.

    Example: saccade predict run scan.nii.gz dicom_folder/ --out predictions --attention
    """
    from saccade.cli.bar import progress_bar
    from saccade.files import check_folder
    from saccade.runs import load
    from saccade.tasks.segmentation.output import find_scans, predict_scans

    check_folder(out)
    changes: dict[str, object] = {}
    if mirror is not None:
        changes["mirror_axes"] = _axes(mirror)
    if overlap is not None:
        changes["overlap"] = overlap
    predictor = load(run, device=device).with_inference(changes)
    scans = find_scans(inputs)
    with progress_bar() as bar:
        task = bar.add_task("predicting", total=len(scans))

        def progress(name: str, done: int, windows: int, finished: int) -> None:
            bar.update(task, completed=finished + done / windows, description=name)

        for path in predict_scans(predictor, scans, out, attention=attention, progress=progress):
            typer.echo(str(path))


def _axes(text: str) -> list[int]:
    from saccade.errors import InputError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not set(parts) <= {"0", "1", "2"} or len(set(parts)) < len(parts):
        raise InputError(f"--mirror: must be different axes out of 0, 1 and 2, separated by commas, got '{text}'.")
    return [int(part) for part in parts]
