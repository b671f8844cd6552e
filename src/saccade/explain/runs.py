"""Explaining what a trained run saw: a map on the input's own grid, a picture and a verdict for each, as files."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

import saccade.explain
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError, unknown_name
from saccade.explain.boxes import Extent, box_of_map
from saccade.explain.faithfulness import verify
from saccade.explain.gallery import Galleries, Panel, panel, plain_name
from saccade.explain.masks import evidence_of, localisation, read_mask
from saccade.explain.picture import explanation_figure, feature_figure
from saccade.explain.render import encode
from saccade.explain.targets import Target
from saccade.files import atomic, write_json

METHODS = (
    "ablation_cam", "attention_maps", "cam", "eigen_cam", "eigen_grad_cam", "feature_maps", "grad_cam",
    "grad_cam_element_wise", "grad_cam_plus_plus", "guided_backpropagation", "guided_grad_cam", "hires_cam",
    "input_gradient", "layer_cam", "occlusion", "respond_cam", "score_cam", "x_grad_cam",
)  # fmt: skip
# These show the same whatever is asked for.
WITHOUT_TARGET = ("attention_maps", "eigen_cam", "feature_maps")
# The class of a predictor, and the module whose `explainer` makes an `Explainer` of one: here tasks plug in.
EXPLAINERS = {
    "ClassificationPredictor": "saccade.explain.classification",
    "DetectionPredictor": "saccade.explain.detection",
    "LandmarksPredictor": "saccade.explain.landmarks",
    "SegmentationPredictor": "saccade.explain.segmentation",
}

Say = Callable[[str], None]
Method = Callable[..., Tensor]


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        method: One of `METHODS`.
        layer: Name of the network's layer; default the last convolution.
        targets: Names of what is explained; default all that the run knows.
        counterfactual: Whether to explain what speaks against the targets.
        check: Whether to make a verdict on each map.
        top: Of classes, explain so many with the highest scores of each image.
        region: Of a segmentation, a mask (or a folder with one for each case) in which the target's score is summed.
        truth: A mask of the known evidence, or a folder with one for each case, that maps are held against.
        boxes: Whether pictures show the box around the largest part above 20 % of the maximum.
        gallery: Whether to draw all maps of a case, and all cases of a target, in one picture.
        detection: Of a detector, explain that detection of each image, 1 for the surest.
    """

    method: str
    layer: str | None = None
    targets: tuple[str, ...] = ()
    counterfactual: bool = False
    check: bool = False
    top: int | None = None
    region: Path | None = None
    truth: Path | None = None
    boxes: bool = False
    gallery: bool = False
    detection: int | None = None

    @property
    def name(self) -> str:
        """The method's name in Python."""
        return self.method.replace("-", "_")

    def function(self) -> Method:
        """The method itself.

        Raises:
            InputError: If there is none of that name.
        """
        if self.name not in METHODS:
            raise unknown_name("explain", "method", self.method, list(METHODS))
        function: Method = getattr(saccade.explain, self.name)
        return function

    def check_together(self) -> None:
        """Nothing, if what is wanted goes together.

        Raises:
            InputError: Otherwise.
        """
        self.function()
        if self.name in WITHOUT_TARGET and (
            self.targets or self.counterfactual or self.top or self.region or self.detection
        ):
            raise InputError(f"explain: {self.method} does not depend on a target; leave --target out.")
        if self.top is not None and self.targets:
            raise InputError("explain: --top chooses the classes; leave --target out.")
        if self.detection is not None and (self.targets or self.top):
            raise InputError("explain: --detection chooses one; leave --target and --top out.")
        if self.name == "feature_maps" and (self.check or self.truth or self.boxes or self.gallery):
            raise InputError(
                "explain: feature_maps are evidence of nothing; leave --verify, --truth, --boxes and --gallery out."
            )


class Sample(NamedTuple):
    """What a verdict is made on: a network, one input of it, the target, and the layer if the task chose one."""

    network: nn.Module
    x: Tensor
    target: Target
    layer: str | None = None


@dataclass(frozen=True)
class Explanation:
    """One map.

    Attributes:
        target: Name of what is explained.
        scan: What was looked at.
        map: Signed values on the scan's grid, float32, of feature maps a channel each; None where there is nothing to
            explain.
        sample: The network's input that has most of the evidence; None without a map.
        flat: Whether it is a picture, rows and columns without a place in space.
        said: What the network says of the target: a probability, or the number of a regression; None of organs.
        value: Of the target in masks of the truth.
        layer: The layer that was looked at, where the task chose it.
        found: Of a detection, its box in the user's units, and in voxels of the scan (start and stop along each axis).
    """

    target: str
    scan: Volume
    map: Volume | None
    sample: Sample | None
    flat: bool = False
    said: float | None = None
    value: int = 1
    layer: str | None = None
    found: "Found | None" = None


class Found(NamedTuple):
    """A detection that is explained."""

    box: tuple[float, ...]
    voxels: Extent


@runtime_checkable
class Explainer(Protocol):
    """What a task brings to be explained."""

    def cases(self, inputs: Sequence[Path], apart_from: Path) -> list[tuple[str, Any]]:
        """The cases that paths stand for, with what `explain` takes of each; nothing in a folder of results is one."""

    def targets(self, wanted: Sequence[str]) -> list[str]:
        """The names of what is explained; raises InputError for one that is unknown.

        If none is wanted, all; or none at all, if `explain` then decides case by case.
        """

    def explain(self, case: Any, targets: Sequence[str], request: Request) -> Iterator[Explanation]:
        """An explanation for each target."""


