"""`saccade compare`: systems on the same cases at the same budget, with statistics."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    systems: Annotated[
        list[str],
        typer.Argument(help="Systems, see `saccade systems`; or networks of your own: package.module:Network."),
    ],
    data: Annotated[
        Path, typer.Option("--data", help="Folder of the data set; any layout `saccade data check` knows.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the study; one that was stopped goes on.")],
    folds: Annotated[
        int | None, typer.Option("--folds", help="Parts of the cases, each held out once. Default: 5.")
    ] = None,
    first_folds: Annotated[
        int | None, typer.Option("--first-folds", help="Do only so many of the folds; the others can follow later.")
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Trainings of each system on each split; their scores are averaged.")
    ] = 1,
    preset: Annotated[str, typer.Option("--preset", help="Of every system: default, tiny or paper.")] = "default",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="One setting of every system: training.epochs=20. Repeatable.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="In place of folds: ct150-120-30, ct150-30-120 or ct82.")
    ] = None,
    pretrain: Annotated[
        Path | None, typer.Option("--pretrain", help="For ct82: folder of the data set that is learnt from first.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print study.json instead of the tables.")] = False,
) -> None:
    """Train systems on the same splits at the same budget; compare their scores case by case.

    Each system is held against its control where that is among them, else against the first: mean difference, 95 %
    interval over cases, Wilcoxon's p corrected for the number of comparisons. The same command goes on after a stop.

    Example: saccade compare attention-unet unet --data abdomens --folds 5 --out study --preset tiny

    The protocols of Oktay et al. 2018: saccade compare attention-unet unet --protocol ct82 --data HERE --pretrain THERE
    --out study
    """
    from saccade.study.compare import compare_systems
    from saccade.tasks.settings import parse_assignments

    compare_systems(
        systems,
        data,
        out,
        folds=folds,
        first_folds=first_folds,
        seeds=seeds,
        preset=preset,
        settings=parse_assignments(assignments or []),
        protocol=protocol,
        pretrain=pretrain,
        say=lambda line: typer.echo(line, err=True),
    )
    typer.echo((out / ("study.json" if json else "study.md")).read_text(encoding="utf-8"), nl=False)
