"""`saccade demo`: the main job on simulated abdomens, in minutes, on a CPU."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", help="New folder for data, run, predictions and report.")] = Path(
        "demo"
    ),
    seconds: Annotated[float, typer.Option("--seconds", help="Training time.", min=1)] = 245.0,
    seed: Annotated[int, typer.Option("--seed", help="Of the anatomy and the training.")] = 0,
) -> None:
    """Make abdomens, train Attention U-Net, segment unseen ones, score them, write the report.

    Example: saccade demo --out demo
    """
    import shutil

    from rich.console import Console

    from saccade.errors import InputError
    from saccade.files import check_folder
    from saccade.study.demo import MARK, mean_dice_of_large_organs, run_demo
    from saccade.study.tables import results_table

    check_folder(out)
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).is_file():
            raise InputError(
                f"{out}: must be new, empty or an earlier demo, holds something else. Choose another --out."
            )
        shutil.rmtree(out)
    result, report = run_demo(out, seed=seed, seconds=seconds, say=lambda line: typer.echo(line, err=True))
    Console().print(results_table(result, "markdown"), markup=False)
    typer.echo(f"\nmean Dice of liver, spleen and kidneys on unseen abdomens: {mean_dice_of_large_organs(result):.3f}")
    typer.echo(f"pancreas: {result['summary']['pancreas']['dice']['mean']:.3f}")
    typer.echo(f"report: {report.resolve().as_uri()}")
