"""`draw`: the picture of an attention map, whatever its kind."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from saccade.errors import InputError, unknown_name
from saccade.explain.draw_pairs import draw_arrows
from saccade.explain.draw_paths import draw_glimpses, draw_sampling_grid
from saccade.explain.draw_picture import Picture, draw_page, make_scene, to_array
from saccade.explain.draw_tables import draw_bars, draw_matrices, sums_to_one
from saccade.explain.render import MapScale, map_scale

Limits = tuple[int | float, int | float]

# The shape of each kind of map, its least and greatest number of axes, and the options of `draw` that speak to it.
_KINDS: Mapping[str, tuple[str, int, float, tuple[str, ...]]] = {
    "spatial": ("(b, maps, *space)", 3, math.inf, ("image", "index", "limits")),
    "channel": ("(b, c)", 2, 2, ("image", "labels")),
    "pairwise": ("(b, heads, queries, keys)", 3, math.inf, ("image", "index", "queries", "labels", "key_labels")),
    "alignment": ("(b, steps, positions)", 3, 3, ("image", "labels", "key_labels", "limits")),
    "glimpse": ("(b, d)", 2, 2, ("image", "module")),
    "transform": ("(b, *size, d)", 3, math.inf, ("image", "module")),
}


@runtime_checkable
class SeenMap(Protocol):
    """What `draw` needs of a map; `saccade.AttentionMap` has it."""

    kind: str
    calls: list[Any]
    grid: tuple[int, ...] | None
    key_grid: tuple[int, ...] | None


def draw(
    attention_map: SeenMap,
    image: Any = None,
    *,
    item: int = 0,
    index: int | None = None,
    queries: Sequence[Sequence[int]] | None = None,
    labels: Sequence[str] | None = None,
    key_labels: Sequence[str] | None = None,
    module: Any = None,
    limits: Limits | None = None,
) -> Figure:
    """The picture of what `saccade.record` collected, of the last call (of alignments and glimpses: of all calls).

    - ``spatial``: the map in colour over the image, or over three planes of the volume.
    - ``channel``: the weights as bars, in order; beside the image if there is one.
    - ``pairwise`` over an image or volume: each query with arrows to its 20 strongest keys (on three planes: their
      projections; dashed where a weight is negative). Over tokens: a matrix for each head.
    - ``alignment``: the matrix of steps and source positions; where the map tells its grid, a map over the image for
      every step.
    - ``glimpse``: the path of the eye, numbered, with the outlines of its patches if ``module`` is given.
    - ``transform``: the sampling grid of the output over the input; its outline is the outer edge of the output.

    Args:
        attention_map: From `saccade.record`.
        image: What the network saw, as array or tensor, (*space), (c, *space) or (b, c, *space); with millimetres, a
            window or a centre as a `Picture`.
        item: Which item of the batch.
        index: Which of several maps or heads. Default: their mean (of tokens: all heads side by side).
        queries: Positions on the map's grid, for pairwise maps over images; where only some rows were recorded, the
            same that `record` got, in that order.
        labels: Names of the channels, of the steps or of the tokens that look.
        key_labels: Names of the source positions, or of the tokens that are looked at.
        module: The `GlimpseSensor`, whose patches' sides are drawn, or the `SpatialTransformer`, whose
            ``align_corners`` says where -1 and 1 are (default False).
        limits: Values at the ends of the colours. Default: 0 and 1 for maps between them; 0 and the largest for maps
            that sum to one; a diverging scale for maps with negative values.

    Returns:
        A figure; ``figure.savefig("map.png")`` writes it. Volumes are shown as in radiology: the patient's right is on
        the left.

    Raises:
        InputError: For a map of an unknown kind, a wrong shape or without calls; an item, index, query or number of
            labels that does not fit; an image or queries missing where the kind needs them; an option that means
            nothing for the kind.

    >>> import torch
    >>> import saccade
    >>> from saccade.attention import SpatialSqueezeExcitation
    >>> layer, image = SpatialSqueezeExcitation(1), torch.randn(1, 1, 20, 30)
    >>> with saccade.record(layer) as maps:
    ...     y = layer(image)
    >>> len(draw(maps["map"], image).axes)  # the picture and its colour bar
    2
    """
    kind = attention_map.kind
    if kind not in _KINDS:
        raise unknown_name("draw", "kind of map", kind, list(_KINDS))
    given = {"image": image, "index": index, "queries": queries, "labels": labels, "key_labels": key_labels}
    for name, value in {**given, "module": module, "limits": limits}.items():
        if value is not None and name not in _KINDS[kind][3]:
            raise InputError(f"draw: {name}= means nothing for a map of kind {kind}. Leave it out.")
    values = _values(attention_map, item)
    grid = attention_map.grid
    if kind == "spatial":
        return _draw_spatial(values, image, item, index, limits)
    if kind == "channel":
        return draw_bars(values, labels, None if image is None else make_scene(image, _dims(image), item, "a map"))
    if kind == "glimpse":
        return draw_glimpses(values, make_scene(image, values.shape[1], item, "a glimpse"), grid, module)
    if kind == "transform":
        scene = make_scene(image, values.shape[-1], item, "a sampling grid")
        if values.ndim != len(scene.shape) + 1:
            raise _wrong_shape(kind, (1, *values.shape))
        return draw_sampling_grid(values, scene, bool(getattr(module, "align_corners", False)))
    if grid is None or len(grid) < 2:
        if image is not None:
            raise InputError(
                f"draw: the {kind} map does not tell where on an image it lies. Call its module with grid=."
            )
        return _draw_tokens(values, kind, index, queries, labels, key_labels)
    if key_labels is not None:
        raise InputError(f"draw: key_labels are for tokens; this {kind} map lies on the grid {grid}. Leave them out.")
    scene = make_scene(image, len(grid), item, "an alignment" if kind == "alignment" else "a pairwise map")
    if kind == "alignment":
        return _draw_steps(values, scene, grid, labels, limits)
    if labels is not None:
        raise InputError(f"draw: labels are for tokens; this pairwise map lies on the grid {grid}. Leave them out.")
    return draw_arrows(pick(values, index, "head"), scene, grid, attention_map.key_grid or grid, queries)


def pick(values: Float[np.ndarray, "maps *rest"], index: int | None, what: str) -> Float[np.ndarray, "*rest"]:
    """One of several maps, or their mean.

    Raises:
        InputError: If there is no such map.
    """
    if index is None:
        return values.mean(0)
    if not 0 <= index < len(values):
        raise InputError(f"draw: index must be in 0..{len(values) - 1}, one of the {what}s, got {index}.")
    return values[index]


def scale_of(values: Float[np.ndarray, "*any"], limits: Limits | None, *, sums: bool) -> MapScale:
    """How values become colours: by the limits that were asked for, or by what the values are.

    Args:
        values: One map or several.
        limits: Values at the ends.
        sums: Whether these are weights that sum to one, so that 1 is a value none of them comes near.

    Raises:
        InputError: If the limits do not grow.
    """
    if limits is not None:
        if not limits[1] > limits[0]:
            raise InputError(f"draw: limits must be two growing numbers, got {limits}.")
        return MapScale((float(limits[0]), float(limits[1])), "RdBu_r" if limits[0] < 0 else "inferno")
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return map_scale(0.0, 1.0)
    return (
        MapScale((0.0, float(finite.max())), "inferno") if sums else map_scale(float(finite.min()), float(finite.max()))
    )


def _values(attention_map: SeenMap, item: int) -> np.ndarray:
    """One item of the last call; of alignments and glimpses of all calls, one after the other."""
    kind = attention_map.kind
    _, least, most, _ = _KINDS[kind]
    if not attention_map.calls:
        raise InputError("draw: the map holds no call. Run the network inside the record block.")
    joined = kind in ("alignment", "glimpse")
    parts = []
    for call in attention_map.calls if joined else attention_map.calls[-1:]:
        values = to_array(call)
        if not least <= values.ndim <= most or values.size == 0:
            raise _wrong_shape(kind, values.shape)
        if not 0 <= item < len(values):
            raise InputError(f"draw: item must be in 0..{len(values) - 1}, the map's batch, got {item}.")
        parts.append(values[item])
    if not joined:
        return parts[0].reshape(-1, *parts[0].shape[-2:]) if kind == "pairwise" else parts[0]
    if kind == "glimpse":
        parts = [part[None] for part in parts]
    if len({part.shape[1] for part in parts}) > 1:
        raise InputError(f"draw: the calls of the {kind} map are over different positions. Record one input at a time.")
    return np.concatenate(parts)


def _wrong_shape(kind: str, shape: tuple[int, ...]) -> InputError:
    return InputError(f"draw: a map of kind {kind} must have the shape {_KINDS[kind][0]}, got {shape}.")


def _dims(image: Any) -> int:
    """Axes of space of a picture where no map tells: a batch of images rather than a volume with channels."""
    shape = np.shape(image.values if isinstance(image, Picture) else image)
    if len(shape) == 3:
        return 2 if shape[0] in (1, 3) else 3
    return 2 if len(shape) < 5 else 3


def _strongest(values: np.ndarray, shape: Sequence[int]) -> list[float]:
    """Where a map points at, in pixels of a picture of this shape."""
    finite = np.where(np.isfinite(values), np.abs(values), -1.0)
    found = np.unravel_index(int(finite.argmax()), values.shape)
    return [(i + 0.5) * n / m for i, n, m in zip(found, shape, values.shape, strict=True)]


def _draw_spatial(values: np.ndarray, image: Any, item: int, index: int | None, limits: Limits | None) -> Figure:
    scene = make_scene(image, values.ndim - 1, item, "a spatial map")
    one = pick(values, index, "map")
    titles = None
    if len(values) > 1:
        titles = [f"mean of {len(values)} maps" if index is None else f"map {index} of {len(values)}"]
    scale = scale_of(one, limits, sums=sums_to_one(one))
    return draw_page([scene.views(_strongest(one, scene.shape))], [one], titles=titles, scale=scale)[0]


def _draw_steps(
    values: np.ndarray,
    scene: Any,
    grid: tuple[int, ...],
    labels: Sequence[str] | None,
    limits: Limits | None,
) -> Figure:
    """A map over the picture for every step of a decoder."""
    if values.shape[1] != math.prod(grid):
        raise InputError(
            f"draw: an alignment over the grid {grid} must have {math.prod(grid)} positions, got {values.shape[1]}."
        )
    titles = [f"step {n + 1}" for n in range(len(values))] if labels is None else list(labels)
    if len(titles) != len(values):
        raise InputError(f"draw: labels must be {len(values)}, one for each step, got {len(titles)}.")
    maps = [row.reshape(grid) for row in values]
    rows = [scene.views(_strongest(one, scene.shape)) for one in maps]
    return draw_page(rows, maps, titles=titles, scale=scale_of(values, limits, sums=True))[0]


def _draw_tokens(
    values: np.ndarray,
    kind: str,
    index: int | None,
    queries: Sequence[Sequence[int]] | None,
    labels: Sequence[str] | None,
    key_labels: Sequence[str] | None,
) -> Figure:
    """Matrices of weights between tokens."""
    if queries is not None:
        raise InputError("draw: queries are for maps over an image; this one lies on tokens. Leave them out.")
    if kind == "alignment":
        return draw_matrices([values], labels, key_labels)
    if index is not None:
        return draw_matrices([pick(values, index, "head")], labels, key_labels, titles=[f"head {index}"])
    titles = [f"head {n}" for n in range(len(values))] if len(values) > 1 else None
    return draw_matrices(list(values), labels, key_labels, titles=titles)
