"""Non-local blocks of ozan-oktay/Attention-Gated-Networks: models/layers/nonlocal_layer.py, and its U-Net with them.

As of commit eee4881. Every builder has the arguments of the class that `NON_LOCAL` names it for.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.non_local import NonLocal, pool
from saccade.attention.pairwise import Additive, DotProduct, Softmax
from saccade.attention.pairwise.concatenation import AffineReLU
from saccade.errors import InputError, unknown_name
from saccade.layers.convolution import ConvNormReLU, kaiming_initialise_
from saccade.layers.resample import Upsampling, resize
from saccade.networks.non_local_unet import NonLocalUNet
from saccade.reference.request import Request

Axes = int | Sequence[int]
_MODES = ("embedded_gaussian", "dot_product", "concatenation", "concat_proper", "concat_proper_down")


class SeparateConcatenation(AffineReLU):
    """The concatenation form with one layer for each half of w_f, divided by the number of queries, not of keys."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.for_theta, self.for_phi = nn.Linear(channels, 1, bias=False), nn.Linear(channels, 1, bias=False)

    def scores(
        self, theta: Float[Tensor, "b c n"], phi: Float[Tensor, "b c m"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b m"], int | torch.SymInt]:
        """The summand of each query, that of each key, and the number of queries."""
        return self.for_theta(theta.mT)[..., 0], self.for_phi(phi.mT)[..., 0], theta.shape[2]


class CoarseNonLocal(NonLocal):
    """A non-local block whose queries are pooled as the keys are; its result is interpolated to the input's grid."""

    align_corners = False

    def embed(
        self, x: Float[Tensor, "b c *space"]
    ) -> tuple[Float[Tensor, "b k *coarse"], Float[Tensor, "b k *coarse"], Float[Tensor, "b v *coarse"]]:
        """Queries, keys and values on the one coarse grid."""
        theta, phi, g = super().embed(x)
        return pool(theta, self.subsample), phi, g

    def gather(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b v *space"]:
        """The weighted means of the values, interpolated."""
        return resize(super().gather(x), x.shape[2:], self.align_corners)


def block(
    request: Request,
    in_channels: int,
    inter_channels: int | None = None,
    dimension: int = 3,
    mode: str = "embedded_gaussian",
    sub_sample_factor: Axes = 4,
    bn_layer: bool = True,
) -> nn.Module:
    coarse = mode == "concat_proper_down"
    if mode == "gaussian" or (coarse and dimension != 3):
        more = "" if dimension == 3 else f" and dimension={dimension}"
        raise InputError(f"from_reference: NONLocalBlock: the published code cannot run with mode='{mode}'{more}.")
    if mode not in _MODES:
        raise unknown_name("from_reference", "mode", mode, list(_MODES))
    inner = max(in_channels // 2, 1) if inter_channels is None else inter_channels
    forms = {"embedded_gaussian": Softmax, "dot_product": DotProduct}
    of_width = {"concatenation": SeparateConcatenation}
    factor = sub_sample_factor if isinstance(sub_sample_factor, int) else list(sub_sample_factor)
    if isinstance(factor, list) and len(factor) == 1:
        factor = factor[0]
    pooled = max([factor] if isinstance(factor, int) else factor) > 1
    module = (CoarseNonLocal if coarse else NonLocal)(
        in_channels,
        pairwise=forms[mode]() if mode in forms else of_width.get(mode, Additive)(inner),
        inner_channels=inner,
        subsample=factor if pooled else False,
        batch_norm=bn_layer,
        spatial_dims=dimension,
    )
    if isinstance(module, CoarseNonLocal):
        module.align_corners = request.align_corners
    kaiming_initialise_(module)  # the published block does not start as the identity
    for part in module.pairwise.modules():
        if isinstance(part, nn.Linear):
            nn.init.kaiming_normal_(part.weight)
    return module


def _of_dimension(dimension: int) -> Callable[..., nn.Module]:
    def build(
        request: Request,
        in_channels: int,
        inter_channels: int | None = None,
        mode: str = "embedded_gaussian",
        sub_sample_factor: Axes = 2,
        bn_layer: bool = True,
    ) -> nn.Module:
        return block(request, in_channels, inter_channels, dimension, mode, sub_sample_factor, bn_layer)

    return build


def unet_nonlocal_3d(
    request: Request,
    feature_scale: int | float = 4,
    n_classes: int = 21,
    is_deconv: bool = True,
    in_channels: int = 3,
    is_batchnorm: bool = True,
    nonlocal_mode: str = "embedded_gaussian",
    nonlocal_sf: Axes = 4,
) -> nn.Module:
    def behind(width: int) -> nn.Module:
        return block(request, width, width // 4, 3, nonlocal_mode, nonlocal_sf)

    network = NonLocalUNet(
        in_channels,
        n_classes,
        channels=[int(width / feature_scale) for width in (64, 128, 256, 512, 1024)],
        pooling=((2, 2, 1),) * 4,
        upsampling=Upsampling("transposed" if is_deconv else "linear", request.align_corners),
        blocks={1: behind, 2: behind},
    )
    if not is_batchnorm:  # the published decoder has batch norm all the same
        for part in [*network.encoder.modules(), *network.bottom.modules()]:
            if isinstance(part, ConvNormReLU):
                part.norm = nn.Identity()
    kaiming_initialise_(network)
    return network


NON_LOCAL: dict[str, Callable[..., nn.Module]] = {
    "NONLocalBlock1D": _of_dimension(1),
    "NONLocalBlock2D": _of_dimension(2),
    "NONLocalBlock3D": _of_dimension(3),
    "_NonLocalBlockND": block,
    "unet_nonlocal_3D": unet_nonlocal_3d,
}


def block_names(module: Any, *, coarse: bool = False) -> dict[str, str]:
    """Where a block's weights lie: pooling stands behind a convolution in one sequence with it, which adds an index."""
    inside = "" if module.subsample is None else ".0"
    found = {"g": f"g{inside}"}
    if not isinstance(module.theta, nn.Identity):
        found |= {"theta": f"theta{inside}" if coarse else "theta", "phi": f"phi{inside}"}
    if len(module.transform) == 1:
        return {**found, "transform.0": "W", "pairwise": ""}
    return {**found, "transform": "W", "pairwise": ""}


NON_LOCAL_PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    Additive: lambda _: {"psi": "psi"},
    CoarseNonLocal: partial(block_names, coarse=True),
    NonLocal: block_names,
    SeparateConcatenation: lambda _: {"for_theta": "wf_theta", "for_phi": "wf_phi"},
}
