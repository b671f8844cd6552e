"""`saccade data check`: every fault of a data set at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saccade.cli.bar import progress_bar
from saccade.errors import unknown_name

if TYPE_CHECKING:
    from saccade.data.layouts import Dataset, Fault

_FAULTS = 2
_TASKS = ("segmentation", "classification", "detection", "landmarks")


def check(
    root: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder of scans, images or boxes in any layout, a CSV or JSON list, an .npz."
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: every fault with file, expected, found.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Give labels that are off by under 1e-3 the image's affine.")
    ] = False,
    labels: Annotated[
        Path | None, typer.Option("--labels", help='Names of the classes, {"1": "liver"}, as JSON.')
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="segmentation, classification, detection or landmarks, where the folder does not tell."
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Of a table of images, the target: age, or severity,extent.")
    ] = None,
) -> None:
    """Report all faults of a data set at once; exit code 2 when any is left.

    Example: saccade data check abdomens --json

    Images with a target each: saccade data check chest_xrays --columns projection

    Images with boxes: saccade data check blood_cells

    Images with landmarks: saccade data check mouse_paws
    """
    from saccade.data.check import check_cases
    from saccade.data.classification.layouts import is_image_dataset
    from saccade.data.detection.layouts import is_box_dataset
    from saccade.data.landmarks.layouts import is_landmark_dataset
    from saccade.data.layout_labels import read_label_names
    from saccade.data.layouts import scan_dataset

    if task not in (None, *_TASKS):
        raise unknown_name("saccade data check", "task", task, list(_TASKS))
    if task == "detection" or (task is None and not columns and is_box_dataset(root)):
        _check_boxes(root, as_json)
        return
    if task == "landmarks" or (task is None and not columns and is_landmark_dataset(root)):
        _check_landmarks(root, as_json)
        return
    if task == "classification" or columns or (task is None and is_image_dataset(root)):
        _check_targets(root, columns, as_json)
        return
    dataset = scan_dataset(root, read_label_names(labels) if labels else None)
    if as_json:
        faults = check_cases(dataset, fix=fix)
        _print_json(dataset, faults)
    else:
        faults = _check_with_bar(dataset, fix)
        _print_table(dataset, faults)
    if not all(fault.fixed for fault in faults):
        raise typer.Exit(_FAULTS)


def _check_targets(root: Path, columns: str | None, as_json: bool) -> None:
    """The check of images with a target each."""
    from saccade.data.classification.check import check_images, describe_targets
    from saccade.data.classification.layouts import scan_image_dataset

    names = [name.strip() for name in columns.split(",")] if columns else None
    dataset = scan_image_dataset(root, names)
    with progress_bar("checking", len(dataset.cases)) as bar:
        faults = check_images(dataset, progress=bar.progress)
    labelled = len(dataset.labelled())
    about = {"layout": dataset.layout, "cases": len(dataset.cases), "labelled": labelled}
    told = f"{_counted(len(dataset.cases), 'case')} ({labelled} labelled; {describe_targets(dataset)})"
    _say({**about, "columns": list(dataset.columns)}, told, root, faults, as_json)


def _check_boxes(root: Path, as_json: bool) -> None:
    """The check of images with boxes."""
    from saccade.data.detection.check import check_boxes, describe_boxes
    from saccade.data.detection.layouts import scan_box_dataset

    dataset = scan_box_dataset(root)
    with progress_bar("checking", len(dataset.scenes)) as bar:
        faults = check_boxes(dataset, progress=bar.progress)
    about = {"layout": dataset.layout, "cases": len(dataset.scenes), "classes": list(dataset.names)}
    told = f"{_counted(len(dataset.scenes), 'image')} ({describe_boxes(dataset)})"
    _say(about, told, root, faults, as_json)


def _check_landmarks(root: Path, as_json: bool) -> None:
    """The check of images with landmarks."""
    from saccade.data.landmarks.check import check_landmarks, describe_landmarks
    from saccade.data.landmarks.layouts import scan_landmark_dataset

    dataset = scan_landmark_dataset(root)
    with progress_bar("checking", len(dataset.cases)) as bar:
        faults = check_landmarks(dataset, progress=bar.progress)
    about = {"layout": dataset.layout, "cases": len(dataset.cases), "landmarks": list(dataset.names)}
    told = f"{_counted(len(dataset.cases), 'image')} ({describe_landmarks(dataset)})"
    _say(about, told, root, faults, as_json)


def _say(about: dict[str, Any], told: str, root: Path, faults: "list[Fault]", as_json: bool) -> None:
    """What was found, for programs or for people; exit code 2 when a fault is left."""
    if as_json:
        _echo_json({"root": str(root), **about}, faults)
    else:
        _print_faults(faults, root)
        typer.echo(f"{root}: {about['layout']}, {told}, {len(faults) or 'no'} fault{'s' * (len(faults) != 1)}.")
    if faults:
        raise typer.Exit(_FAULTS)


def _check_with_bar(dataset: "Dataset", fix: bool) -> "list[Fault]":
    from saccade.data.check import check_cases

    with progress_bar("checking", len(dataset.cases)) as bar:
        return check_cases(dataset, fix=fix, progress=bar.progress)


def _echo_json(about: dict[str, Any], faults: "list[Fault]") -> None:
    import json
    from dataclasses import asdict

    content = {**about, "faults": [asdict(fault) for fault in faults]}
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _print_json(dataset: "Dataset", faults: "list[Fault]") -> None:
    content = {
        "root": str(dataset.root),
        "layout": dataset.layout,
        "cases": len(dataset.cases),
        "labelled": len(dataset.labelled()),
        "partially_labelled": {case.id: list(case.labelled) for case in dataset.cases if case.labelled is not None},
        "label_names": dataset.label_names,
    }
    _echo_json(content, faults)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _print_faults(faults: "list[Fault]", root: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not faults:
        return
    table = Table("case", "file", "fault", "expected", "found", show_lines=True)
    for fault in faults:
        where = Path(fault.file)
        inside = where.relative_to(root) if where.is_relative_to(root) else where
        kind = f"{fault.kind} [fixed]" if fault.fixed else f"{fault.kind} (--fix)" if fault.fixable else fault.kind
        table.add_row(*(escape(text) for text in (fault.case, str(inside), kind, fault.expected, fault.found)))
    Console().print(table)


def _print_table(dataset: "Dataset", faults: "list[Fault]") -> None:
    cases = len(dataset.cases)
    partial = sum(case.labelled is not None for case in dataset.labelled())
    labelled = f"{len(dataset.labelled())} labelled" + (f", {partial} of them in part" if partial else "")
    size = f"{dataset.layout} layout, {_counted(cases, 'case')} ({labelled})"
    _print_faults(faults, dataset.root)
    fixed = sum(fault.fixed for fault in faults)
    repaired = f", {fixed} of them fixed: those labels now have their image's affine" if fixed else ""
    typer.echo(f"{dataset.root}: {size}, {len(faults) or 'no'} fault{'s' * (len(faults) != 1)}{repaired}.")
