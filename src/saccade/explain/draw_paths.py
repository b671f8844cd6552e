"""Where an eye went and what a transform samples: glimpse paths with their patches, and sampling grids."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from saccade.errors import InputError
from saccade.explain.draw_picture import PLANE_AXES, Scene, View, draw_page

_LINES = 12  # cells of a sampling grid along each axis at most; more could not be told apart
_MARGIN = 0.5  # how far beyond the picture something may be shown, as a share of its side
_RIM = withStroke(linewidth=2.5, foreground=(0, 0, 0, 0.8))


def draw_glimpses(
    locations: Float[np.ndarray, "steps d"], scene: Scene, grid: Sequence[int] | None, sensor: Any
) -> Figure:
    """The path from location to location, numbered from 1, and the outlines of the patches cut at each.

    Args:
        locations: In [-1, 1] along each axis, x (the last axis of the image) first.
        scene: The picture; a volume's planes go through the last location, and all others are projected.
        grid: Size of the image that the sensor saw, whose pixels its patches count; None for the picture's own.
        sensor: A `GlimpseSensor`, or None for the path alone.

    Raises:
        InputError: If the sensor has another number of axes.
    """
    points = (locations[:, ::-1] + 1) / 2 * np.array(scene.shape)
    patches = [] if sensor is None else _patches(locations, scene, scene.shape if grid is None else grid, sensor)
    views = scene.views(points[-1])
    figure, (panels,) = draw_page([views], [None])
    colours = matplotlib.colormaps["plasma"](np.linspace(0.35, 1, len(points)))
    for axes, view in zip(panels, views, strict=True):
        shown = [view.place(points)]
        for step, boxes in enumerate(patches):
            for low, high in boxes:
                corners = view.place(np.stack([low, high]))
                corner, size = corners.min(0), np.ptp(corners, axis=0)
                axes.add_patch(Rectangle(tuple(corner), *size, fill=False, edgecolor=colours[step], linewidth=1.2))
                shown.append(corners)
        axes.plot(*shown[0].T, color="white", linewidth=1, linestyle=":")
        for step, (x, y) in enumerate(shown[0]):
            axes.plot([x], [y], "o", markersize=4, color=colours[step])
            text = axes.text(x, y, f" {step + 1}", color=colours[step], fontsize=10, va="bottom", clip_on=True)
            text.set_path_effects([_RIM])
        _show_beyond(axes, view, np.concatenate(shown))
    return figure


def _patches(
    locations: np.ndarray, scene: Scene, grid: Sequence[int], sensor: Any
) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """For each step the lower and the upper corner of every patch, in pixels of the picture."""
    if len(sensor.size) != len(grid):
        raise InputError(f"draw: module must be a sensor of {len(grid)} axes, got one of {len(sensor.size)}.")
    import torch  # drawing alone loads none

    # Near a pixel's edge the last bit decides: rounded as the sensor does, in its precision.
    single = locations.astype(np.float32)
    exact = torch.from_numpy(single if np.array_equal(single, locations) else locations)
    factor = np.array(scene.shape) / np.array(grid)
    by_patch = [[corner.numpy() * factor for corner in box] for box in sensor.boxes(exact, grid)]
    return [[(low[step], high[step]) for low, high in by_patch] for step in range(len(locations))]


def draw_sampling_grid(grid: Float[np.ndarray, "*size d"], scene: Scene, align_corners: bool) -> Figure:
    """The cells of the output where they lie on the input; the outline, in another colour, is the output's outer edge.

    Args:
        grid: Where every position of the output looks, in [-1, 1], x first.
        scene: The input; a volume's planes go through what the middle of the output sees, and each shows the middle
            slice of the output, projected.
        align_corners: Whether -1 and 1 are the centres of the outer pixels, or (False) their outer edges.
    """
    n = np.array(scene.shape, dtype=float)
    parts = (grid[..., ::-1] + 1) / 2
    edges = parts * (n - 1) + 0.5 if align_corners else parts * n
    middle = edges[tuple(size // 2 for size in edges.shape[:-1])]
    for axis in range(len(n)):
        edges = _edges(edges, axis)
    views = scene.views(middle)
    figure, (panels,) = draw_page([views], [None])
    for axes, view in zip(panels, views, strict=True):
        mesh = edges
        if view.name:
            (fixed,) = {0, 1, 2} - set(PLANE_AXES[view.name])
            mesh = np.take(edges, [(edges.shape[fixed] - 1) // 2, edges.shape[fixed] // 2], fixed).mean(fixed)
        places = view.place(mesh)
        for lines in (places, places.swapaxes(0, 1)):
            last = len(lines) - 1
            for number in np.unique(np.linspace(0, last, min(last, _LINES) + 1).round().astype(int)):
                outer = number in (0, last)
                style: dict[str, Any] = {"color": "#ffb000" if outer else "#4dd0ff", "linewidth": 1.8 if outer else 0.7}
                axes.plot(*lines[number].T, zorder=3 if outer else 2, **style)
        _show_beyond(axes, view, places.reshape(-1, 2))
    return figure


def _edges(centres: np.ndarray, axis: int) -> np.ndarray:
    """The n + 1 edges of n cells along an axis: halfway between their centres, and as far beyond the outer ones."""
    centres = np.moveaxis(centres, axis, 0)
    if len(centres) == 1:  # of one cell nobody knows how wide it is
        return np.moveaxis(np.repeat(centres, 2, axis=0), 0, axis)
    between = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - between[0], 2 * centres[-1] - between[-1]
    return np.moveaxis(np.concatenate([first[None], between, last[None]]), 0, axis)


def _show_beyond(axes: Axes, view: View, points: np.ndarray) -> None:
    """Let a panel show points beyond the picture's edge too, within limits."""
    size = np.array(view.size_mm)
    low = np.clip(points.min(0), -_MARGIN * size, 0)
    high = np.clip(points.max(0), size, (1 + _MARGIN) * size)
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))
    axes.set_aspect("equal", adjustable="box")
