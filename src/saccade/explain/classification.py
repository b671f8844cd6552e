"""What made a classifier decide: maps on the grid of each image, whatever size the network saw it at."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.data.classification.case import Case
from saccade.data.classification.prepare import fitted_size
from saccade.data.classification.read import Image, is_picture, read_image, with_channels
from saccade.data.orient import from_canonical
from saccade.data.volume import Volume, read_volume
from saccade.errors import InputError, unknown_name
from saccade.explain.hooks import LINEAR
from saccade.explain.runs import Explanation, Request, Sample
from saccade.explain.targets import Target, counterfactual
from saccade.tasks.classification.dataset import prepare_image
from saccade.tasks.classification.output import find_inputs
from saccade.tasks.classification.predictor import ClassificationPredictor, Told


class ClassificationExplainer:
    """Explains the scores that a classifier or a regression gives, before softmax and calibration.

    Of classes it is the one predicted unless others are asked for; of labels and regressions each of them; of levels in
    an order the sum of all steps up, by the name of the column.

    Args:
        predictor: A trained network.
    """

    def __init__(self, predictor: ClassificationPredictor) -> None:
        self.predictor, self.data = predictor, predictor.config.data
        self._names = list(self.data.columns if self.data.kind == "ordinal" else predictor.names)

    def cases(self, inputs: Sequence[Path], apart_from: Path) -> list[tuple[str, Case]]:
        """The images that paths stand for."""
        return [(case.id, case) for case in find_inputs(inputs, apart_from=apart_from)]

    def targets(self, wanted: Sequence[str]) -> list[str]:
        """Classes, labels or columns by name; none of classes unless they are wanted, which stands for the predicted.

        Raises:
            InputError: For a name that the run does not know.
        """
        for name in wanted:
            if name not in self._names:
                raise unknown_name("explain", "target", name, self._names)
        return list(dict.fromkeys(wanted)) or ([] if self.data.kind == "classes" else self._names)

    def explain(self, case: Case, targets: Sequence[str], request: Request) -> Iterator[Explanation]:
        """A map for each target of an image.

        Raises:
            InputError: If the image or the layer cannot be used, or a region is given.
        """
        if request.region is not None:
            raise InputError("explain: --region is for networks that segment; this one tells of whole images.")
        image = read_image(case.source)
        x = prepare_image(image, self.data, str(case.source))[None].to(self.predictor.device)
        network, method = _fixed(self.predictor.network, x), request.function()
        told = self.predictor.told(self.predictor.values(x.cpu())[0].tolist())
        scan, flat = _place(case, image)
        for name in self._asked(told, targets, request):
            target = self._target(name, request)
            map_ = method(network, x, target=target, layer=request.layer)[0].float().cpu()
            channels = map_ if map_.ndim == x.ndim - 1 else map_[None]
            array = torch.stack(
                [to_image(channel, image, self.data.size, self.data.fit) for channel in channels], -1
            ).numpy()
            if image.array.ndim == 3:  # a picture is a volume of one slice
                array = array[:, :, None]
            array = array if flat or scan.source is None else from_canonical(array, scan)
            array = array[..., 0] if map_.ndim == x.ndim - 2 else array
            said = told.values.get(name)
            yield Explanation(name, scan, scan.like(array), Sample(network, x, target), flat, said)

    def _asked(self, told: Told, targets: Sequence[str], request: Request) -> Sequence[str]:
        """The targets of one image."""
        if request.top is None:
            return targets or [told.label or self._names[0]]
        if self.data.kind != "classes" or not 1 <= request.top <= len(self._names):
            number = len(self._names) if self.data.kind == "classes" else "none here"
            raise InputError(f"explain: --top must be from 1 to the number of classes, {number}, got {request.top}.")
        return sorted(told.values, key=lambda name: -told.values[name])[: request.top]

    def _target(self, name: str, request: Request) -> Target:
        target: Target = self._names.index(name) if self.data.kind != "ordinal" else _steps_up
        return counterfactual(target) if request.counterfactual else target


def explainer(predictor: ClassificationPredictor) -> ClassificationExplainer:
    """What `saccade.explain.runs` asks for."""
    return ClassificationExplainer(predictor)


def to_image(map_: Float[Tensor, "*size"], image: Image, size: Sequence[int], fit: str) -> Float[Tensor, "*space"]:
    """A map of what the network saw, on the image's own grid: the way back of `prepare`; 0 where it saw nothing."""
    for axis, (inner, seen) in enumerate(zip(fitted_size(image, size, fit), size, strict=True)):
        if inner <= seen:  # it was padded
            map_ = map_.narrow(axis, (seen - inner) // 2, inner)
        else:
            before = (inner - seen) // 2
            ends = [0, 0] * (map_.ndim - 1 - axis) + [before, inner - seen - before]
            map_ = F.pad(map_, ends)
    mode = LINEAR[map_.ndim]
    return F.interpolate(map_[None, None], image.space, mode=mode, align_corners=False)[0, 0]


def _fixed(network: nn.Module, x: Tensor) -> nn.Module:
    """A network that chooses what it looks at by hard rules keeps to its choice while the image is covered in parts."""
    fixed_to = getattr(network, "fixed_to", None)
    fixed: nn.Module = network if fixed_to is None else fixed_to(x)
    return fixed


def _steps_up(output: Tensor) -> Tensor:
    return output.sum()


def _place(case: Case, image: Image) -> tuple[Volume, bool]:
    """The image as a volume, and whether it is a picture: rows and columns without a place in space."""
    if isinstance(case.source, Path) and not is_picture(case.source):
        return read_volume(case.source), False
    channels = image.array.shape[-1]
    grey = with_channels(image, 1, str(case.source))[..., 0] if channels in (1, 3) else image.array[..., 0]
    array = np.asarray(grey, np.float32)
    return Volume(array[..., None] if array.ndim == 2 else array, np.eye(4)), array.ndim == 2
