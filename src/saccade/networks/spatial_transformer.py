"""A classifier that straightens and crops its input before it looks.

Jaderberg et al., 2015, https://arxiv.org/abs/1506.02025.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from saccade.attention.spatial_transformer import SpatialTransformer
from saccade.layers.dimensions import ADAPTIVE_AVERAGE_POOL, CONV, MAX_POOL, check_spatial_dims
from saccade.networks.checks import refuse_below_one
from saccade.networks.lenet import LeNet, in_field

FIELD = 28  # pixels that two poolings and two 5x5 convolutions need


class Localisation(nn.Module):
    """A few numbers that tell how the input lies: twice maximum pooling and a 5x5 convolution, then linear layers.

    Axes of fewer than 28 positions are padded with zeros on both sides.

    Args:
        in_channels: Channels of the input.
        spatial_dims: 1, 2 or 3.
        channels: Of both convolutions.
        features: Numbers that come out.
        grid: Cells along each axis, over whose means the linear layer works.

    Raises:
        InputError: For numbers below 1.
    """

    def __init__(
        self, in_channels: int, *, spatial_dims: int = 2, channels: int = 20, features: int = 20, grid: int = 2
    ) -> None:
        super().__init__()
        check_spatial_dims("Localisation", spatial_dims)
        refuse_below_one("Localisation", in_channels=in_channels, channels=channels, features=features, grid=grid)
        conv, pool = CONV[spatial_dims], MAX_POOL[spatial_dims]
        self.layers = nn.Sequential(
            pool(2),
            conv(in_channels, channels, 5),
            nn.ReLU(),
            pool(2),
            conv(channels, channels, 5),
            nn.ReLU(),
            ADAPTIVE_AVERAGE_POOL[spatial_dims](grid),
            nn.Flatten(),
            nn.Linear(channels * grid**spatial_dims, features),
            nn.ReLU(),
        )

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b features"]:
        return self.layers(in_field(x, FIELD))


class STNClassifier(nn.Module):
    """One score per class from the input as a `SpatialTransformer` shows it.

    A new network looks at the whole input; where to look it learns from the classes alone. The sampling grid is
    recorded as ``transformer.map``.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes, or numbers to be regressed.
        spatial_dims: 1, 2 or 3.
        size: What the classifier gets to see, one number for each axis. Default None: the input's size.
        transform: ``affine``, ``attention``, ``projective`` or ``thin_plate_spline``; see `SpatialTransformer`.
        padding: What lies outside the input; see `SpatialTransformer`.
        localisation: Network from the input to (b, 20) numbers, from which the transform is regressed. Default None: a
            `Localisation`, that of the authors' demonstration (for inputs of 32 by 32 the very same).
        classifier: Network from the transformed input to (b, out_channels). Default None: a `LeNet`.

    Raises:
        InputError: As `SpatialTransformer`, `Localisation` and `LeNet`.

    >>> import torch
    >>> STNClassifier(1, 10, size=(28, 28))(torch.randn(2, 1, 60, 60)).shape
    torch.Size([2, 10])
    """

    FEATURES = 20  # numbers that a localisation network gives

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: int = 2,
        size: Sequence[int] | None = None,
        transform: str = "affine",
        padding: str = "zeros",
        localisation: nn.Module | None = None,
        classifier: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_spatial_dims("STNClassifier", spatial_dims)
        if localisation is None:
            localisation = Localisation(in_channels, spatial_dims=spatial_dims, features=self.FEATURES)
        self.transformer = SpatialTransformer(
            localisation, self.FEATURES, transform=transform, spatial_dims=spatial_dims, size=size, padding=padding
        )
        self.classifier = (
            LeNet(in_channels, out_channels, spatial_dims=spatial_dims) if classifier is None else classifier
        )

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b classes"]:
        return self.classifier(self.transformer(x))
