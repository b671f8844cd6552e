"""Non-local blocks: every position sees all positions, weighted by how they match.

Wang et al., 2018, https://arxiv.org/abs/1711.07971.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.pairwise import Concatenation, DotProduct, Pairwise, Softmax, attend
from saccade.attention.tap import Tap
from saccade.errors import InputError, unknown_name
from saccade.layers.convolution import kaiming_initialise_
from saccade.layers.dimensions import BATCH_NORM, CONV, check_spatial_dims, per_axis

PAIRWISE = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class NonLocal(nn.Module):
    """Add to every position a weighted mean of an embedding of all positions.

    ``y_i = sum_j f(x_i, x_j) g(x_j) / C(x)`` (eq. 1), ``z_i = W_z y_i + x_i`` (eq. 6), with

    - ``embedded_gaussian``: ``f = exp(theta(x_i) . phi(x_j))``, ``C = sum_j f`` (eq. 3), self-attention;
    - ``gaussian``: the same without theta and phi (eq. 2);
    - ``dot_product``: ``f = theta(x_i) . phi(x_j)``, C = the number of positions j (eq. 4);
    - ``concatenation``: ``f = relu(w_f . [theta(x_i), phi(x_j)])``, C as before (eq. 5).

    A new block gives back its input, so that it can be put into a network that is already trained. While nobody
    records, no form builds the map of all pairs where it is large: see `saccade.attention.pairwise`.

    Args:
        channels: Channels of the input and of the output.
        pairwise: The form of f, by name, or a `saccade.attention.pairwise.Pairwise` of one's own (with theta and phi).
        inner_channels: Channels of g, theta and phi. Default: half of ``channels``, at least 1, as in the paper.
        subsample: Maximum pooling of the keys, one number or one for each axis; True for the paper's: 2, but 1 along
            the first of three axes (the paper's time); False (default) for none. An axis shorter than its number is
            pooled into one.
        batch_norm: Whether batch norm follows the convolution W_z, as in the paper (default).
        spatial_dims: 1, 2 or 3.
        scale: Whether dot products under the exponential are divided by the square root of their number of channels:
            not in the paper (default), but the default of the authors' code. With the Gaussian forms alone.
        pool_first: Whether x is pooled before phi and g, as in the authors' code, rather than they after it, as the
            paper says (default). The gaussian form has no phi and always pools x for its keys.

    Raises:
        InputError: For numbers below 1, a wrong ``spatial_dims``, an unknown form, ``scale`` with a form that has no
            exponential, or ``pool_first`` without ``subsample``.

    Differs from the paper: none but the pooling of short axes. W_z starts at zero where there is no batch norm.

    >>> import torch
    >>> x = torch.randn(2, 8, 5, 7)
    >>> torch.equal(NonLocal(8)(x), x)
    True
    """

    def __init__(
        self,
        channels: int,
        *,
        pairwise: str | Pairwise = "embedded_gaussian",
        inner_channels: int | None = None,
        subsample: bool | int | Sequence[int] = False,
        batch_norm: bool = True,
        spatial_dims: int = 2,
        scale: bool = False,
        pool_first: bool = False,
    ) -> None:
        super().__init__()
        conv = CONV[check_spatial_dims("NonLocal", spatial_dims)]
        inner = max(channels // 2, 1) if inner_channels is None else inner_channels
        for name, number in [("channels", channels), ("inner_channels", inner)]:
            if number < 1:
                raise InputError(f"NonLocal: {name} must be at least 1, got {number}.")
        self.subsample = pooling_of("NonLocal", subsample, spatial_dims)
        self.pool_first = pool_first
        if pool_first and self.subsample is None:
            raise InputError("NonLocal: pool_first must go with subsample, got subsample=False. Set subsample=True.")
        embedded = pairwise != "gaussian"
        self.theta = conv(channels, inner, 1) if embedded else nn.Identity()
        self.phi = conv(channels, inner, 1) if embedded else nn.Identity()
        self.g = conv(channels, inner, 1)
        self.pairwise = _pairwise(pairwise, inner if embedded else channels, inner, scale)
        self.map = Tap("pairwise")
        point = conv(inner, channels, 1)
        last = BATCH_NORM[spatial_dims](channels) if batch_norm else point
        self.transform = nn.Sequential(point, last) if batch_norm else nn.Sequential(point)
        kaiming_initialise_(self)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def embed(
        self, x: Float[Tensor, "b c *space"]
    ) -> tuple[Float[Tensor, "b k *space"], Float[Tensor, "b k *keys"], Float[Tensor, "b v *keys"]]:
        """The queries theta(x), and the keys phi(x) and values g(x) on their own, possibly coarser grid."""
        if self.pool_first:
            pooled = pool(x, self.subsample)
            return self.theta(x), self.phi(pooled), self.g(pooled)
        return self.theta(x), pool(self.phi(x), self.subsample), pool(self.g(x), self.subsample)

    def weights(self, x: Float[Tensor, "b c *space"], rows: Sequence[int] | None = None) -> Float[Tensor, "b 1 n m"]:
        """The attention itself, ``f(x_i, x_j) / C(x)``: a row for each position i of x, or those numbered in ``rows``.

        Positions count along the last axis first, as after ``flatten``.
        """
        theta, phi, _ = self.embed(x)
        return self.pairwise.weights(theta.flatten(2), phi.flatten(2), rows)

    def gather(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b v *grid"]:
        """The weighted means y of all values, one for each query, on the grid of the queries."""
        return attend(self.pairwise, self.map, *self.embed(x))

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return self.transform(self.gather(x)) + x


def pooling_of(who: str, subsample: bool | int | Sequence[int], spatial_dims: int) -> tuple[int, ...] | None:
    """The factor of each axis, None for no pooling; True is the paper's choice.

    Raises:
        InputError: For a number below 1 or too few or too many of them.
    """
    if subsample is False:
        return None
    if subsample is True:
        return (1, 2, 2) if spatial_dims == 3 else (2,) * spatial_dims
    return per_axis(who, "subsample", subsample, spatial_dims)


def pool(x: Float[Tensor, "b c *space"], step: Sequence[int] | None) -> Float[Tensor, "b c *coarse"]:
    """Maximum pooling without overlap; an axis shorter than its step becomes one position."""
    if step is None:
        return x
    return _POOL[len(step)](x, [min(s, n) for s, n in zip(step, x.shape[2:], strict=True)])


def _pairwise(pairwise: str | Pairwise, width: int, inner: int, scale: bool) -> Pairwise:
    """The module for a name, for dot products of ``width`` channels."""
    if isinstance(pairwise, str) and pairwise in ("embedded_gaussian", "gaussian"):
        return Softmax(width**-0.5 if scale else 1.0)
    if scale:
        raise InputError(f"NonLocal: scale must go with a gaussian form, got pairwise={pairwise!r}. Leave it out.")
    if isinstance(pairwise, Pairwise):
        return pairwise
    if pairwise == "dot_product":
        return DotProduct()
    if pairwise == "concatenation":
        return Concatenation(inner)
    raise unknown_name("NonLocal", "pairwise", pairwise, list(PAIRWISE))
