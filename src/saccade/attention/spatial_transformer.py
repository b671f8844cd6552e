"""A network that moves, turns and bends its input before it looks: the spatial transformer.

Jaderberg et al., 2015, https://arxiv.org/abs/1506.02025.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.spatial_transformer_grids import (
    affine_grid,
    control_points,
    identity_grid,
    projective_grid,
    sample,
    thin_plate_spline_grid,
)
from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name
from saccade.layers.dimensions import check_spatial_dims, per_axis

TRANSFORMS = ("affine", "attention", "projective", "thin_plate_spline")
PADDINGS = ("zeros", "border", "reflection")


class SpatialTransformer(nn.Module):
    """``(x_s, y_s) = T_theta(x_t, y_t)``, ``V = U sampled linearly at (x_s, y_s)``, theta regressed from U (section 3).

    theta comes from a localisation network and a last linear layer of our own, whose weights start at zero and whose
    bias is the identity: a new module gives its input back (of the same size, up to rounding).

    Args:
        localisation: Network from the input to (b, features), with whatever its paper wants.
        features: Its number of outputs.
        transform: ``affine`` (6 parameters in 2D, 12 in 3D), ``attention`` (isotropic scale and translation, eq. 2:
            3 in 2D, 4 in 3D), ``projective`` (8, 2D only) or ``thin_plate_spline`` (2 for each control point, 2D only).
        spatial_dims: 1, 2 or 3.
        size: Size of the output. Default: that of the input.
        align_corners: Whether -1 and 1 are the centres of the outer pixels (True: the paper's time, and PyTorch before
            1.3) or their outer edges (False, the default, as in PyTorch today).
        padding: What lies outside the input: ``zeros`` (default, as in the paper), ``border`` or ``reflection``. With
            normalised images, whose zero is grey, ``border`` keeps training from zooming out.
        control_points: Of the spline, along each axis. Default 4 (16 in all), as in the paper.

    Raises:
        InputError: For an unknown transform or padding, one that does not exist in so many dimensions, a wrong size,
            or fewer than 2 control points along an axis.

    Differs from the paper: none. Shrinking by more than 2 skips pixels, there as here: an output sees 2 along an axis.

    >>> net = SpatialTransformer(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 10)
    >>> image = torch.randn(2, 1, 8, 8)
    >>> torch.allclose(net(image), image, atol=1e-5)
    True
    """

    def __init__(
        self,
        localisation: nn.Module,
        features: int,
        *,
        transform: str = "affine",
        spatial_dims: int = 2,
        size: Sequence[int] | None = None,
        align_corners: bool = False,
        padding: str = "zeros",
        control_points: int = 4,
    ) -> None:
        super().__init__()
        check_spatial_dims("SpatialTransformer", spatial_dims)
        if transform not in TRANSFORMS:
            raise unknown_name("SpatialTransformer", "transform", transform, list(TRANSFORMS))
        if padding not in PADDINGS:
            raise unknown_name("SpatialTransformer", "padding", padding, list(PADDINGS))
        if transform in ("projective", "thin_plate_spline") and spatial_dims != 2:
            raise InputError(f"SpatialTransformer: {transform} exists for spatial_dims 2, got {spatial_dims}.")
        if control_points < 2:
            raise InputError(f"SpatialTransformer: control_points must be at least 2, got {control_points}.")
        self.transform, self.spatial_dims = transform, spatial_dims
        self.size = None if size is None else per_axis("SpatialTransformer", "size", tuple(size), spatial_dims)
        self.align_corners, self.padding = align_corners, padding
        identity = _identity(transform, spatial_dims, control_points)
        self.localisation = localisation
        self.head = nn.Linear(features, len(identity))
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(identity)
        self.map = Tap("transform")

    def theta(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b p"]:
        """The parameters: of ``affine`` row by row, of ``attention`` the scale, then the translation, x first."""
        return self.head(self.localisation(x).flatten(1))

    def grid(self, theta: Float[Tensor, "b p"], size: Sequence[int]) -> Float[Tensor, "b *size d"]:
        """Where in the input every position of the output looks, in coordinates from -1 to 1, x first."""
        d, corners = self.spatial_dims, self.align_corners
        theta = theta.float() if theta.dtype in (torch.bfloat16, torch.float16) else theta
        if self.transform == "affine":
            return affine_grid(theta.unflatten(1, (d, d + 1)), size, align_corners=corners)
        if self.transform == "projective":
            return projective_grid(theta, size, align_corners=corners)
        if self.transform == "thin_plate_spline":
            return thin_plate_spline_grid(theta.unflatten(1, (-1, 2)), size, align_corners=corners)
        scale, shift = theta[:, :1, None], theta[:, None, 1:]
        target = identity_grid(size, theta, align_corners=corners).flatten(0, -2)
        return (scale * target + shift).unflatten(1, tuple(size))

    def warp(self, x: Float[Tensor, "b c *space"], theta: Float[Tensor, "b p"]) -> Float[Tensor, "b c *size"]:
        """The input as these parameters show it."""
        size = x.shape[2:] if self.size is None else self.size
        grid = self.map(self.grid(theta, size), grid=size)
        return sample(x, grid, align_corners=self.align_corners, padding=self.padding)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *size"]:
        return self.warp(x, self.theta(x))


def _identity(transform: str, d: int, points: int) -> Tensor:
    if transform == "affine":
        return torch.eye(d, d + 1).flatten()
    if transform == "attention":
        return torch.eye(1, 1 + d).flatten()
    if transform == "projective":
        return torch.eye(3).flatten()[:8]
    return control_points(points**2).flatten().float()
