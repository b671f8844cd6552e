"""`saccade explain`: what a trained network looked at, as maps on the input's own grid."""

import json as json_
from pathlib import Path
from typing import Annotated

import typer


def explain(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    inputs: Annotated[list[Path], typer.Argument(help="Scans, DICOM folders, or folders of scans.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the maps, their pictures and explanations.json.")],
    method: Annotated[
        str, typer.Option("--method", help="grad_cam, respond_cam, occlusion, ...: any of saccade.explain.")
    ] = "grad_cam",
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Name of what to explain; repeatable. Default: all.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", help="Name of the layer to look at. Default: the last convolution.")
    ] = None,
    counterfactual: Annotated[
        bool, typer.Option("--counterfactual", help="Show what speaks against the target.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also say of each map whether it is faithful to the network, and why.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the records as JSON instead of the files' names.")
    ] = False,
    system: Annotated[
        str | None, typer.Option("--system", help="package.module:Network, for a run of a network of your own.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")] = "cpu",
) -> None:
    """Show what made a network decide: signed maps as NIfTI on each scan's own grid, and pictures over the scan.

    A network that segments is asked, for each organ, what raised its score where it was predicted.

    Example: saccade explain run scan.nii.gz --method respond_cam --out maps --verify
    """
    from saccade.cli.bar import progress_bar
    from saccade.cli.processes import device_of_process
    from saccade.explain.runs import Request, explain_inputs, explainer_of
    from saccade.files import check_folder
    from saccade.runs import load

    check_folder(out)
    request = Request(method, layer, tuple(target or ()), counterfactual, verify)
    request.function()  # a wrong name is refused before the run is read
    explainer = explainer_of(load(run, device=device_of_process(device), system=system))
    records = []
    with progress_bar() as bar:

        def say(text: str) -> None:
            bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

        bar.add_task("explaining", total=None)
        for record in explain_inputs(explainer, inputs, out, request, say=say):
            records.append(record)
            if not json:
                typer.echo(record["map"])
                if verify:
                    word = "faithful" if record["verdict"]["faithful"] else "not faithful"
                    typer.echo(f"{word}: {'; '.join(record['verdict']['reasons'])}")
    if json:
        typer.echo(json_.dumps(records, indent=2))
