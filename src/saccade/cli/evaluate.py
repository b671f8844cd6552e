"""`saccade evaluate`: scores of predicted label maps, tables or detections, whatever tool made them."""

import importlib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from saccade.errors import InputError

if TYPE_CHECKING:
    from saccade.study.tables import Table
    from saccade.tasks.segmentation.evaluate import LesionSettings


# Modules that score what is no folder of label maps: ``reads(predictions)`` says whether it is theirs, and
# ``score(predictions, truth, wanted)`` gives a `Scored`.
SCORERS = ("saccade.cli.evaluate_landmarks", "saccade.cli.evaluate_targets", "saccade.cli.evaluate_detections")


class Wanted(NamedTuple):
    """What was asked for besides; of ``of_label_maps`` only what was given is not None or empty."""

    columns: str | None
    missing: str
    against: Path | None
    seed: int
    of_label_maps: Mapping[str, object]


class Scored(NamedTuple):
    """Scores, and what is shown of them."""

    result: dict[str, Any]
    tables: "list[Table]"
    csv: str


class Missing(StrEnum):
    """What to do about a truth without a prediction."""

    fail = "fail"
    worst = "worst"
    skip = "skip"


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(help="Folder of predicted label maps, one of them, predictions.csv, or detections.")
    ],
    truth: Annotated[
        Path, typer.Argument(help="Folder of true label maps, a data set, or one label map; class folders, a CSV ...")
    ],
    out: Annotated[Path, typer.Option("--out", help="JSON file for the scores of every case and their summary.")],
    labels: Annotated[
        Path | None, typer.Option("--labels", help='JSON file of names, {"1": "liver"}; default: those beside TRUTH.')
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="Of the surface Dice, in mm; 1 unless set.", min=0)
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write the summary as a CSV table.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Also write all tables as Markdown.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the JSON instead of the table.")] = False,
    missing: Annotated[
        Missing, typer.Option("--missing", help="A truth without prediction: an error, counted as empty, or left out.")
    ] = Missing.fail,
    against: Annotated[
        Path | None, typer.Option("--against", help="Other predictions of the same cases, for a paired comparison.")
    ] = None,
    lesions: Annotated[
        list[str] | None,
        typer.Option(
            "--lesions", help="Organ whose connected components are scored one by one; 'all' for all. Repeat."
        ),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option("--overlap", help="IoU from which a lesion counts as found, 0.1 unless set; 0: any common voxel."),
    ] = None,
    sizes: Annotated[
        str | None, typer.Option("--sizes", help="Edges of the lesions' size classes in ml, 0.1,1,10; else quartiles.")
    ] = None,
    probabilities: Annotated[
        Path | None, typer.Option("--probabilities", help="Folder of CASE/ORGAN.nii.gz, for the lesions' FROC curve.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Most processes at a time; else cores.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap's draws.", min=0)] = 0,
    columns: Annotated[
        str | None, typer.Option("--columns", help="Of a truth in a table, the target: age, or severity,extent.")
    ] = None,
) -> None:
    """Score predictions: Dice, precision, recall, surface distances in mm, volumes; mean, spread, interval per organ.

    Example: saccade evaluate predictions labels --out metrics.json --markdown table.md

    Two sets of predictions: saccade evaluate new labels --against old --out metrics.json

    Small structures: saccade evaluate predictions labels --lesions tumour --sizes 0.1,1 --out metrics.json

    Classes: saccade evaluate predictions.csv truth.csv --out metrics.json

    Boxes: saccade evaluate predictions.json blood_cells --out metrics.json
    """
    from saccade.cli.bar import progress_bar
    from saccade.data.layout_labels import read_label_names
    from saccade.files import write_json, write_text
    from saccade.study.comparison import compare_results
    from saccade.study.evaluation import evaluation_tables
    from saccade.study.tables import as_markdown, results_table
    from saccade.tasks.segmentation.evaluate import evaluate_folders
    from saccade.workers import cores

    for scorer in map(importlib.import_module, SCORERS):
        if scorer.reads(predictions):
            refused = {"--labels": labels, "--tolerance": tolerance, "--lesions": lesions, "--overlap": overlap,
                       "--sizes": sizes, "--probabilities": probabilities, "--workers": workers}  # fmt: skip
            scored = scorer.score(predictions, truth, Wanted(columns, missing.value, against, seed, refused))
            write_json(out, scored.result)
            if csv:
                write_text(csv, scored.csv)
            if markdown:
                write_text(markdown, as_markdown(scored.tables))
            if json:
                typer.echo(out.read_text(encoding="utf-8"), nl=False)
            for table in scored.tables if not json else ():
                _show(table, out)
            return
    if columns is not None:
        raise InputError(f"evaluate: --columns is for tables of predictions, {predictions} is none.")
    names = read_label_names(labels) if labels else None
    settings = _lesion_settings(lesions, overlap=overlap, sizes=sizes, probabilities=probabilities)

    def score(folder: Path, what: str, **wanted: Any) -> dict[str, Any]:
        with progress_bar("evaluating") as bar:
            return evaluate_folders(
                folder,
                truth,
                label_names=names,
                tolerance_mm=1.0 if tolerance is None else tolerance,
                seed=seed,
                workers=workers or cores(),
                progress=bar.progress,
                say=lambda line: typer.echo(f"saccade: {what}{line}", err=True),
                **wanted,
            )

    result = score(predictions, "", missing=missing.value, lesions=settings)
    if against:
        # A case that only one side has is left out of the comparison and said, unless it is to count as empty.
        other = score(against, f"{against}: ", missing="worst" if missing is Missing.worst else "skip")
        result["against"] = {"other": str(against), **compare_results(result, other, seed=seed)}
    write_json(out, result)
    if csv:
        write_text(csv, results_table(result, "csv"))
    if markdown:
        write_text(markdown, as_markdown(evaluation_tables(result)))
    if json:
        typer.echo(out.read_text(encoding="utf-8"), nl=False)
        return
    for table in evaluation_tables(result, compared=("dice",)):
        _show(table, out)


