"""Maps from the first principal component of a layer's features."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.explain.hooks import layer_output, on_grid, precise, responses, undisturbed
from saccade.explain.layers import Layer, choose_layer
from saccade.explain.targets import Score, Target


def eigen_cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target | None = None,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """The strongest pattern in a layer's features, whatever the class.

    ``L = (A - mean) v_1`` with A as positions x channels and v_1 its first right singular vector.

    Source: Bany Muhammad and Yeasin, 2020, https://arxiv.org/abs/2008.00299. Differs from the paper: as in
    pytorch-grad-cam, each channel is centred first. The sign of a singular vector is arbitrary; it is the one that
    numpy's SVD gives.

    Args:
        network: Any module; left as it was.
        x: A batch; the items are explained independently.
        target: Not looked at, since no score is: taken so that all methods can be called alike.
        layer: Name of a layer or the module; default the last convolution that runs.
        resize: Whether the map is brought to the grid of ``x`` (linear interpolation); else it lies on the layer's.

    Returns:
        A map for each item, signed, in units of the features.

    Raises:
        InputError: If the layer or ``x`` cannot be used.
    """
    chosen = choose_layer(network, x, layer, "eigen_cam")
    with undisturbed(network) as module:
        activations = precise(layer_output(module, x, chosen, "eigen_cam")[0])
    return on_grid(_first_component(activations), x, resize)


def eigen_grad_cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """The strongest pattern in activation times gradient: `eigen_cam` of ``g_ki A_ki``, which knows the class.

    Source: pytorch-grad-cam's EigenGradCAM, https://github.com/jacobgil/pytorch-grad-cam; there is no paper. The sign
    is arbitrary, as that of `eigen_cam`.

    Args:
        network: As in `grad_cam`.
        x: As in `grad_cam`.
        target: As in `grad_cam`.
        layer: As in `grad_cam`.
        resize: As in `grad_cam`.

    Raises:
        InputError: As `grad_cam`.
    """
    chosen = choose_layer(network, x, layer, "eigen_grad_cam")
    seen = responses(network, x, chosen, Score(target, len(x), "eigen_grad_cam"), "eigen_grad_cam")
    return on_grid(_first_component(seen.gradients * seen.activations), x, resize)


def _first_component(features: Float[Tensor, "b k *grid"]) -> Float[Tensor, "b *grid"]:
    maps = []
    for item in np.nan_to_num(features.cpu().numpy(), posinf=None, neginf=None):
        rows = item.reshape(item.shape[0], -1).T
        rows = rows - rows.mean(axis=0)
        # numpy's own SVD, since the published sign is that of its driver; thin, since a volume has many positions
        directions = np.linalg.svd(rows, full_matrices=False)[2]
        maps.append((rows @ directions[0]).reshape(item.shape[1:]))
    return torch.from_numpy(np.stack(maps)).to(features)
