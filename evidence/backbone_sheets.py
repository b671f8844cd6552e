"""The small experiments that each of the plain families has to pass: parameters, shapes, and blobs in volumes."""

import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import saccade

SIDE, STEPS, BATCH, TEST, WIDTH = 24, 120, 8, 200, 3.0
# Of each family the tiny form for volumes, and below the parameters of its standard forms.
FAMILIES: dict[str, dict[str, Any]] = {
    "lenet": {"channels": (6, 12, 24), "hidden": 32},
    "alexnet": {"channels": (8, 16, 24, 16, 16), "hidden": None, "stem": "small"},
    "vgg": {"channels": (8, 16, 32), "convolutions": (1, 1, 1), "hidden": None},
    "densenet": {"growth": 8, "blocks": (2, 2), "width": 8, "stem": "small"},
}
STANDARD: dict[str, dict[int, dict[str, Any]]] = {
    "lenet": {61_706: {"in_channels": 1, "out_channels": 10}},
    "alexnet": {61_100_840: {}},
    "vgg": {
        132_868_840: {"convolutions": (1, 1, 2, 2, 2)},
        138_365_992: {},
        143_678_248: {"convolutions": (2, 2, 4, 4, 4)},
    },
    "densenet": {
        7_978_856: {},
        28_681_000: {"growth": 48, "blocks": (6, 12, 36, 24), "width": 96},
        14_149_480: {"blocks": (6, 12, 32, 32)},
        20_013_928: {"blocks": (6, 12, 48, 32)},
    },
}


def checks(family: str) -> dict[str, Any]:
    """The sheet's items for one family."""
    torch.manual_seed(0)
    sizes = {}
    for expected, settings in STANDARD[family].items():
        with torch.device("meta"):
            network = saccade.build(family, **settings)
        sizes[expected] = sum(p.numel() for p in network.parameters()) == expected
    accuracy, seconds = _blobs(_tiny(family, 3))
    return {
        "accept": {
            "parameters of the standard forms as published": sizes,
            "one step lowers the loss of a batch, 2D and 3D": [
                _step_helps(_tiny(family, dims), dims) for dims in (2, 3)
            ],
            "accuracy on volumes of one blob or two, at least 0.9": accuracy,
            "at least 0.9": accuracy >= 0.9,
            "training seconds, below 60": round(seconds, 1),
        }
    }


def _tiny(family: str, dims: int) -> nn.Module:
    torch.manual_seed(0)
    return saccade.build(family, in_channels=1, out_channels=2, spatial_dims=dims, **FAMILIES[family])


def _step_helps(network: nn.Module, dims: int) -> bool:
    """Whether a small step along the gradient lowers the loss of its batch."""
    x = torch.randn(8, 1, *(SIDE,) * dims, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(8) % 2
    before = functional.cross_entropy(network(x), targets)
    before.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
        return bool(functional.cross_entropy(network(x), targets) < before)


def _draw(generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Noisy volumes with one blob, or two of half its height: their sums tell nothing."""
    classes = torch.arange(count) % 2
    axis = torch.arange(SIDE) + 0.5
    volumes = 0.1 * torch.randn(count, 1, SIDE, SIDE, SIDE, generator=generator)
    for volume, kind in zip(volumes, classes, strict=True):
        # Two blobs lie on two sides of the middle along one axis, so that they never are one.
        middles = 6 + (SIDE - 12) * torch.rand(2, 3, generator=generator)
        if kind:
            middles[:, 0] = torch.tensor([5.0, SIDE - 5.0])
        for middle in middles[: int(kind) + 1]:
            lines = [torch.exp(-(((axis - place) / WIDTH) ** 2)) for place in middle]
            volume += torch.einsum("i,j,k->ijk", *lines) / (int(kind) + 1)
    return volumes, classes


def _blobs(network: nn.Module) -> tuple[float, float]:
    """Accuracy on other volumes after 120 steps of 8, and the seconds that those took."""
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    began = time.perf_counter()
    for _ in range(STEPS):
        x, targets = _draw(generator, BATCH)
        optimiser.zero_grad()
        functional.cross_entropy(network(x), targets).backward()
        optimiser.step()
    seconds = time.perf_counter() - began
    network.eval()
    x, targets = _draw(torch.Generator().manual_seed(10_000), TEST)
    with torch.inference_mode():
        said = torch.cat([network(part).argmax(1) for part in x.split(20)])
    return float((said == targets).float().mean()), seconds
