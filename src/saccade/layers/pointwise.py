"""The 1x1 convolution without the number of axes in its weights."""

from jaxtyping import Float
from torch import Tensor, nn


class Pointwise(nn.Linear):
    """Mix channels at every position alike; one module serves signals, images and volumes.

    ``y = W x + b`` at each position: a convolution with a kernel of one voxel. The weight is (out, in), as that of a
    linear layer.

    >>> import torch
    >>> Pointwise(4, 3)(torch.zeros(2, 4, 5, 7)).shape
    torch.Size([2, 3, 5, 7])
    """

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c2 *space"]:
        y = self.weight @ x.flatten(2)  # (b, c2, n)
        if self.bias is not None:
            y = y + self.bias[:, None]
        return y.reshape(*y.shape[:2], *x.shape[2:])
