"""What made a detector find an object: maps on the grid of each image, for the score of one of its detections."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.data.classification.read import Image, is_picture, with_channels
from saccade.data.detection.case import Scene
from saccade.data.orient import from_canonical
from saccade.data.volume import Volume, read_volume
from saccade.errors import InputError, unknown_name
from saccade.explain.boxes import Extent
from saccade.explain.hooks import LINEAR, undisturbed
from saccade.explain.runs import WITHOUT_TARGET, Explanation, Found, Request, Sample
from saccade.explain.targets import Target, counterfactual, detection_score
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.dataset import prepare_image
from saccade.tasks.detection.detections import Located, detections_of
from saccade.tasks.detection.frame import Frame, read_framed
from saccade.tasks.detection.output import find_scenes
from saccade.tasks.detection.predictor import DetectionPredictor

TRUNKS = ("backbone", "trunk.blocks", "features")  # where detectors keep what sees, in front of what finds
CANDIDATES = 300  # boxes of a class that are looked at, the surest; none of them is left out as a duplicate
WITHOUT_LAYER = ("attention_maps", "guided_backpropagation", "input_gradient", "occlusion")  # they look at no layer
INNER = "network"  # what the detector's own network is called within `Detecting`
ACROSS = 2  # positions of a map that an object must span for the map to show it


class Detecting(nn.Module):
    """A detector as one module that leaves nothing out, for what explains modules.

    Args:
        network: Its network; its layers keep their names behind ``network.``.
        system: The module of its system.
        config: The run.
    """

    def __init__(self, network: nn.Module, system: Any, config: DetectionConfig) -> None:
        super().__init__()
        self.network, self._detect = network, system.detect  # of a module no copy can be made, as checks do
        limit = CANDIDATES * len(config.data.classes)
        every = {"score": 0.0, "overlap": 1.0, "candidates": CANDIDATES, "limit": limit}
        self.config = config.model_copy(update={"inference": config.inference.model_copy(update=every)})

    def forward(
        self, x: Float[Tensor, "b c *space"]
    ) -> tuple[Float[Tensor, "b n box"], Float[Tensor, "b n"], Integer[Tensor, "b n"]]:
        """Boxes in pixels of the prepared images, scores and classes; rows of zeros where an image has fewer."""
        found: list[Located] = self._detect(self.network, x, self.config)
        most = max(len(of_image.scores) for of_image in found)
        missing = [most - len(of_image.scores) for of_image in found]
        boxes = [F.pad(one.boxes, (0, 0, 0, few)) for one, few in zip(found, missing, strict=True)]
        scores = [F.pad(one.scores, (0, few)) for one, few in zip(found, missing, strict=True)]
        classes = [F.pad(one.classes, (0, few)) for one, few in zip(found, missing, strict=True)]
        return torch.stack(boxes), torch.stack(scores), torch.stack(classes)


class DetectionExplainer:
    """Explains how sure a detector is of its detections.

    Of each image it is the surest detection unless others are asked for: the surest of a class by its name, several by
    ``top``, one by its number.

    Args:
        predictor: A trained network.
    """

    detects = True

    def __init__(self, predictor: DetectionPredictor) -> None:
        self.predictor, self.data = predictor, predictor.config.data
        self._network = Detecting(predictor.network, predictor.system, predictor.config)

    def cases(self, inputs: Sequence[Path], apart_from: Path) -> list[tuple[str, Scene]]:
        """The images that paths stand for."""
        return [(scene.id, scene) for scene in find_scenes(inputs, apart_from=apart_from)]

    def targets(self, wanted: Sequence[str]) -> list[str]:
        """Classes by name; none unless they are wanted, which stands for the surest detection.

        Raises:
            InputError: For a name that the run does not know.
        """
        for name in wanted:
            if name not in self.data.classes:
                raise unknown_name("explain", "target", name, list(self.data.classes))
        return list(dict.fromkeys(wanted))

    def explain(self, scene: Scene, targets: Sequence[str], request: Request) -> Iterator[Explanation]:
        """A map for each detection that is asked for.

        Raises:
            InputError: If the image or the layer cannot be used, or a region is given.
        """
        if request.region is not None:
            raise InputError("explain: --region is for networks that segment; choose a box with --detection.")
        image, frame, where = read_framed(scene.image, self.data.size)
        x = prepare_image(image, self.data, where)[None].to(self.predictor.device)
        located = self.predictor.located(x)[0]
        said = detections_of(located, frame, self.data.classes)
        scan, flat = _place(scene, image)
        for what, number in self._asked(said.names, targets, request):
            if number is None:
                yield Explanation(what, scan, None, None, flat)
                continue
            found, sure, box = None, None, None
            target: Target = _all_scores
            if number >= 0:
                box, sure = located.boxes[number].cpu(), float(said.scores[number])
                target = detection_score(box.tolist(), int(located.classes[number]))
                target = counterfactual(target) if request.counterfactual else target
                found = Found(tuple(said.boxes[number].tolist()), _voxels(said.boxes[number], frame))
            layer = None if request.layer is None else request.layer.removeprefix(f"{INNER}.")  # as errors name it
            if layer is None and request.name not in WITHOUT_LAYER:
                layer = layer_for(self.predictor.network, x, box)
            place = None if layer is None else f"{INNER}.{layer}"
            map_ = request.function()(self._network, x, target=target, layer=place)[0].float().cpu()
            array = _on_image(map_ if map_.ndim == x.ndim - 1 else map_[None], image, scan, flat)
            array = array[..., 0] if map_.ndim == x.ndim - 2 else array
            sample = Sample(self._network, x, target, place)
            yield Explanation(what, scan, scan.like(array), sample, flat, sure, layer=layer, found=found)

    def _asked(self, names: Sequence[str], targets: Sequence[str], request: Request) -> list[tuple[str, int | None]]:
        """What is explained of one image: its name, and the number of the detection; None where it is not there."""
        if request.name in WITHOUT_TARGET:
            return [("", -1)]

        if targets:
            first = {name: names.index(name) for name in targets if name in names}
            return [(f"{name} {first[name] + 1}", first[name]) if name in first else (name, None) for name in targets]
        one = request.detection
        wanted = range(min(request.top or 1, len(names))) if one is None else [one - 1]
        there: list[tuple[str, int | None]] = [(f"{names[n]} {n + 1}", n) for n in wanted if n < len(names)]
        return there or [("any class" if one is None else f"detection {one}", None)]


def explainer(predictor: DetectionPredictor) -> DetectionExplainer:
    """What `saccade.explain.runs` asks for."""
    return DetectionExplainer(predictor)


def layer_for(network: nn.Module, x: Float[Tensor, "1 c *space"], box: Float[Tensor, "box"] | None) -> str | None:
    """The last part of what lies in front of the heads on whose map an object is at least two positions across.

    Args:
        network: Of a detector.
        x: A prepared image.
        box: The object's, x first, in pixels; None for any object.

    Returns:
        Its name; that of the finest map where none is fine enough; None for a network without a trunk that is known.
    """
    ran: list[tuple[str, tuple[int, ...]]] = []

    def listener(name: str) -> Callable[..., None]:
        def listen(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == x.ndim:
                ran.append((name, tuple(output.shape[2:])))

        return listen

    with ExitStack() as stack:
        module = stack.enter_context(undisturbed(network))
        parts = dict(module.named_modules())
        for trunk in TRUNKS:
            for name, part in parts.get(trunk, nn.Module()).named_children():
                stack.callback(part.register_forward_hook(listener(f"{trunk}.{name}")).remove)
        with torch.no_grad():
            module(x.clone())
    if not ran:
        return None
    sides = None if box is None else (box[len(box) // 2 :] - box[: len(box) // 2]).flip(-1).tolist()

    def across(shape: tuple[int, ...]) -> float:
        if sides is None:
            return float("inf")
        return min(side * n / size for side, n, size in zip(sides, shape, x.shape[2:], strict=True))

    fine = [name for name, shape in ran if prod(shape) > 1 and across(shape) >= ACROSS]
    return fine[-1] if fine else max(ran, key=lambda one: prod(one[1]))[0]


def _all_scores(output: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    return output[1].sum()


def _voxels(corners: np.ndarray, frame: Frame) -> Extent:
    """A box in the user's units as start and stop along each axis of the image's (canonical) array."""
    whole = Frame(frame.shape, frame.shape, frame.affine)
    first, last = np.split(whole.to_prepared(corners[None])[0], 2)
    return tuple((float(a), float(b)) for a, b in zip(first[::-1], last[::-1], strict=True))


def _on_image(map_: Float[Tensor, "k *size"], image: Image, scan: Volume, flat: bool) -> np.ndarray:
    """Channels of a map on the scan's own grid, the last axis theirs; what was stretched for the network is undone."""
    wanted = F.interpolate(map_[None], image.space, mode=LINEAR[map_.ndim - 1], align_corners=False)[0]
    array = np.moveaxis(wanted.numpy(), 0, -1)
    if flat:  # a picture is a volume of one slice
        return array[:, :, None]
    return array if scan.source is None else from_canonical(array, scan)


def _place(scene: Scene, image: Image) -> tuple[Volume, bool]:
    """The image as a volume, and whether it is a picture: rows and columns without a place in space."""
    if not is_picture(scene.image):
        return read_volume(scene.image), False
    grey = np.asarray(with_channels(image, 1, str(scene.image)), np.float32)
    return Volume(grey, np.eye(4)), True
