"""`saccade train`: from labelled scans, or images with targets, to a run."""

from pathlib import Path
from typing import Annotated

import typer

from saccade.errors import InputError


def train(
    system: Annotated[
        str, typer.Argument(help="A system, see `saccade systems`; or your own network: package.module:Network.")
    ],
    data: Annotated[
        Path, typer.Option("--data", help="Folder or file of the data set; any layout `saccade data check` knows.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; new or empty.")],
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML with settings, for example another run's config.yaml.")
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", help="default (decided from the data), tiny, or paper.")
    ] = "default",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="One setting: training.epochs=20. Repeatable.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="JSON with label names, where the data set has none.")
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option("--init-from", help="Run, or file of weights, to start from where names and shapes fit."),
    ] = None,
    freeze: Annotated[
        list[str] | None, typer.Option("--freeze", help="Parameters not to train: 'encoder.*'. Repeatable.")
    ] = None,
    freeze_to: Annotated[
        int | None,
        typer.Option("--freeze-to", help="Train only the layer groups from this one on; -1: the last one."),
    ] = None,
    devices: Annotated[
        int, typer.Option("--devices", help="Processes that train together: GPUs, or parts of a CPU.")
    ] = 1,
    nodes: Annotated[int, typer.Option("--nodes", help="Machines; torchrun or srun starts the processes.")] = 1,
    accelerator: Annotated[str, typer.Option("--accelerator", help="auto, cpu, gpu or mps.")] = "auto",
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="segmentation or classification; for your own network, where the data do not tell."
        ),
    ] = None,
    fold: Annotated[int, typer.Option("--fold", help="Which part is held out.")] = 0,
    folds: Annotated[int, typer.Option("--folds", help="How many parts there are.", min=2)] = 5,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    extend: Annotated[
        str | None, typer.Option("--extend", help="Continue it for so many epochs (20) or seconds (600s) more.")
    ] = None,
) -> None:
    """Train a system on labelled data.

    Example: saccade train attention-unet --data abdomens --out run --preset tiny --set training.max_seconds=180

    Example: saccade train attention-unet --data abdomens --out second --init-from unet_run --freeze 'encoder.*'

    Classes or numbers: saccade train resnet --data xrays --out run --set data.columns=[projection]

    Boxes: saccade train ssd --data blood_cells --out run --preset tiny
    """
    from saccade.data.layout_labels import parse_label_names, read_label_names
    from saccade.runs import start_run
    from saccade.tasks.devices import Devices
    from saccade.tasks.settings import merge, parse_assignments, read_yaml
    from saccade.tasks.task import task_of

    given = read_yaml(config) if config else {}
    for key in ("version", "task", "system", "preset"):
        given.pop(key, None)
    if isinstance(given.get("data"), dict):
        for key in ("root", "labelled", "target_mean", "target_std"):  # the data set says it
            given["data"].pop(key, None)
        if "label_names" in given["data"]:  # a run's config.yaml has the values as text
            given["data"]["label_names"] = parse_label_names(str(config), given["data"]["label_names"])
    overrides = merge(given, parse_assignments(assignments or []))
    if labels is not None:
        if task_of(system, data, task) != "segmentation":
            raise InputError("train: --labels is for label maps; a classification's classes are those of its targets.")
        overrides = merge(overrides, {"data": {"label_names": read_label_names(labels)}})
    if init_from is not None:
        overrides = merge(overrides, {"training": {"init_from": str(init_from)}})
    if freeze:
        overrides = merge(overrides, {"training": {"freeze": freeze}})
    if freeze_to is not None:
        overrides = merge(overrides, {"training": {"freeze_to": freeze_to}})
    start_run(
        system,
        data,
        out,
        preset=preset,
        split=(fold, folds),
        resume=resume,
        extend=extend,
        devices=Devices(accelerator, devices, nodes),
        overrides=overrides,
        say=lambda line: typer.echo(line, err=True),
        task=task,
    )
    typer.echo(f"{out}")
