"""Respond-CAM: a map whose sum is the score."""

from jaxtyping import Float
from torch import Tensor, nn

from saccade.explain.hooks import on_grid, responses
from saccade.explain.layers import Layer, choose_layer
from saccade.explain.targets import Score, Target

EPSILON = 1e-10  # added to every activation in the denominator, as in the authors' code


def respond_cam(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    layer: Layer | None = None,
    resize: bool = True,
) -> Float[Tensor, "b *grid"]:
    """Where a layer's features raise or lower the score, in units of the score: the sum over the map is nearly it.

    ``alpha_k = sum_i A_ki g_ki / sum_i (A_ki + 1e-10)``, ``L_i = sum_k alpha_k A_ki`` with g = dy/dA. So
    ``sum_i L_i = sum_ki A_ki g_ki``, which is y where everything behind the layer is linear, ReLU or max pooling
    without biases (Euler); biases are what is missing, `score_parts` tells them.

    Source: Zhao et al., 2018, https://arxiv.org/abs/1806.00102. Differs from the paper: none.

    Args:
        network: Any module; left as it was.
        x: A batch; the items are explained independently.
        target: A class number, one for each item, or a function of the output for one item; see `Score`. Scores
            before a softmax are meant.
        layer: Name of a layer or the module; default the last convolution that runs. Best one without negative
            activations (behind a ReLU), since alpha has their sum below the line.
        resize: Whether the map is brought to the grid of ``x``, by linear interpolation; the sum is that of the map on
            the layer's grid (``resize=False``).

    Returns:
        A map for each item, signed.

    Raises:
        InputError: If the layer, the target or ``x`` cannot be used.

    >>> import torch
    >>> head = nn.Linear(4, 2, bias=False)
    >>> network = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), head)
    >>> x = torch.randn(1, 1, 7, 5, 6)
    >>> torch.allclose(respond_cam(network, x, target=1, layer="1", resize=False).sum(), network(x)[0, 1], atol=1e-5)
    True
    """
    chosen = choose_layer(network, x, layer, "respond_cam")
    seen = responses(network, x, chosen, Score(target, len(x), "respond_cam"), "respond_cam")
    axes = tuple(range(2, x.ndim))
    respond = (seen.activations * seen.gradients).sum(axes, keepdim=True)
    weights = respond / (seen.activations + EPSILON).sum(axes, keepdim=True)
    return on_grid((weights * seen.activations).sum(1), x, resize)


def score_parts(
    network: nn.Module, x: Float[Tensor, "b c *space"], *, target: Target, layer: Layer | None = None
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """A score as the sum of Respond-CAM's map and the rest: ``y = sum_ki A_ki g_ki + beta``.

    Args:
        network: As in `respond_cam`.
        x: As in `respond_cam`.
        target: As in `respond_cam`.
        layer: As in `respond_cam`.

    Returns:
        What the features of the layer contribute, and beta, what biases behind the layer (and layers there that are not
        homogeneous) contribute, for each item.

    Raises:
        InputError: As `respond_cam`.
    """
    chosen = choose_layer(network, x, layer, "score_parts")
    seen = responses(network, x, chosen, Score(target, len(x), "score_parts"), "score_parts")
    part = (seen.activations * seen.gradients).flatten(1).sum(1)
    return part, seen.scores - part
