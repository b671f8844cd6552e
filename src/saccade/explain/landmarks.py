"""What made a network put a landmark where it did: maps on the grid of each image, for its score at that place."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from saccade.data.classification.read import Image, is_picture, read_image, with_channels
from saccade.data.orient import from_canonical
from saccade.data.volume import Volume, read_volume
from saccade.errors import InputError, unknown_name
from saccade.explain.classification import to_image
from saccade.explain.runs import WITHOUT_TARGET, Explanation, Request, Sample
from saccade.explain.targets import Target, counterfactual, output_element
from saccade.tasks.landmarks.output import Input, find_images
from saccade.tasks.landmarks.predictor import LandmarksPredictor

WITHOUT_LAYER = ("attention_maps", "guided_backpropagation", "input_gradient", "occlusion")  # they look at no layer
# The last convolution gives the maps themselves; what a U-Net sees of the whole image meets at its coarsest level.
COARSEST = "bottom"


class LandmarksExplainer:
    """Explains the scores that landmarks have at the places where they were found.

    Args:
        predictor: A trained network with its CRF.
    """

    def __init__(self, predictor: LandmarksPredictor) -> None:
        self.predictor, self.data = predictor, predictor.config.data

    def cases(self, inputs: Sequence[Path], apart_from: Path) -> list[tuple[str, Input]]:
        """The images that paths stand for."""
        return [(one.id, one) for one in find_images(inputs, apart_from=apart_from)]

    def targets(self, wanted: Sequence[str]) -> list[str]:
        """Landmarks by name; all of them if none is wanted.

        Raises:
            InputError: For a name that the run does not know.
        """
        for name in wanted:
            if name not in self.data.names:
                raise unknown_name("explain", "target", name, list(self.data.names))
        return list(dict.fromkeys(wanted)) or list(self.data.names)

    def explain(self, case: Input, targets: Sequence[str], request: Request) -> Iterator[Explanation]:
        """A map for each landmark; none for one that is called missing.

        Raises:
            InputError: If the image or the layer cannot be used, or a region or the best of classes is asked for.
        """
        if request.region is not None or request.top is not None:
            given = "--region" if request.region is not None else "--top"
            raise InputError(f"explain: {given} has no meaning for landmarks; choose them with --target.")
        prepared, placement, _ = self.predictor.prepared(case.source)
        x = prepared[None].to(self.predictor.device)
        found = self.predictor.locate(self.predictor.heated(self.predictor.heat(x)[0], placement))
        image = read_image(case.source)
        scan, flat = _place(case.source, image)
        layer = request.layer
        if layer is None and request.name not in WITHOUT_LAYER and hasattr(self.predictor.network, COARSEST):
            layer = COARSEST
        for name in targets:
            number = self.data.names.index(name)
            point = found.points[number]
            if request.name not in WITHOUT_TARGET and not np.isfinite(point).all():
                yield Explanation(name, scan, None, None, flat)
                continue
            place = np.nan_to_num(placement.to_grid(point[None])[0])
            index = tuple(int(v) for v in np.clip(place, 0, np.array(self.data.size) - 1))
            target: Target = output_element(number, *index)
            target = counterfactual(target) if request.counterfactual else target
            network: nn.Module = self.predictor.network
            map_ = request.function()(network, x, target=target, layer=layer)[0].float().cpu()
            channels = map_ if map_.ndim == x.ndim - 1 else map_[None]
            size, fit = self.data.size, self.data.fit
            array = torch.stack([to_image(channel, image, size, fit) for channel in channels], -1).numpy()
            if image.array.ndim == 3:  # a picture is a volume of one slice
                array = array[:, :, None]
            array = array if flat or scan.source is None else from_canonical(array, scan)
            array = array[..., 0] if map_.ndim == x.ndim - 2 else array
            said = float(found.scores[number])
            yield Explanation(name, scan, scan.like(array), Sample(network, x, target, layer), flat, said, layer=layer)


def explainer(predictor: LandmarksPredictor) -> LandmarksExplainer:
    """What `saccade.explain.runs` asks for."""
    return LandmarksExplainer(predictor)


def _place(source: Path, image: Image) -> tuple[Volume, bool]:
    """The image as a volume, and whether it is a picture: rows and columns without a place in space."""
    if not is_picture(source):
        return read_volume(source), False
    return Volume(np.asarray(with_channels(image, 1, str(source)), np.float32), np.eye(4)), True
