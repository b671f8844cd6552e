"""`saccade lr-find`: the learning-rate range test."""

from pathlib import Path
from typing import Annotated

import typer


def lr_find(
    system: Annotated[
        str, typer.Argument(help="A system, see `saccade systems`; or your own network: package.module:Network.")
    ],
    data: Annotated[Path, typer.Option("--data", help="Folder or file of the data set.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for rates.csv and rates.png.")],
    preset: Annotated[str, typer.Option("--preset", help="As for `saccade train`.")] = "default",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="One setting: training.batch_size=8. Repeatable.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="At most; it ends when the loss diverges.", min=10)] = 100,
    highest: Annotated[float, typer.Option("--highest", help="Rate of the last step; the first is 1e-6 of it.")] = 10.0,
    init_from: Annotated[
        Path | None, typer.Option("--init-from", help="Run, or file of weights, to start from.")
    ] = None,
    freeze_to: Annotated[
        int | None, typer.Option("--freeze-to", help="Train only the layer groups from this one on.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="For your own network, where the data do not tell.")
    ] = None,
) -> None:
    """Look for a learning rate: train for a moment while it rises, and see where the loss falls and where it diverges.

    Nothing of this training is kept. The rate of the steepest fall and a tenth of that with the least loss are printed:
    good values for training.learning_rate lie between them.

    Example: saccade lr-find resnet --data images --out rates --steps 100
    """
    import csv
    import io

    from saccade.files import atomic, check_folder, write_text
    from saccade.rate_finding import find_rate
    from saccade.report.rate_picture import draw_rates
    from saccade.tasks.settings import merge, parse_assignments

    check_folder(out)
    training = {"init_from": None if init_from is None else str(init_from), "freeze_to": freeze_to}
    given = {"training": {name: value for name, value in training.items() if value is not None}}
    curve = find_rate(
        system,
        data,
        preset=preset,
        overrides=merge(parse_assignments(assignments or []), given),
        steps=steps,
        highest=highest,
        task=task,
        say=lambda line: typer.echo(line, err=True),
    )
    out.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["rate", "loss", "smoothed"])
    rows.writerows(
        [f"{value:.6g}" for value in row] for row in zip(curve.rates, curve.losses, curve.smoothed, strict=True)
    )
    write_text(out / "rates.csv", table.getvalue())
    with atomic(out / "rates.png") as path:
        draw_rates(curve).savefig(path, format="png", dpi=150)
    typer.echo(f"steepest fall {curve.steepest:.2g}, least loss / 10 {curve.tenth_of_least:.2g}")
    typer.echo(f"{out}")
