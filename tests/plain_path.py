"""The plain way from a scan to labels: all scores of all voxels in memory, then interpolated, then compared."""

import itertools

import numpy as np
import torch
from torch.nn import functional as F

from saccade.data.orient import from_canonical
from saccade.data.prepare import Normalise, prepare_image
from saccade.data.volume import Volume
from saccade.tasks.segmentation.predictor import SegmentationPredictor
from saccade.tasks.segmentation.tiling import window_starts
from saccade.tasks.segmentation.windows import gaussian_weight


@torch.inference_mode()
def plain_scores(predictor: SegmentationPredictor, scan: Volume) -> torch.Tensor:
    """Blended scores of every class and voxel of the scan's grid, in canonical axis order: (k, i, j, k)."""
    data, inference = predictor.config.data, predictor.config.inference
    normalise = Normalise(**data.intensity.model_dump())
    image, grid = prepare_image(scan, spacing_mm=data.spacing_mm, normalise=normalise)
    shape, patch = image.shape[1:], data.patch_size
    missing = [max(0, width - size) for size, width in zip(shape, patch, strict=True)]
    pads = [amount for m in reversed(missing) for amount in (m // 2, m - m // 2)]
    image = F.pad(image[None], pads, mode="replicate")[0]
    starts = window_starts(image.shape[1:], patch, inference.overlap)
    # sums of floats depend on their order: the axis with the most windows goes slowest
    order = sorted(range(3), key=lambda axis: -len({start[axis] for start in starts}))
    starts.sort(key=lambda start: [start[axis] for axis in order])
    weight = gaussian_weight(patch)
    total, sums = torch.zeros(image.shape[1:]), torch.zeros(len(predictor.config.classes), *image.shape[1:])
    for start in starts:
        place = tuple(slice(s, s + width) for s, width in zip(start, patch, strict=True))
        sums[(slice(None), *place)] += mirrored(predictor, image[(slice(None), *place)][None])[0] * weight
        total[place] += weight
    inside = tuple(slice(m // 2, m // 2 + size) for m, size in zip(missing, shape, strict=True))
    blended = (sums / total)[(slice(None), *inside)].contiguous()
    if tuple(shape) == tuple(grid.canonical_shape):
        return blended
    return F.interpolate(blended[None], size=grid.canonical_shape, mode="trilinear", align_corners=False)[0]


def mirrored(predictor: SegmentationPredictor, window: torch.Tensor) -> torch.Tensor:
    """The mean over mirror images of what a network says of a window."""
    axes = predictor.config.inference.mirror_axes
    found = []
    for flips in itertools.product((False, True), repeat=len(axes)):
        dims = [axis + 2 for axis, flip in zip(axes, reversed(flips), strict=True) if flip]
        x = window.flip(dims)
        flat = predictor.config.data.patch_size[2] == 1
        y = predictor.network(x.squeeze(-1))[..., None] if flat else predictor.network(x)
        found.append(y.flip(dims))
    total = found[0]
    for other in found[1:]:
        total = total + other
    return total / len(found)


def plain_labels(predictor: SegmentationPredictor, scan: Volume) -> np.ndarray:
    """Label values on the scan's own grid."""
    indices = plain_scores(predictor, scan).argmax(0).numpy()
    return from_canonical(np.array(predictor.config.classes)[indices], scan)
