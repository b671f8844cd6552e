"""`saccade data`: make simulated data, check a data set before training on it, convert boxes."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from saccade.cli.bar import progress_bar
from saccade.cli.data_check import check
from saccade.data.synthetic.kinds import KINDS, all_options, check_options, find_kind

app = typer.Typer(help="Make simulated data; check a data set before training on it.", no_args_is_help=True)
app.command("check")(check)


def _kind_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command every option of the table of kinds in place of its ``**options``."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[:-1]
    hints = {parameter.name: parameter.annotation for parameter in own}
    for name, option in all_options().items():
        hints[name] = Annotated[option.value_type | None, typer.Option(option.flag, help=option.help)]
        own.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hints[name]))
    function.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    function.__annotations__ = {**hints, "return": None}
    return function


@app.command("make", epilog="\n\n".join(["Kinds:", *(f"{kind.name}: {kind.summary}." for kind in KINDS.values())]))
@_kind_options
def make(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"What to simulate: {', '.join(KINDS)}.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    cases: Annotated[
        int | None, typer.Option("--cases", min=1, help="How many cases; where not given, as many as suit the kind.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Another seed gives other cases; the same, the same bytes.")
    ] = 0,
    **options: Any,
) -> None:
    """Simulate a data set to try everything with; train on one seed, evaluate on another.

    Example: saccade data make abdomen abdomens --cases 12 --seed 1
    """
    found = find_kind(kind)
    given = {name: value for name, value in options.items() if value is not None}
    check_options(found, list(given))
    module = importlib.import_module(found.module)
    number = cases or found.cases
    with progress_bar("simulating", number) as bar:
        made = module.make(out, cases=number, seed=seed, progress=bar.progress, **given)
    typer.echo(f"{out}: {len(made)} cases ({made[0]} to {made[-1]}).")


@app.command("convert")
def convert(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="Images with boxes: Pascal VOC, COCO or a CSV of boxes.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; new or empty.")],
    to: Annotated[str, typer.Option("--to", help="voc, coco or csv.")],
) -> None:
    """Write images and their boxes in another layout.

    Example: saccade data convert blood_cells blood_cells_coco --to coco
    """
    from saccade.data.detection.convert import convert_boxes
    from saccade.data.detection.layouts import find_box_dataset

    dataset = find_box_dataset(root)
    with progress_bar("writing", len(dataset.scenes)) as bar:
        convert_boxes(dataset, out, to, progress=bar.progress)
    typer.echo(f"{out}: {len(dataset.scenes)} images, {to}.")
