"""Class activation maps from gradients: a layer's feature maps, weighted by how the score changes with them.

One code serves signals, images and volumes. A is the layer's output with channels k and positions i, y the score,
g = dy/dA its gradient. Maps are signed and unscaled: ``.relu()`` leaves what speaks for the target, which is what most
of the papers show.
"""

from jaxtyping import Float
from torch import Tensor, nn

from saccade.explain.hooks import Responses, on_grid, responses
from saccade.explain.layers import Layer, choose_layer
from saccade.explain.targets import Score, Target

PLUS_PLUS_EPSILON = 1e-6  # of pytorch-grad-cam; the paper has none
X_EPSILON = 1e-7  # of the authors' code


def grad_cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """Where a layer's features raise the score, channels weighted by their mean gradient.

    ``alpha_k = 1/Z sum_i g_ki`` (eq. 1), ``L_i = sum_k alpha_k A_ki`` (eq. 2 before its ReLU).

    Source: Selvaraju et al., 2017, https://arxiv.org/abs/1610.02391. Differs from the paper: no ReLU (``.relu()`` is
    it), so that what lowers the score is seen too.

    Args:
        network: Any module; left as it was.
        x: A batch; the items are explained independently.
        target: A class number, one for each item, or a function of the output for one item; see `Score`.
        layer: Name of a layer or the module; default the last convolution that runs.
        resize: Whether the map is brought to the grid of ``x`` (linear interpolation); else it lies on the layer's.

    Returns:
        A map for each item, signed, in units of the score per mean of a feature map.

    Raises:
        InputError: If the layer, the target or ``x`` cannot be used.

    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> grad_cam(network, torch.randn(2, 1, 11, 7), target=3).shape
    torch.Size([2, 11, 7])
    >>> grad_cam(network, torch.randn(2, 1, 11, 7), target=[3, 0], layer="1", resize=False).shape
    torch.Size([2, 5, 3])
    """
    seen = _seen("grad_cam", network, x, target, layer)
    weights = _over_space(seen.gradients, "mean")
    return on_grid((weights * seen.activations).sum(1), x, resize)


def grad_cam_plus_plus(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """Grad-CAM whose weights count every occurrence of an object alike, large or small.

    ``a_ki = g_ki^2 / (2 g_ki^2 + g_ki^3 sum_j A_kj)`` (eq. 19), ``w_k = sum_i a_ki relu(g_ki)``,
    ``L_i = sum_k w_k A_ki``.

    Source: Chattopadhay et al., 2018, https://arxiv.org/abs/1710.11063. Differs from the paper: as in pytorch-grad-cam,
    g is the gradient of the score and not of its exponential (a common factor), and 1e-6 is added to the denominator;
    no ReLU at the end.

    Args:
        network: As in `grad_cam`.
        x: As in `grad_cam`.
        target: As in `grad_cam`.
        layer: As in `grad_cam`.
        resize: As in `grad_cam`.

    Raises:
        InputError: As `grad_cam`.
    """
    seen = _seen("grad_cam_plus_plus", network, x, target, layer)
    g, total = seen.gradients, _over_space(seen.activations, "sum")
    shares = g**2 / (2 * g**2 + total * g**3 + PLUS_PLUS_EPSILON)
    weights = _over_space(shares.where(g != 0, 0) * g.relu(), "sum")
    return on_grid((weights * seen.activations).sum(1), x, resize)


def x_grad_cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """Grad-CAM with gradients averaged by activation: ``w_k = sum_i A_ki g_ki / (sum_i A_ki + 1e-7)``.

    Source: Fu et al., 2020, https://arxiv.org/abs/2008.02312, eq. 9. Differs from the paper: no ReLU at the end.
    `respond_cam` has the same weights up to its epsilon.

    Args:
        network: As in `grad_cam`.
        x: As in `grad_cam`.
        target: As in `grad_cam`.
        layer: As in `grad_cam`.
        resize: As in `grad_cam`.

    Raises:
        InputError: As `grad_cam`.
    """
    seen = _seen("x_grad_cam", network, x, target, layer)
    shares = seen.gradients * seen.activations / (_over_space(seen.activations, "sum") + X_EPSILON)
    return on_grid((_over_space(shares, "sum") * seen.activations).sum(1), x, resize)


def hires_cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """Activation times gradient at each position, no averaging: ``L_i = sum_k g_ki A_ki``.

    For a network that ends in one linear layer behind this one, the map's sum is the score without its bias.

    Source: Draelos and Carin, 2020, https://arxiv.org/abs/2011.08891. Differs from the paper: none before the optional
    ReLU.

    Args:
        network: As in `grad_cam`.
        x: As in `grad_cam`.
        target: As in `grad_cam`.
        layer: As in `grad_cam`.
        resize: As in `grad_cam`.

    Raises:
        InputError: As `grad_cam`.
    """
    seen = _seen("hires_cam", network, x, target, layer)
    return on_grid((seen.gradients * seen.activations).sum(1), x, resize)


def layer_cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """Activations weighted by the positive part of the gradient at each position: ``L_i = sum_k relu(g_ki) A_ki``.

    Sharp also at early layers. Source: Jiang et al., 2021, https://doi.org/10.1109/TIP.2021.3089943, eq. 6-8. Differs
    from the paper: no ReLU at the end.

    Args:
        network: As in `grad_cam`.
        x: As in `grad_cam`.
        target: As in `grad_cam`.
        layer: As in `grad_cam`.
        resize: As in `grad_cam`.

    Raises:
        InputError: As `grad_cam`.
    """
    seen = _seen("layer_cam", network, x, target, layer)
    return on_grid((seen.gradients.relu() * seen.activations).sum(1), x, resize)


def grad_cam_element_wise(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """Positive products of activation and gradient at each position: ``L_i = sum_k relu(g_ki A_ki)``; never negative.

    Source: pytorch-grad-cam's GradCAMElementWise, https://github.com/jacobgil/pytorch-grad-cam; there is no paper.

    Args:
        network: As in `grad_cam`.
        x: As in `grad_cam`.
        target: As in `grad_cam`.
        layer: As in `grad_cam`.
        resize: As in `grad_cam`.

    Raises:
        InputError: As `grad_cam`.
    """
    seen = _seen("grad_cam_element_wise", network, x, target, layer)
    return on_grid((seen.gradients * seen.activations).relu().sum(1), x, resize)


def _seen(who: str, network: nn.Module, x: Tensor, target: Target, layer: Layer | None) -> Responses:
    chosen = choose_layer(network, x, layer, who)
    return responses(network, x, chosen, Score(target, len(x), who), who)


def _over_space(values: Float[Tensor, "b k *grid"], how: str) -> Float[Tensor, "b k *ones"]:
    axes = tuple(range(2, values.ndim))
    return values.mean(axes, keepdim=True) if how == "mean" else values.sum(axes, keepdim=True)
