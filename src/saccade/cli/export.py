"""`saccade export`: a run's network for ONNX Runtime, OpenVINO or torch.export."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    format: Annotated[str, typer.Option("--format", help="onnx, openvino or pt2.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder; default: export/ in the run.")] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="package.module:Network, for a run of a network of your own.")
    ] = None,
) -> None:
    """Write a run's network in another tool's format, with its preparation beside it (config.yaml).

    The network takes a batch of prepared patches or images and gives the scores of all classes. What `saccade
    predict --backend` needs is written into the run's own folder.

    Example: saccade export run --format openvino

    Your own network: saccade export run --format onnx --system mynet:MyNet
    """
    from saccade.files import check_folder, write_text
    from saccade.runs import load
    from saccade.tasks.backends import export_run

    folder = run / "export" if out is None else out
    check_folder(folder)
    predictor = load(run, system=system)
    path = export_run(predictor.network, predictor.config.input_shape, run / "model.safetensors", folder, format)
    write_text(folder / "config.yaml", (run / "config.yaml").read_text(encoding="utf-8"))
    typer.echo(str(path))
