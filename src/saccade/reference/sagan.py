"""brain-research/self-attention-gan, the authors' code of SAGAN (TensorFlow): non_local.py.

As of commit 7702dc5. Weights are taken in PyTorch's layout, named theta, phi, g, attn and sigma.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from saccade.attention.self_attention import SelfAttention
from saccade.reference.request import Request


def sn_non_local_block_sim(request: Request, num_channels: int) -> nn.Module:
    """With the weights that spectral normalisation gives; for training, `SelfAttention` has ``spectral_norm``."""
    return SelfAttention(num_channels, value_channels=max(num_channels // 2, 1), subsample=True, bias=False)


CLASSES: dict[str, Callable[..., nn.Module]] = {"sn_non_local_block_sim": sn_non_local_block_sim}

PARTS: dict[type[nn.Module], Callable[[Any], dict[str, str]]] = {
    SelfAttention: lambda _: {
        "query": "theta",
        "key": "phi",
        "value": "g",
        "transform": "attn",
        "gamma": "sigma",
    },
}
