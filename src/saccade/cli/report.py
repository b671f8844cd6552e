"""`saccade report`: one self-contained page about a run."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    out: Annotated[Path | None, typer.Option("--out", help="File to write. Default: RUN/report.html.")] = None,
    cases: Annotated[
        int | None, typer.Option("--cases", min=0, help="How many cases to show, worst first. Default: as many as fit.")
    ] = None,
    max_megabytes: Annotated[
        float, typer.Option("--max-megabytes", help="For the scans in the page; ten CTs of any size fit into 80.")
    ] = 80.0,
) -> None:
    """Write one self-contained HTML page: scores, a viewer of the cases with their attention, curves, provenance.

    It opens in any browser and loads nothing.

    Example: saccade report runs/abdomen
    """
    from saccade.report import write_report

    typer.echo(write_report(run, out, cases=cases, max_megabytes=max_megabytes))
