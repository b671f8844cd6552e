"""`saccade explain`: what a trained network looked at, as maps on the input's own grid."""

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from saccade.explain.runs import Request


def explain(
    run: Annotated[
        str,
        typer.Argument(help="Folder of a run; or your own network: package.module:Network.", metavar="RUN"),
    ],
    inputs: Annotated[list[Path], typer.Argument(help="Scans, DICOM folders, images, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the maps, their pictures and explanations.json.")],
    method: Annotated[
        str, typer.Option("--method", help="grad_cam, respond_cam, occlusion, ...: any of saccade.explain.")
    ] = "grad_cam",
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Name of what to explain; repeatable. Default: all.")
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Explain so many classes of each image, the most probable.")
    ] = None,
    detection: Annotated[
        int | None,
        typer.Option("--detection", min=1, help="Of a detector, explain this detection of each image; 1, the surest."),
    ] = None,
    region: Annotated[
        Path | None,
        typer.Option("--region", help="Mask, or folder of masks: explain a segmentation's scores in there."),
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
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Mask of the evidence, or folder of masks: how well maps agree.")
    ] = None,
    boxes: Annotated[
        bool, typer.Option("--boxes", help="Draw the box around what is above 20 % of a map's maximum.")
    ] = False,
    gallery: Annotated[
        bool, typer.Option("--gallery", help="Also draw all maps of an image, and all images of a target, in one.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the records as JSON instead of the files' names.")
    ] = False,
    system: Annotated[
        str | None, typer.Option("--system", help="package.module:Network, for a run of a network of your own.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Of your own network: a .safetensors file, or a run's folder.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Of your own network: network.out_channels=3, data.size=[32,32]. Repeatable."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")] = "cpu",
) -> None:
    """Show what made a network decide: signed maps as NIfTI on each scan's own grid, and pictures over the scan.

    A network that segments is asked, for each organ, what raised its score where it was predicted.

    Example: saccade explain run scan.nii.gz --method respond_cam --out maps --verify

    Classes: saccade explain run images --top 3 --gallery --out maps

    Boxes, the second surest: saccade explain run image.png --detection 2 --out maps

    A network from elsewhere: saccade explain my_module:Network scan.nii.gz --weights best.safetensors --out maps
    """
    from saccade.explain.runs import Request

    request = Request(
        method, layer, tuple(target or ()), counterfactual, verify, top, region, truth, boxes, gallery, detection
    )
    request.check_together()  # a wrong wish is refused before the run is read
    predictor = _open(run, inputs, out, system, weights, assignments or [], device)
    records = _explain(predictor, inputs, out, request, quiet=json)
    if json:
        typer.echo(json_.dumps(records, indent=2))


def _open(
    run: str,
    inputs: list[Path],
    out: Path,
    system: str | None,
    weights: Path | None,
    assignments: list[str],
    device: str,
) -> Any:
    """What predicts: a run's, or that of a network that never was one."""
    from saccade.cli.processes import device_of_process
    from saccade.errors import InputError
    from saccade.files import check_folder
    from saccade.systems import is_own

    check_folder(out)
    where = device_of_process(device)
    if is_own(run) and not Path(run).exists():
        from saccade.explain.own_network import open_network
        from saccade.tasks.classification.output import find_inputs
        from saccade.tasks.settings import parse_assignments

        example = find_inputs(inputs, apart_from=out)[0]
        return open_network(run, example, weights=weights, settings=parse_assignments(assignments), device=where)
    if weights is not None or assignments:
        given = "--weights" if weights is not None else "--set"
        raise InputError(f"{run}: a run has its own weights and settings; {given} is for package.module:Network.")
    from saccade.runs import load

    return load(Path(run), device=where, system=system)


def _explain(predictor: Any, inputs: list[Path], out: Path, request: "Request", *, quiet: bool) -> list[dict[str, Any]]:
    """The records of all maps, told as they come unless they are to be printed as JSON."""
    from saccade.cli.bar import progress_bar
    from saccade.explain.runs import explain_inputs, explainer_of

    records = []
    with progress_bar("explaining") as bar:
        for record in explain_inputs(explainer_of(predictor), inputs, out, request, say=bar.say):
            records.append(record)
            if not quiet:
                _tell(record)
    return records


def _tell(record: dict[str, Any]) -> None:
    typer.echo(record["map"])
    if "verdict" in record:
        word = "faithful" if record["verdict"]["faithful"] else "not faithful"
        typer.echo(f"{word}: {'; '.join(record['verdict']['reasons'])}")
    if record.get("localisation"):
        said = [f"{name.replace('_', ' ')} {_shown(value)}" for name, value in record["localisation"].items()]
        typer.echo(f"against the truth: {', '.join(said)}")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:.3g}"
