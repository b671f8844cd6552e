"""`saccade evaluate`: scores of predicted label maps, whatever tool made them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Missing(StrEnum):
    """What to do about a truth without a prediction."""

    fail = "fail"
    worst = "worst"
    skip = "skip"


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps, or one of them.")],
    truth: Annotated[Path, typer.Argument(help="Folder of true label maps, a data set, or one label map.")],
    out: Annotated[Path, typer.Option("--out", help="JSON file for the scores of every case and their summary.")],
    labels: Annotated[
        Path | None, typer.Option("--labels", help='JSON file of names, {"1": "liver"}; default: those beside TRUTH.')
    ] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Of the surface Dice, in mm.", min=0)] = 1.0,
    csv: Annotated[Path | None, typer.Option("--csv", help="Also write the summary as a CSV table.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Also write it as a Markdown table.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the JSON instead of the table.")] = False,
    missing: Annotated[
        Missing, typer.Option("--missing", help="A truth without prediction: an error, counted as empty, or left out.")
    ] = Missing.fail,
) -> None:
    """Score predictions: Dice, precision, recall, surface distances in mm, volumes; mean and spread per organ.

    Example: saccade evaluate predictions labels --out metrics.json --markdown table.md
    """
    from saccade.cli.bar import progress_bar
    from saccade.data.layout_labels import read_label_names
    from saccade.files import write_json, write_text
    from saccade.study.tables import results_table, table_rows
    from saccade.tasks.segmentation.evaluate import evaluate_folders

    names = read_label_names(labels) if labels else None
    with progress_bar() as bar:
        task = bar.add_task("evaluating", total=None)
        result = evaluate_folders(
            predictions,
            truth,
            label_names=names,
            tolerance_mm=tolerance,
            missing=missing.value,
            progress=lambda done, total, case: bar.update(task, completed=done, total=total, description=case),
            say=lambda line: typer.echo(f"saccade: {line}", err=True),
        )
    write_json(out, result)
    if csv:
        write_text(csv, results_table(result, "csv"))
    if markdown:
        write_text(markdown, results_table(result, "markdown"))
    if json:
        typer.echo(out.read_text(encoding="utf-8"), nl=False)
    else:
        _show(table_rows(result), f"mean ± standard deviation over {len(result['cases'])} case(s)", out)


def _show(rows: list[list[str]], title: str, out: Path) -> None:
    """Draw the organs, the counts, and as many metrics between them as the terminal is wide."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    gap, counts = 2, 3
    widths = [gap + max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = list(range(len(widths)))
    while sum(widths[place] for place in shown) > console.width and len(shown) > counts + 2:
        del shown[-counts - 1]
    rest = None if len(shown) == len(widths) else f"the other metrics are in {out}"
    table = Table(title=title, caption=rest, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, gap - 1, 0, 0))
    for place in shown:
        table.add_column(rows[0][place], justify="right" if place else "left")
    for row in rows[1:]:
        table.add_row(*(escape(row[place]) for place in shown))
    console.print(table)
