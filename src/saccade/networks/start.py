"""How the weights of classifiers start."""

from torch import nn
from torch.nn.modules.conv import _ConvNd


def start_convolutions_(network: nn.Module) -> None:
    """Start convolutions from He et al.'s normal distribution (fan out), their biases from zero.

    Those inside a module called ``attention`` keep the start that their own papers give them.
    """
    for name, module in network.named_modules():
        if isinstance(module, _ConvNd) and "attention" not in name.split("."):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
