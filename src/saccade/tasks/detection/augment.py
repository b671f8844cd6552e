"""Random views of a training image and the boxes in it: the draw first, then one interpolation of the image."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import torch
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor

from saccade.layers.boxes import clip, content
from saccade.tasks.augment import View, draw_view, take_image
from saccade.tasks.config import Augmentation


class BoxAugmentation(Augmentation):
    """Random changes of the training images and their boxes; every draw is a function of seed, epoch and case."""

    crop: float = Field(
        1.0, gt=0, le=1, description="smallest part of each side that is kept of a cropped image, with `probability`"
    )
    min_visible: float = Field(
        0.25, ge=0, le=1, description="a box is dropped when less than this part of it is left in the image"
    )
    lecture_lighting: tuple[float, float] | None = Field(
        None, description="largest b and c of fastai's lighting, (x - mean) * (1 + c) + mean + b, for values 0 to 1"
    )


def augment(
    image: Float[Tensor, "c *space"],
    boxes: Float[Tensor, "n box"],
    settings: BoxAugmentation,
    rng: torch.Generator,
    *,
    spacing: Sequence[float] | None = None,
) -> tuple[Float[Tensor, "c *space"], Float[Tensor, "kept box"], Integer[Tensor, "kept"]]:
    """A random view of an image, as large as the image, and where its objects lie in it.

    The image is mirrored, turned, scaled, shifted and cropped in one interpolation; beyond its border it goes on with
    its border values (the lecture mirrors it there, objects and all). Of a box all corners are moved, and the smallest
    box around them is cut at the image's border.

    Args:
        image: Picture (c, rows, columns) or volume; the last axis is x.
        boxes: Corners x1 y1 [z1] x2 y2 [z2] in pixels of that array, whose first pixel reaches from 0 to 1.
        settings: How strong each change may be; ``flip_axes`` are axes of the array, 0 for rows.
        rng: Source of every random number.
        spacing: Size of a pixel along each axis of the array, so that a rotation is one in space; default: all alike.

    Returns:
        The view, the boxes that are still to be seen, and which of the given ones these are.
    """
    flat = image.ndim == 3
    volume = image[..., None] if flat else image  # a picture is a volume of one slice
    shape = tuple(volume.shape[1:])
    sides = tuple(spacing or (1.0,) * (image.ndim - 1)) + ((1.0,) if flat else ())
    view = draw_view(settings, shape, shape, spacing_mm=sides, anchor=None, generator=rng)
    view = _cropped(view, settings, shape, rng)
    changed = take_image(view, volume, shape)
    if settings.lecture_lighting is not None:
        changed = lecture_lighting(changed, *(_uniform(rng, -most, most) for most in settings.lecture_lighting))
    moved = move_boxes(view, boxes, image.shape[1:])
    seen, visible = visible_part(moved, image.shape[1:])
    kept = ((content(seen) > 0) & (visible >= settings.min_visible)).nonzero()[:, 0]
    return (changed[..., 0] if flat else changed).clone(), seen[kept], kept


def move_boxes(view: View, boxes: Float[Tensor, "n box"], shape: Sequence[int]) -> Float[Tensor, "n box"]:
    """The smallest boxes around the corners of boxes, as a view of a whole image shows them; they may leave it.

    Args:
        view: As large as the image.
        boxes: Corners, x first, in pixels.
        shape: Pixels of the image along each axis of its array.
    """
    dims = len(shape)
    ends = boxes.unflatten(-1, (2, dims)).flip(-1).double()  # in the order of the array's axes
    if view.matrix is not None:
        which = torch.tensor(list(product((0, 1), repeat=dims)))
        corners = torch.stack([ends[:, which[:, axis], axis] for axis in range(dims)], -1)  # (n, 2^d, d)
        middle, centre = torch.tensor(shape).double() / 2, torch.tensor(view.centre[:dims]).double() + 0.5
        turned = (corners - centre) @ torch.linalg.inv(view.matrix[:dims, :dims].double()).T + middle
        ends = torch.stack([turned.amin(1), turned.amax(1)], 1)
    for axis in view.flips:
        if axis < dims:
            ends[..., axis] = shape[axis] - ends[..., axis].flip(1)
    return ends.flip(-1).flatten(1).to(boxes.dtype)


def visible_part(
    boxes: Float[Tensor, "n box"], shape: Sequence[int]
) -> tuple[Float[Tensor, "n box"], Float[Tensor, "n"]]:
    """Boxes cut at the border of an image of this shape, and which part of each that is; of an empty box nothing."""
    seen = clip(boxes, torch.tensor(list(reversed(shape)), dtype=boxes.dtype))
    whole = content(boxes)
    return seen, torch.where(whole > 0, content(seen) / whole.where(whole > 0, 1), 0)


def lecture_lighting(image: Float[Tensor, "c *space"], brightness: float, contrast: float) -> Float[Tensor, "c *space"]:
    """Values 0 to 1 made brighter and spread around their mean, ``(x - mean) c + mean + b``, cut at 0 and 1.

    fastai 0.7, ``RandomLighting``: c is 1 + contrast, or 1 / (1 - contrast) of one below 0.

    Args:
        image: Values 0 to 1.
        brightness: b.
        contrast: Above 0 for more of it.
    """
    factor = 1 + contrast if contrast >= 0 else 1 / (1 - contrast)
    mean = image.mean()
    return ((image - mean) * factor + mean + brightness).clamp(0, 1)


def _cropped(view: View, settings: BoxAugmentation, shape: tuple[int, ...], rng: torch.Generator) -> View:
    """The view with a window of it, drawn somewhere inside, in its place: as large as before, so it is magnified."""
    cropped = _uniform(rng, 0.0, 1.0) < settings.probability
    part = _uniform(rng, settings.crop, 1.0)
    places = [_uniform(rng, -0.5, 0.5) for _ in shape]
    if not cropped or settings.crop == 1:
        return view
    matrix = torch.eye(3) if view.matrix is None else view.matrix
    parts = torch.tensor([1.0 if size == 1 else part for size in shape])
    away = torch.tensor([place * (1 - p) * size for place, p, size in zip(places, parts.tolist(), shape, strict=True)])
    centre = torch.tensor(view.centre) + matrix @ away
    return replace(view, centre=tuple(centre.tolist()), matrix=matrix * parts)


def _uniform(rng: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), generator=rng).item()
