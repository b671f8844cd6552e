"""What a layer gives: its feature maps, channel by channel."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.explain.hooks import layer_output, on_grid, precise, undisturbed
from saccade.explain.layers import Layer, choose_layer
from saccade.explain.targets import Target


def feature_maps(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target | None = None,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b k *grid"]:
    """All channels of what a layer gives: what the maps of this package are made of.

    Args:
        network: Any module; left as it was.
        x: A batch; the items are looked at independently.
        target: Not looked at, since features have none: taken so that all methods can be called alike.
        layer: Name of a layer or the module; default the last convolution that runs.
        resize: Whether the maps are brought to the grid of ``x`` (linear interpolation); else they lie on the layer's.

    Returns:
        A map for each item and channel.

    Raises:
        InputError: If the layer or ``x`` cannot be used.

    >>> feature_maps(nn.Conv2d(1, 5, 3), torch.randn(2, 1, 11, 7)).shape
    torch.Size([2, 5, 11, 7])
    """
    chosen = choose_layer(network, x, layer, "feature_maps")
    with undisturbed(network) as module:
        features = precise(layer_output(module, x, chosen, "feature_maps")[0])
    like = x[:1].expand(features.shape[1], *x.shape[1:])  # channels take the place of items
    return torch.stack([on_grid(channels, like, resize) for channels in features])