def explainer_of(predictor: Any) -> Explainer:
    """What explains the runs of a predictor's task.

    Raises:
        InputError: If its task has no explanations.
    """
    for kind in type(predictor).__mro__:
        if kind.__name__ in EXPLAINERS:
            explainer: Explainer = importlib.import_module(EXPLAINERS[kind.__name__]).explainer(predictor)
            return explainer
    raise InputError(
        f"explain: runs of a {type(predictor).__name__} cannot be explained. Use saccade.explain in Python."
    )


def explain_inputs(
    explainer: Explainer, inputs: Sequence[Path], out: Path, request: Request, *, say: Say
) -> Iterator[dict[str, Any]]:
    """Write a map, a picture and a record for each case and target.

    Args:
        explainer: From `explainer_of`.
        inputs: Files and folders.
        out: Folder; gets ``<case>_<target>_<method>.nii.gz`` (signed values on the case's own grid), the same name with
            ``.png`` (planes through the strongest value, or the picture), ``explanations.json`` with all records, and
            ``gallery_<case or target>_<method>.png`` if they are wanted.
        request: What is wanted.
        say: Gets a line where there is nothing to explain.

    Yields:
        The record of each map.

    Raises:
        InputError: If an input, a name or a layer cannot be used.
    """
    request.check_together()
    if request.detection is not None and not getattr(explainer, "detects", False):
        raise InputError("explain: --detection is for networks that detect; leave it out.")
    cases, targets = explainer.cases(inputs, out), explainer.targets(request.targets)
    if request.name in WITHOUT_TARGET:
        targets = targets[:1]
    records: list[dict[str, Any]] = []
    galleries = Galleries(out, request.name)
    for case, given in cases:
        for explanation in explainer.explain(given, targets, request):
            if explanation.map is None:
                say(f"{case}: nothing of {explanation.target} was predicted, so there is nothing to explain")
                continue
            records.append(write_explanation(case, explanation, out, request))
            write_json(out / "explanations.json", records)
            if request.gallery:
                galleries.add(case, explanation.target, _panel(explanation, records[-1]))
            yield records[-1]
        for path in galleries.finish_case(case):
            say(f"{path}: all maps of {case}")
    for path in galleries.finish():
        say(f"{path}: the maps of all cases")


def write_explanation(case: str, explanation: Explanation, out: Path, request: Request) -> dict[str, Any]:
    """Write one map, which must be there, and its picture; gives the record, with a verdict if one is wanted."""
    map_ = explanation.map
    assert map_ is not None
    words = [case] if request.name in WITHOUT_TARGET else [case, explanation.target]
    words += [request.name, "counterfactual"] if request.counterfactual else [request.name]
    file, picture = (out / f"{plain_name(words)}.{suffix}" for suffix in ("nii.gz", "png"))
    write_volume(map_, file)
    features = map_.array.ndim == 4
    if features:
        figure = feature_figure(map_, flat=explanation.flat)
    else:
        found = None if explanation.found is None else explanation.found.voxels
        figure = explanation_figure(explanation.scan, map_, flat=explanation.flat, boxed=request.boxes, found=found)
    with atomic(picture) as temporary:
        temporary.write_bytes(encode(figure))
    layer = explanation.layer or request.layer
    record: dict[str, Any] = {
        "case": case,
        "target": None if request.name in WITHOUT_TARGET else explanation.target,
        "said": explanation.said,
        "counterfactual": request.counterfactual,
        "method": request.name,
        "layer": layer,
        "region": None if request.region is None else str(request.region),
        "map": str(file),
        "picture": str(picture),
        **({} if explanation.found is None else {"detection": list(explanation.found.box)}),
        "lowest": float(map_.array.min()),
        "highest": float(map_.array.max()),
    }
    if features:
        return {**record, "channels": map_.channels}
    box, axes = box_of_map(map_.array), 2 if explanation.flat else 3
    peak = np.unravel_index(int(np.argmax(map_.array)), map_.shape)
    record |= {
        "peak_voxel": [int(index) for index in peak],
        "peak_mm": None if explanation.flat else [round(float(v), 3) for v in (map_.affine @ [*peak, 1])[:3]],
        "box": None if box is None else [list(ends) for ends in box[:axes]],
    }
    if request.truth is not None:
        values = read_mask(request.truth, case, explanation.scan, flat=explanation.flat)
        spacing = None if explanation.flat else map_.spacing_mm
        record["localisation"] = localisation(map_.array, evidence_of(values, explanation.value), spacing)
    if request.check and explanation.sample is not None:
        network, x, target, chosen = explanation.sample
        (verdict,) = verify(network, x, target=target, method=request.function(), layer=chosen or request.layer)
        record["verdict"] = {
            "faithful": verdict.faithful,
            "reasons": list(verdict.reasons),
            "measures": verdict.measures,
        }
    return record


def _panel(explanation: Explanation, record: dict[str, Any]) -> Panel:
    assert explanation.map is not None
    words = [] if explanation.said is None else [f"{explanation.said:.3g}"]
    if "verdict" in record:
        words.append("faithful" if record["verdict"]["faithful"] else "not faithful")
    return panel(explanation.scan, explanation.map, flat=explanation.flat, rank=explanation.said, words=words)
