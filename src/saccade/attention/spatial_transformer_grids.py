"""Where a spatial transformer looks: sampling grids of the transforms, and the sampler.

Coordinates are normalised to [-1, 1] along each axis and ordered x, y, z: the last axis of the image comes first. With
``align_corners`` -1 and 1 are the centres of the outer pixels, without it their outer edges, as everywhere in PyTorch.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from saccade.errors import InputError

# Points behind the camera's plane of a projective transform lie nowhere; those close to it are sent far outside.
SMALLEST_DENOMINATOR = 1e-6


def identity_grid(size: Sequence[int], like: Tensor, *, align_corners: bool = False) -> Float[Tensor, "*size d"]:
    """The coordinates of every position of a grid, with the type and device of ``like``."""
    axes = []
    for n in size:
        places = torch.arange(n, dtype=like.dtype, device=like.device)
        if align_corners:
            axes.append(2 * places / (n - 1) - 1 if n > 1 else torch.zeros_like(places))
        else:
            axes.append((2 * places + 1) / n - 1)
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)


def affine_grid(
    theta: Float[Tensor, "b d d1"], size: Sequence[int], *, align_corners: bool = False
) -> Float[Tensor, "b *size d"]:
    """``A [x_t; y_t; 1]`` at every position (eq. 1).

    Raises:
        InputError: If theta is not (b, d, d + 1) for d axes.
    """
    d = len(size)
    if tuple(theta.shape[1:]) != (d, d + 1):
        raise InputError(f"affine_grid: theta must be (b, {d}, {d + 1}) for {d} axes, got {tuple(theta.shape)}.")
    target = identity_grid(size, theta, align_corners=align_corners).flatten(0, -2)
    source = target @ theta[:, :, :d].mT + theta[:, None, :, d]
    return source.unflatten(1, tuple(size))


def projective_grid(
    theta: Float[Tensor, "b 8"], size: Sequence[int], *, align_corners: bool = False
) -> Float[Tensor, "b h w 2"]:
    """``H [x_t; y_t; 1]``, divided by its third coordinate; theta is H row by row without its last 1."""
    target = identity_grid(size, theta, align_corners=align_corners).flatten(0, -2)
    matrix = torch.cat([theta, torch.ones_like(theta[:, :1])], 1).unflatten(1, (3, 3))
    source = target @ matrix[:, :, :2].mT + matrix[:, None, :, 2]
    bottom = source[..., 2:]
    bottom = torch.where(bottom.abs() < SMALLEST_DENOMINATOR, SMALLEST_DENOMINATOR, bottom)
    return (source[..., :2] / bottom).unflatten(1, tuple(size))


def thin_plate_spline_grid(
    theta: Float[Tensor, "b k 2"], size: Sequence[int], *, align_corners: bool = False
) -> Float[Tensor, "b h w 2"]:
    """The smoothest map that sends each of k control points, a regular square on [-1, 1], to its place in theta.

    ``a_0 + A p + sum_k w_k U(|p - c_k|)`` with ``U(r) = r^2 log r^2``. The weights are linear in theta, so that the
    grid is a fixed matrix times theta; it is worked out in double precision.
    """
    controls = control_points(theta.shape[1])
    exact = torch.zeros((), dtype=torch.float64)
    target = identity_grid(size, exact, align_corners=align_corners).flatten(0, -2)
    k = len(controls)
    system = torch.zeros(k + 3, k + 3, dtype=torch.float64)
    system[:k] = _basis(controls, controls)
    system[k:, :k] = _basis(controls, controls)[:, k:].T
    right = torch.eye(k + 3, k, dtype=torch.float64)  # the last three rows: no net force, no net torque
    matrix = _basis(target, controls) @ torch.linalg.solve(system, right)
    return (matrix.to(theta) @ theta).unflatten(1, tuple(size))


def control_points(count: int) -> Float[Tensor, "k 2"]:
    """Where the control points of a thin-plate spline lie at rest: a square of them, x fastest, double precision."""
    side = round(count**0.5)
    return identity_grid((side, side), torch.zeros((), dtype=torch.float64), align_corners=True).flatten(0, -2)


def _basis(points: Tensor, controls: Tensor) -> Tensor:
    """U of the distance to every control point, then 1, x and y."""
    square = (points[:, None] - controls).square().sum(-1)
    radial = square * square.clamp(min=torch.finfo(square.dtype).tiny).log()
    return torch.cat([radial, torch.ones_like(points[:, :1]), points], 1)


def sample(
    x: Float[Tensor, "b c *space"],
    grid: Float[Tensor, "b *size d"],
    *,
    align_corners: bool = False,
    padding: str = "zeros",
) -> Float[Tensor, "b c *size"]:
    """Interpolate x linearly at the grid's coordinates (eq. 5).

    Args:
        x: Signals, images or volumes.
        grid: Coordinates, x first.
        align_corners: What -1 and 1 mean; must be what the grid was made with.
        padding: What lies outside: ``zeros``, ``border`` (the outermost value) or ``reflection``.
    """
    dtype = x.dtype
    if dtype in (torch.bfloat16, torch.float16):  # places between pixels need more digits than they have
        x = x.float()
    grid = grid.to(x.dtype)
    if x.ndim > 3:
        y = F.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=align_corners)
    else:  # a signal is an image of one row; row 0 of [-1, 1] is its middle in both conventions
        row = torch.cat([grid, torch.zeros_like(grid)], -1)[:, None]
        y = F.grid_sample(x[:, :, None], row, mode="bilinear", padding_mode=padding, align_corners=align_corners)[
            :, :, 0
        ]
    return y.to(dtype)
