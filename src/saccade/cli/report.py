"""`saccade report`: one self-contained page about a run."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    out: Annotated[Path | None, typer.Option("--out", help="File to write. Default: RUN/report.html.")] = None,
    cases: Annotated[
        int | None, typer.Option("--cases", min=0, help="How many cases to draw, worst first. Default: all, up to 40.")
    ] = None,
) -> None:
    """Write one self-contained HTML page: scores, training curves, every case with its attention, provenance.

    Example: saccade report runs/abdomen
    """
    from saccade.report import write_report

    typer.echo(write_report(run, out, cases=cases))
