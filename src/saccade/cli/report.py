"""`saccade report`: one self-contained page about a run or a study."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or of a study of `saccade compare`.", metavar="RUN")],
    out: Annotated[Path | None, typer.Option("--out", help="File to write. Default: RUN/report.html.")] = None,
    cases: Annotated[
        int | None, typer.Option("--cases", min=0, help="How many cases to show, worst first. Default: as many as fit.")
    ] = None,
    max_megabytes: Annotated[
        float | None,
        typer.Option(
            "--max-megabytes", help="For the scans in the page; ten CTs of any size fit into 80.", show_default="80"
        ),
    ] = None,
) -> None:
    """Write one self-contained HTML page: scores, a viewer of the cases with their attention, curves, provenance.

    It opens in any browser and loads nothing. Of a study: costs, comparisons, and box plots of every case's scores.

    Example: saccade report runs/abdomen
    """
    from saccade.errors import InputError
    from saccade.report.study_report import is_study, write_study_report

    if is_study(run):
        if (cases, max_megabytes) != (None, None):
            raise InputError("report: --cases and --max-megabytes are for a run, the page of a study has no scans.")
        typer.echo(write_study_report(run, out))
        return
    from saccade.report import write_report

    typer.echo(write_report(run, out, cases=cases, max_megabytes=max_megabytes))
