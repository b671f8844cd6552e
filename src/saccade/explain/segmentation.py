"""What made a segmentation network see an organ: maps over whole scans, window by window."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saccade.data.prepare import Normalise, prepare_image, prepare_labels, resample, scan_view
from saccade.data.volume import Volume
from saccade.errors import InputError, unknown_name
from saccade.explain.masks import read_mask
from saccade.explain.runs import WITHOUT_TARGET, Explanation, Request, Sample
from saccade.explain.targets import Target, class_in_region, counterfactual
from saccade.tasks.segmentation.predictor import SLICES_AT_ONCE, SegmentationPredictor
from saccade.tasks.segmentation.scans import Scan, find_scans, read_channels
from saccade.tasks.segmentation.windows import apply_windows


class SegmentationExplainer:
    """Explains where a segmentation network found each organ.

    The score that is explained is the organ's logit, summed over the voxels that were predicted as that organ
    (Seg-Grad-CAM), or over a region that the user gives: in each window over those that lie in it. Windows are blended
    as the prediction's are.

    Args:
        predictor: A trained network.
    """

    def __init__(self, predictor: SegmentationPredictor) -> None:
        self.predictor, self.data = predictor, predictor.config.data
        names = self.data.label_names
        self._channels = {names[value]: n for n, value in enumerate(predictor.config.classes) if value}

    def cases(self, inputs: Sequence[Path], apart_from: Path) -> list[tuple[str, Scan]]:
        """The scans that paths stand for."""
        return [(scan[0], scan) for scan in find_scans(inputs, apart_from=apart_from)]

    def targets(self, wanted: Sequence[str]) -> list[str]:
        """Organs by name; all if none is wanted.

        Raises:
            InputError: For an organ that the run does not know.
        """
        for name in wanted:
            if name not in self._channels:
                raise unknown_name("explain", "target", name, list(self._channels))
        return list(dict.fromkeys(wanted)) or list(self._channels)

    def explain(self, case: Scan, targets: Sequence[str], request: Request) -> Iterator[Explanation]:
        """A map for each organ of a scan; None for an organ that was not predicted.

        Raises:
            InputError: If the scan, the region or the layer cannot be used.
        """
        if request.top is not None:
            raise InputError("explain: --top is for networks that classify; name organs with --target.")
        if request.name == "feature_maps":
            raise InputError(
                "explain: feature_maps are for networks that tell of whole images; those of one that segments are in "
                "its report."
            )
        scan = read_channels(case[1])
        labels = self.predictor.segment(scan).labels
        normalise = Normalise(**self.data.intensity.model_dump())
        image, grid = prepare_image(scan, spacing_mm=self.data.spacing_mm, normalise=normalise)
        found = prepare_labels(labels, image.shape[1:], self.predictor.config.classes)
        asked = None if request.region is None else _region(request.region, case[0], scan, tuple(image.shape[1:]))
        for target in targets:
            region = found == self._channels[target] if asked is None else asked
            if not region.any() and request.name not in WITHOUT_TARGET:
                yield Explanation(target, scan, None, None)
                continue
            windows = _Windows(self.predictor, self._channels[target], request)
            (values,) = apply_windows(
                windows,
                torch.cat([image, region[None].to(image)]),
                self.data.patch_size,
                overlap=self.predictor.config.inference.overlap,
                batch=SLICES_AT_ONCE if windows.flat else 1,
            )
            array = np.zeros(scan.shape, np.float32)
            scan_view(array, grid)[:] = resample(values, grid.canonical_shape, "trilinear")[0].numpy()
            value = self.predictor.config.classes[self._channels[target]]
            yield Explanation(target, scan, scan.like(array), windows.sample, value=value)


def _region(path: Path, case: str, scan: Volume, shape: tuple[int, ...]) -> Bool[Tensor, "i j k"]:
    """A mask on the grid of the prepared scan."""
    mask = read_mask(path, case, scan) != 0
    if not mask.any():
        raise InputError(f"{path}: the region of case {case} must hold at least one voxel, is empty.")
    return prepare_labels(scan.like(mask.astype(np.uint8)), shape, [0, 1]) > 0


def explainer(predictor: SegmentationPredictor) -> SegmentationExplainer:
    """What `saccade.explain.runs` asks for."""
    return SegmentationExplainer(predictor)


class _Windows:
    """The map of each window, 0 where nothing of the organ lies in it; remembers the window with most of the organ."""

    def __init__(self, predictor: SegmentationPredictor, channel: int, request: Request) -> None:
        self.predictor, self.channel, self.request = predictor, channel, request
        self.method, self.everywhere = request.function(), request.name in WITHOUT_TARGET
        self.flat = predictor.config.data.patch_size[2] == 1
        self.sample: Sample | None = None
        self._most = -1

    def __call__(self, windows: Float[Tensor, "n c a b d"]) -> list[Float[Tensor, "n 1 a b d"]]:
        both = (windows.squeeze(-1) if self.flat else windows).to(self.predictor.device)
        x, regions = both[:, :-1], both[:, -1] > 0.5
        maps = torch.zeros_like(both[:, -1])
        for item, region in enumerate(regions):
            voxels = int(region.sum())
            if voxels == 0 and not self.everywhere:
                continue
            target = self._target(region)
            one = x[item : item + 1]
            maps[item] = self.method(self.predictor.network, one, target=target, layer=self.request.layer)[0]
            if voxels > self._most:
                with torch.inference_mode(False):
                    self.sample, self._most = Sample(self.predictor.network, one.clone(), target), voxels
        return [(maps[..., None] if self.flat else maps)[:, None].cpu()]

    def _target(self, region: Tensor) -> Target:
        if self.everywhere:
            return self.channel
        with torch.inference_mode(False):
            target = class_in_region(self.channel, region.clone())
        return counterfactual(target) if self.request.counterfactual else target
