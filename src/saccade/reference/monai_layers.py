"""Layers of Project-MONAI/MONAI by the names and arguments that its blocks take: activations, norms, Convolution.

As of MONAI 1.6.1 (monai/networks/layers/factories.py, monai/networks/blocks/convolutions.py, acti_norm.py). A layer is
named by a word, in any case, or by a pair of a word and a dictionary of arguments.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from saccade.errors import InputError, unknown_name
from saccade.layers.dimensions import BATCH_NORM, CONV, CONV_TRANSPOSE, INSTANCE_NORM

Axes = int | Sequence[int]
Named = str | Sequence[Any]  # a word, or a word and its arguments


class Swish(nn.Module):
    """``x * sigmoid(alpha x)``."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.alpha * x)


_ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leakyrelu": nn.LeakyReLU,
    "logsoftmax": nn.LogSoftmax,
    "memswish": lambda inplace=False: nn.SiLU(),
    "mish": lambda inplace=False: nn.Mish(),
    "prelu": nn.PReLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "softmax": nn.Softmax,
    "swish": Swish,
    "tanh": nn.Tanh,
}
_DROPOUTS = {1: nn.Dropout, 2: nn.Dropout2d, 3: nn.Dropout3d}


def activation(named: Named) -> Callable[[], nn.Module]:
    """The constructor of a named activation, its arguments filled in.

    Raises:
        InputError: For an unknown name, or one that is no word or pair.
    """
    name, arguments = _split(named)
    if name not in _ACTIVATIONS:
        raise unknown_name("from_reference", "activation", name, sorted(_ACTIVATIONS))
    # In-place activations give the same numbers and would overwrite what a listener was shown.
    arguments = {key: value for key, value in arguments.items() if key != "inplace"}
    return lambda: _ACTIVATIONS[name](**arguments)


def norm(named: Named, channels: int, spatial_dims: int) -> nn.Module:
    """A named normalisation; the number of channels is filled in where the layer needs it.

    Raises:
        InputError: For an unknown name, or one that is no word or pair.
    """
    if named == "":
        return nn.Identity()
    name, arguments = _split(named)
    if name in ("batch", "instance", "instance_nvfuser", "syncbatch"):
        layer = {"batch": BATCH_NORM[spatial_dims], "syncbatch": nn.SyncBatchNorm}.get(
            name, INSTANCE_NORM[spatial_dims]
        )
        return layer(**{"num_features": channels, **arguments})
    if name == "group":
        return nn.GroupNorm(**{"num_channels": channels, **arguments})
    if name == "layer":
        return nn.LayerNorm(**arguments)
    if name == "localresponse":
        return nn.LocalResponseNorm(**arguments)
    known = ["batch", "group", "instance", "instance_nvfuser", "layer", "localresponse", "syncbatch"]
    raise unknown_name("from_reference", "normalisation", name, known)


def dropout(named: Named | float, dims: int) -> nn.Module:
    """Dropout by its rate or by name, of whole channels for ``dims`` above 1.

    Raises:
        InputError: For an unknown name, or one that is no word or pair.
    """
    if isinstance(named, int | float):
        return _DROPOUTS[dims](float(named))
    name, arguments = _split(named)
    if name == "dropout":
        return _DROPOUTS[dims](**arguments)
    if name == "alphadropout":
        return nn.AlphaDropout(**arguments)
    raise unknown_name("from_reference", "dropout", name, ["dropout", "alphadropout"])


def convolution(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    strides: Axes = 1,
    kernel_size: Axes = 3,
    adn_ordering: str = "NDA",
    act: Named | None = "PRELU",
    norm: Named | None = "INSTANCE",
    dropout: Named | float | None = None,
    dropout_dim: int | None = 1,
    dilation: Axes = 1,
    groups: int = 1,
    bias: bool = True,
    conv_only: bool = False,
    is_transposed: bool = False,
    padding: Axes | None = None,
    output_padding: Axes | None = None,
) -> nn.Sequential:
    """MONAI's Convolution: ``conv``, then ``adn`` with activation A, dropout D and norm N in the order of the letters.

    Raises:
        InputError: For unknown names and letters, and kernels whose size cannot be kept by padding.
    """
    options: dict[str, Any] = {
        "stride": strides if isinstance(strides, int) else tuple(strides),
        "padding": _same_padding(kernel_size, dilation) if padding is None else padding,
        "dilation": dilation,
        "groups": groups,
        "bias": bias,
    }
    if is_transposed:
        options["output_padding"] = _each(lambda step: step - 1, strides) if output_padding is None else output_padding
    layers = CONV_TRANSPOSE if is_transposed else CONV
    found = nn.Sequential()
    found.add_module("conv", layers[spatial_dims](in_channels, out_channels, kernel_size, **options))
    if conv_only or (act is None and norm is None and dropout is None):
        return found
    makers: dict[str, Callable[[], nn.Module] | None] = {
        "A": None if act is None else activation(act),
        "N": None if norm is None else lambda: _norm(norm, out_channels, spatial_dims),
        "D": None if dropout is None else lambda: _dropout(dropout, dropout_dim or spatial_dims),
    }
    adn = nn.Sequential()
    for letter in adn_ordering.upper():
        if letter not in makers:
            raise InputError(f"from_reference: adn_ordering may have the letters A, D and N, got '{adn_ordering}'.")
        make = makers[letter]
        if make is not None:
            adn.add_module(letter, make())
    found.add_module("adn", adn)
    return found


_norm, _dropout = norm, dropout  # their names are arguments of MONAI's Convolution


def _split(named: Named) -> tuple[str, Mapping[str, Any]]:
    if isinstance(named, str):
        return named.lower(), {}
    if len(named) != 2 or not isinstance(named[0], str) or not isinstance(named[1], Mapping):
        raise InputError(f"from_reference: a layer is named by a word or by a word and its arguments, got {named}.")
    return named[0].lower(), named[1]


def _each(function: Callable[..., int], *numbers: Axes) -> Any:
    """The function of numbers, or of each axis's numbers where one of them has several."""
    length = max((len(n) for n in numbers if not isinstance(n, int)), default=0)
    if not length:
        return function(*numbers)
    each = ((n,) * length if isinstance(n, int) else n for n in numbers)
    return tuple(function(*row) for row in zip(*each, strict=True))


def _same_padding(kernel_size: Axes, dilation: Axes) -> Any:
    def pad(k: int, d: int) -> int:
        if (k - 1) * d % 2:
            raise InputError(f"from_reference: no padding keeps the size for kernel_size {k} and dilation {d}.")
        return (k - 1) * d // 2

    return _each(pad, kernel_size, dilation)