def _lesion_settings(
    organs: list[str] | None, *, overlap: float | None, sizes: str | None, probabilities: Path | None
) -> "LesionSettings | None":
    from saccade.tasks.segmentation.evaluate import LesionSettings

    if not organs:
        if (overlap, sizes, probabilities) != (None, None, None):
            raise InputError("evaluate: --overlap, --sizes and --probabilities must have --lesions ORGAN with them.")
        return None
    edges_ml = None if sizes is None else _edges(sizes)
    if overlap is None:
        return LesionSettings(tuple(organs), edges_ml=edges_ml, probabilities=probabilities)
    return LesionSettings(tuple(organs), overlap=overlap, edges_ml=edges_ml, probabilities=probabilities)


def _edges(sizes: str) -> tuple[float, ...]:
    try:
        return tuple(float(edge) for edge in sizes.split(","))
    except ValueError:
        raise InputError(
            f"evaluate: --sizes must be numbers of ml with commas between, 0.1,1,10, got {sizes}."
        ) from None


def _show(found: "Table", out: Path) -> None:
    """Draw a table: its first columns, those at its end that must be seen, and as many between as there is width."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Drawn

    console = Console()
    gap = 2
    widths = [gap + max(map(len, column)) for column in zip(*found.rows, strict=True)]
    shown = list(range(len(widths)))
    while sum(widths[place] for place in shown) > console.width and len(shown) > found.keep + 2:
        del shown[-found.keep - 1]
    rest = None if len(shown) == len(widths) else f"the other columns are in {out}"
    table = Drawn(title=found.title, caption=rest, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, gap - 1, 0, 0))
    for place in shown:
        table.add_column(found.rows[0][place], justify="right" if place else "left")
    for row in found.rows[1:]:
        table.add_row(*(escape(row[place]) for place in shown))
    console.print(table)
