"""AlexHex7/Non-local_pytorch: the four files lib/non_local_*.py, each with its blocks for 1, 2 and 3 dimensions.

As of commit ec15789. The files define the same names, so a class is asked for with its file in brackets. Every builder
has the arguments of the class that `CLASSES` names it for.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from saccade.attention.non_local import PAIRWISE, NonLocal
from saccade.attention.pairwise import Concatenation
from saccade.reference.agn_non_local import block_names
from saccade.reference.request import Request


class WithMap(nn.Module):
    """A block that also returns its map when asked to."""

    def __init__(self, block: NonLocal) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, return_nl_map: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        return (self.block(x), self.block.weights(x)[:, 0]) if return_nl_map else self.block(x)


def _of_any_dimension(pairwise: str) -> Callable[..., nn.Module]:
    def build(
        request: Request,
        in_channels: int,
        inter_channels: int | None = None,
        dimension: int = 3,
        sub_sample: bool = True,
        bn_layer: bool = True,
    ) -> nn.Module:
        block = NonLocal(
            in_channels,
            pairwise=pairwise,
            inner_channels=inter_channels,
            subsample=bool(sub_sample),
            batch_norm=bn_layer,
            spatial_dims=dimension,
        )
        return WithMap(block)

    return build


def _of_dimension(pairwise: str, dimension: int) -> Callable[..., nn.Module]:
    def build(
        request: Request,
        in_channels: int,
        inter_channels: int | None = None,
        sub_sample: bool = True,
        bn_layer: bool = True,
    ) -> nn.Module:
        return _of_any_dimension(pairwise)(request, in_channels, inter_channels, dimension, sub_sample, bn_layer)

    return build


CLASSES: dict[str, Callable[..., nn.Module]] = {
    f"{name} (lib/non_local_{pairwise}.py)": build
    for pairwise in PAIRWISE
    for name, build in {
        **{f"NONLocalBlock{dimension}D": _of_dimension(pairwise, dimension) for dimension in (1, 2, 3)},
        "_NonLocalBlockND": _of_any_dimension(pairwise),
    }.items()
}

PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    Concatenation: lambda _: {"project": "concat_project.0"},
    NonLocal: block_names,
    WithMap: lambda _: {"block": ""},
}
