"""`saccade predict`: labels, attention maps, probabilities and volumes of scans; classes and boxes of images."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from saccade.errors import InputError

Opened = TypeVar("Opened")
OF_SEGMENTATIONS = (
    "--attention", "--probabilities", "--uncertainty", "--clean-up", "--dicom-seg", "--max-memory", "--mirror",
    "--overlap",
)  # fmt: skip
# The class of a predictor, and the module whose `predict` does the work: here tasks other than segmentation plug in.
PREDICTS = {
    "ClassificationPredictor": "saccade.cli.predict_targets",
    "DetectionPredictor": "saccade.cli.predict_detections",
    "LandmarksPredictor": "saccade.cli.predict_landmarks",
}


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    inputs: Annotated[list[Path], typer.Argument(help="Scans, DICOM folders, images, or folders of them.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Folder for <case>.nii.gz, volumes.csv and label descriptions; predictions.csv or .json.",
        ),
    ],
    attention: Annotated[
        bool,
        typer.Option("--attention", help="Also write each gate's map on the scan's grid; a picture for images."),
    ] = False,
    probabilities: Annotated[
        list[str] | None,
        typer.Option("--probabilities", help="Also write the probability of this organ; repeatable, 'all' for all."),
    ] = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Also write the entropy of the probabilities, in nats.")
    ] = False,
    ensemble: Annotated[
        list[Path] | None,
        typer.Option("--ensemble", help="Another run whose probabilities are averaged with RUN's; repeatable."),
    ] = None,
    clean_up: Annotated[
        str | None,
        typer.Option(
            "--clean-up",
            help="Remove stray pieces by the rules in this file; 'auto': RUN/clean_up.json, made from RUN/validation.",
        ),
    ] = None,
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Also write labels of DICOM series as DICOM Segmentation.")
    ] = False,
    vectors: Annotated[
        bool, typer.Option("--vectors", help="Also write vectors.csv: what the last layer decides on, of each image.")
    ] = False,
    voc: Annotated[
        bool, typer.Option("--voc", help="Also write detections as Pascal VOC: Annotations/<image>.xml with <score>.")
    ] = False,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Also draw the boxes of detections: pictures/<image>.png.")
    ] = False,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Leave detections out that are less sure than this, 0 to 1.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also do scans that are finished.")] = False,
    max_memory: Annotated[
        str | None, typer.Option("--max-memory", help="Memory that may be used, e.g. 4GB or 512MB.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Axes to average mirror images over, e.g. 0,1; '' for none.")
    ] = None,
    overlap: Annotated[float | None, typer.Option("--overlap", help="Overlap of windows, 0 up to 1.")] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="package.module:Network, for a run of a network of your own.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")] = "cpu",
    backend: Annotated[
        str, typer.Option("--backend", help="torch, or onnx or openvino with what `saccade export` made.")
    ] = "torch",
) -> None:
    """Segment scans: results lie on each scan's own grid. Of classes and numbers: predictions.csv, of boxes: .json.

    What is finished in --out is skipped, so a stopped command is continued by giving it again. Several commands
    at once, or torchrun, share the scans out.

    Example: saccade predict run scan.nii.gz dicom_folder/ --out predictions --attention

    Classes: saccade predict fold0 new_images/ one.png --ensemble fold1 --out predictions

    Boxes: saccade predict run new_images/ --out predictions --pictures --min-score 0.3
    """
    from saccade.cli.bar import progress_bar
    from saccade.cli.predict_targets import refuse_options
    from saccade.cli.processes import device_of_process, share_of_process
    from saccade.cli.size import parse_size
    from saccade.files import check_folder
    from saccade.runs import load
    from saccade.tasks.segmentation.cleanup import choose_clean_up
    from saccade.tasks.segmentation.ensemble import ensemble_of
    from saccade.tasks.segmentation.output import Wanted, find_scans, predict_scans
    from saccade.tasks.segmentation.predictor import SegmentationPredictor

    check_folder(out)
    limit = None if max_memory is None else parse_size("--max-memory", max_memory)
    options = {
        "--attention": attention, "--probabilities": probabilities, "--uncertainty": uncertainty,
        "--clean-up": clean_up, "--dicom-seg": dicom_seg, "--vectors": vectors, "--voc": voc, "--pictures": pictures,
        "--min-score": min_score, "--max-memory": max_memory, "--mirror": mirror, "--overlap": overlap,
    }  # fmt: skip
    place = device_of_process(device)
    opened = [(path, load(path, device=place, system=system, backend=backend)) for path in (run, *(ensemble or ()))]
    homes = [PREDICTS[kind.__name__] for kind in type(opened[0][1]).__mro__ if kind.__name__ in PREDICTS]
    if homes:
        importlib.import_module(homes[0]).predict(opened, inputs, out, options, overwrite)
        return
    refuse_options(options, OF_SEGMENTATIONS, "segmentation")
    several = members(opened, SegmentationPredictor, "segmentation", changes_of(options))
    predictor = several[0] if len(several) == 1 else ensemble_of(several)
    scans = find_scans(inputs, apart_from=out)
    with progress_bar("predicting", len(scans)) as bar:
        names = predictor.config.data.label_names
        wanted = Wanted(
            attention=attention,
            probabilities=tuple(probabilities or ()),
            uncertainty=uncertainty,
            dicom_seg=dicom_seg,
            clean_up=None if clean_up is None else choose_clean_up(clean_up, run, names, bar.say),
            max_memory=limit,
        )

        def progress(name: str, done: int, windows: int, finished: int) -> None:
            bar.progress(finished + done / windows, name=name)

        for path in predict_scans(
            predictor, scans, out, wanted, overwrite=overwrite, share=share_of_process(), progress=progress, say=bar.say
        ):
            typer.echo(str(path))


def changes_of(options: Mapping[str, Any]) -> dict[str, object]:
    """The inference settings that options stand for."""
    changes: dict[str, object] = {}
    if options["--mirror"] is not None:
        changes["mirror_axes"] = _axes(options["--mirror"])
    if options["--overlap"] is not None:
        changes["overlap"] = options["--overlap"]
    return changes


def members(
    opened: Sequence[tuple[Path, Any]], kind: type[Opened], task: str, changes: dict[str, object]
) -> list[Opened]:
    """Runs that must be of one task, with other inference settings."""
    for run, predictor in opened:
        if not isinstance(predictor, kind):
            raise InputError(f"{run}: must be a run of a {task}, is one of a {predictor.config.task}.")
    return [predictor.with_inference(changes) for _, predictor in opened]


def _axes(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not set(parts) <= {"0", "1", "2"} or len(set(parts)) < len(parts):
        raise InputError(f"--mirror: must be different axes out of 0, 1 and 2, separated by commas, got '{text}'.")
    return [int(part) for part in parts]
