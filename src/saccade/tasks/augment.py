"""Random views of a training volume: the draw first, then one interpolation that crops, turns and scales together."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer, Num
from torch import Tensor
from torch.nn import functional as F

from saccade.tasks.config import Augmentation


@dataclass(frozen=True)
class View:
    """One draw: where the patch lies and what is done to it.

    Attributes:
        centre: Voxel coordinates of the patch's middle in the volume.
        matrix: Patch offsets (voxels) -> volume offsets (voxels); None leaves the grid as it is (a plain crop).
        flips: Axes mirrored.
        noise: Standard deviation of the added noise; ``noise_seed`` makes it repeatable.
        gain, offset: Values become ``gain * value + offset``.
    """

    centre: tuple[float, ...]
    matrix: Float[Tensor, "3 3"] | None
    flips: tuple[int, ...] = ()
    noise: float = 0.0
    noise_seed: int = 0
    gain: float = 1.0
    offset: float = 0.0


def draw_view(
    settings: Augmentation,
    shape: tuple[int, ...],
    patch: tuple[int, ...],
    *,
    spacing_mm: tuple[float, ...],
    anchor: tuple[int, ...] | None,
    generator: torch.Generator,
) -> View:
    """Draw a view of a volume of ``shape``.

    Args:
        settings: How strong each change may be.
        shape: Voxels of the volume.
        patch: Voxels of the patch.
        spacing_mm: Voxel size, so that a rotation is one in millimetres also on anisotropic grids.
        anchor: A voxel that the patch must contain (near its middle), or None for any place.
        generator: Source of every random number.
    """

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    centre = tuple(_draw_centre(size, width, uniform, None if anchor is None else anchor[axis])
                   for axis, (size, width) in enumerate(zip(shape, patch, strict=True)))  # fmt: skip
    matrix = None
    turned = uniform(0.0, 1.0) < settings.probability
    angles = [math.radians(uniform(-1.0, 1.0) * settings.rotation_degrees) for _ in range(3)]
    scale = math.exp(uniform(math.log(settings.scale[0]), math.log(settings.scale[1])))
    shifts = [uniform(-1.0, 1.0) * settings.shift_fraction * width for width in patch]
    if turned:
        flat = [axis for axis in range(3) if patch[axis] == 1]  # a slice turns in its own plane only
        matrix = _affine(angles, scale, spacing_mm, flat)
        centre = tuple(c + (0 if axis in flat else shifts[axis]) for axis, c in enumerate(centre))
    return View(
        centre,
        matrix,
        flips=tuple(axis for axis in settings.flip_axes if uniform(0.0, 1.0) < 0.5),
        noise=uniform(0.0, 1.0) * settings.noise,
        noise_seed=int(torch.randint(2**31, (), generator=generator)),
        gain=math.exp(uniform(math.log(settings.contrast[0]), math.log(settings.contrast[1]))),
        offset=uniform(-1.0, 1.0) * settings.brightness,
    )


def take_view(
    view: View, image: Float[Tensor, "c i j k"], labels: Integer[Tensor, "i j k"], patch: tuple[int, ...]
) -> tuple[Float[Tensor, "c a b d"], Integer[Tensor, "a b d"]]:
    """Apply a drawn view. Outside the volume the image continues its border values and the label is background."""
    grid = _grid(view, tuple(image.shape[1:]), patch)
    seen = labels[None].float() if grid is not None else labels[None]
    seen = _sample(view, seen, grid, patch, border=False)[0]
    return _image(view, image, grid, patch), seen.flip(list(view.flips)).long().contiguous()


def take_image(view: View, image: Float[Tensor, "c i j k"], patch: tuple[int, ...]) -> Float[Tensor, "c a b d"]:
    """Apply a drawn view to an image without labels."""
    return _image(view, image, _grid(view, tuple(image.shape[1:]), patch), patch)


def change_whole(
    image: Float[Tensor, "c *space"], settings: Augmentation, generator: torch.Generator
) -> tuple[Float[Tensor, "c *space"], View]:
    """A random view of a whole picture or volume, of its own size, and which one it is.

    Args:
        image: A picture counts as a volume of one slice.
        settings: How much may be changed.
        generator: Where chance comes from.
    """
    flat = image.ndim == 3
    volume = image[..., None] if flat else image
    patch = tuple(volume.shape[1:])
    view = draw_view(settings, patch, patch, spacing_mm=(1.0, 1.0, 1.0), anchor=None, generator=generator)
    changed = take_image(view, volume, patch)
    return (changed[..., 0] if flat else changed).clone(), view


def _image(view: View, image: Tensor, grid: Tensor | None, patch: tuple[int, ...]) -> Tensor:
    image = _sample(view, image, grid, patch, border=True)
    if view.flips:
        image = image.flip([axis + 1 for axis in view.flips])
    if view.gain != 1 or view.offset:
        image = image * view.gain + view.offset
    if view.noise:
        generator = torch.Generator().manual_seed(view.noise_seed)
        image = image + view.noise * torch.randn(image.shape, generator=generator)
    return image.contiguous()


def _draw_centre(size: int, width: int, uniform, anchor: int | None) -> float:  # type: ignore[no-untyped-def]
    """Middle of a patch: inside the volume where it fits, around the anchor when there is one."""
    low, high = (width - 1) / 2, size - 1 - (width - 1) / 2
    if low > high:  # the volume is smaller than the patch: let it lie anywhere inside the patch
        low, high = high, low
    if anchor is not None:
        reach = (width - 1) / 4
        low, high = max(low, min(anchor - reach, high)), min(high, max(anchor + reach, low))
    start = round(uniform(low, high) - (width - 1) / 2)  # whole voxels, so that a crop is a copy
    return start + (width - 1) / 2


def _affine(angles: list[float], scale: float, spacing_mm: tuple[float, ...], flat: list[int]) -> Float[Tensor, "3 3"]:
    turn = torch.eye(3, dtype=torch.float64)
    for axis, angle in enumerate(angles):
        one, two = [other for other in range(3) if other != axis]
        if flat and axis not in flat:
            continue
        step = torch.eye(3, dtype=torch.float64)
        step[one, one] = step[two, two] = math.cos(angle)
        step[one, two], step[two, one] = -math.sin(angle), math.sin(angle)
        turn = turn @ step
    spacing = torch.diag(torch.tensor(spacing_mm, dtype=torch.float64))
    zoom = torch.eye(3, dtype=torch.float64) / scale
    for axis in flat:
        zoom[axis, axis] = 1
    return (torch.linalg.inv(spacing) @ turn @ zoom @ spacing).float()


def _grid(view: View, shape: tuple[int, ...], patch: tuple[int, ...]) -> Float[Tensor, "1 a b d 3"] | None:
    """Where each voxel of the patch lies, as grid_sample wants it; None for a plain crop."""
    if view.matrix is None:
        return None
    offsets = [torch.arange(width) - (width - 1) / 2 for width in patch]
    grid = torch.stack(torch.meshgrid(*offsets, indexing="ij"), -1) @ view.matrix.T + torch.tensor(view.centre)
    # grid_sample counts -1..1 between the centres of the outer voxels and wants the last axis first
    return ((2 * grid + 1) / torch.tensor(shape) - 1).flip(-1)[None].float()


def _sample(view: View, values: Tensor, grid: Tensor | None, patch: tuple[int, ...], *, border: bool) -> Tensor:
    """Values (c, i, j, k) of the patch: an image's, continued at the border, or labels'."""
    if grid is None:
        starts = [round(c - (width - 1) / 2) for c, width in zip(view.centre, patch, strict=True)]
        return crop(values, starts, patch, border=border)
    mode, outside = ("bilinear", "border") if border else ("nearest", "zeros")
    return F.grid_sample(values[None], grid, mode=mode, padding_mode=outside, align_corners=False)[0]


def crop(values: Num[Tensor, "c i j k"], starts: list[int], patch: tuple[int, ...], *, border: bool) -> Tensor:
    """A box of voxels that may reach over the edge: there the border repeats, or zeros stand."""
    inside = [slice(max(0, s), max(0, min(n, s + w))) for s, w, n in zip(starts, patch, values.shape[1:], strict=True)]
    part = values[(slice(None), *inside)]
    before = [max(0, -s) for s in starts]
    after = [w - b - (i.stop - i.start) for w, b, i in zip(patch, before, inside, strict=True)]
    if not any(before) and not any(after):
        return part
    pads = [amount for pair in zip(reversed(before), reversed(after), strict=True) for amount in pair]
    return F.pad(part[None].float(), pads, mode="replicate" if border else "constant")[0].to(values.dtype)
