"""The small experiments of squeeze-and-excitation, ECA, CBAM and BAM: means of channels, and counting dots."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sheets import TEST_SEED, Batch, accuracy, learn, parameters
from torch import nn
from torch.nn import functional

from saccade.attention import BAM, CBAM, EfficientChannelAttention, SqueezeExcitation
from saccade.attention.eca import adaptive_kernel_size
from saccade.attention.tap import record
from saccade.networks import ResNet, put_between

SEEDS = range(3)
CHANNELS, SIDE, HIGHER = 8, 16, 0.15
DOTS_SIDE, MOST_DOTS, BRIGHT, CLUTTER = 32, 3, 2.0, 0.6
SMALL: dict[str, Any] = {"channels": (8, 16, 32), "blocks": (1, 1, 1), "stem": "small"}
Sheet = dict[str, Any]


def draw_means(generator: torch.Generator, count: int) -> Batch:
    """Noise of which one of eight channels has a slightly higher mean: that channel is the class."""
    classes = torch.randint(CHANNELS, (count,), generator=generator)
    noise = torch.randn(count, CHANNELS, SIDE, SIDE, generator=generator)
    return (noise + HIGHER * functional.one_hot(classes, CHANNELS)[:, :, None, None],), classes


def means() -> Sheet:
    """Squeeze-and-excitation and its ablations, and ECA, against the same ResNet without."""
    attention: dict[str, Callable[[int], nn.Module] | None] = {
        "none": None,
        "SE": lambda c: SqueezeExcitation(c, reduction=4),
        "SE, maximum squeeze": lambda c: SqueezeExcitation(c, reduction=4, squeeze="max"),
        "SE, ReLU gate": lambda c: SqueezeExcitation(c, reduction=4, gate_activation=nn.ReLU),
        "ECA": EfficientChannelAttention,
        "ECA, a kernel for each channel": lambda c: EfficientChannelAttention(c, shared=False),
    }
    errors: dict[str, list[float]] = {name: [] for name in attention}
    sizes, spreads = {}, []
    for name, make in attention.items():
        for seed in SEEDS:
            torch.manual_seed(seed)
            network = ResNet(CHANNELS, CHANNELS, attention=make, **SMALL)
            learn(network, draw_means, steps=120, seed=seed)
            errors[name].append(1 - accuracy(network, draw_means, seed=seed))
            sizes[name] = parameters(network)
            if name == "SE":
                spreads.append(_spread_over_classes(network))
    mean = {name: float(np.mean(found)) for name, found in errors.items()}
    return {
        "error": errors,
        "mean_error": mean,
        "parameters": sizes,
        "spread_of_the_last_gate_over_classes": spreads,
        "accept": {
            "se-resnet": {
                "error at most that without": mean["SE"] <= mean["none"],
                "the last gate's standard deviation over classes is at least 0.05": min(spreads) >= 0.05,
            },
            "eca-resnet": {
                "error at most that without": mean["ECA"] <= mean["none"],
                "error within 0.02 of SE's": abs(mean["ECA"] - mean["SE"]) <= 0.02,
                "adds less than 0.1 % of parameters": sizes["ECA"] / sizes["none"] - 1 < 1e-3,
            },
        },
    }


@torch.inference_mode()
def _spread_over_classes(network: nn.Module) -> float:
    """Standard deviation over classes of a channel's mean gate in the last block, averaged over channels."""
    inputs, classes = draw_means(torch.Generator().manual_seed(TEST_SEED), 1000)
    with record(network) as maps:
        network(*inputs)
    gates = [found.tensor for found in maps.values()][-1]
    return float(torch.stack([gates[classes == c].mean(0) for c in range(CHANNELS)]).std(0).mean())


def draw_dots(generator: torch.Generator, count: int) -> Batch:
    """Smooth clutter with 0 to 3 bright pixels: how many, is the class."""
    image, dots = _dotted(generator, count)
    return (image,), dots.flatten(1).sum(1).long()


def _dotted(generator: torch.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (count, 1, 32, 32) and where their dots are."""
    coarse = torch.randn(count, 1, 8, 8, generator=generator)
    clutter = functional.interpolate(coarse, (DOTS_SIDE, DOTS_SIDE), mode="bilinear") * CLUTTER
    noise = 0.1 * torch.randn(clutter.shape, generator=generator)
    number = torch.randint(MOST_DOTS + 1, (count, 1), generator=generator)
    order = torch.rand(count, DOTS_SIDE**2, generator=generator).argsort(1).argsort(1)
    dots = (order < number).float().reshape(clutter.shape)
    return clutter + noise + BRIGHT * dots, dots


def dots() -> Sheet:
    """CBAM with one or both pools, BAM in both forms and squeeze-and-excitation, against the same ResNet without."""
    attention: dict[str, Callable[[int], nn.Module] | None] = {
        "none": None,
        "SE": lambda c: SqueezeExcitation(c, reduction=4),
        "CBAM, average": lambda c: CBAM(c, reduction=4, pools=("average",)),
        "CBAM, maximum": lambda c: CBAM(c, reduction=4, pools=("max",)),
        "CBAM": lambda c: CBAM(c, reduction=4),
        "BAM, sum": lambda c: BAM(c, reduction=4),
        "BAM, product": lambda c: BAM(c, reduction=4, combine="product"),
    }
    errors: dict[str, list[float]] = {name: [] for name in attention}
    losses: dict[str, list[float]] = {name: [] for name in attention}
    ratios = []
    for name, make in attention.items():
        for seed in SEEDS:
            torch.manual_seed(seed)
            behind_stages = name.startswith("BAM")
            network = ResNet(1, MOST_DOTS + 1, attention=None if behind_stages else make, **SMALL)
            if behind_stages:
                assert make is not None
                put_between(network, make, {1: [0], 2: [0]})
            losses[name].append(learn(network, draw_dots, steps=100, seed=seed, batch=32))
            errors[name].append(1 - accuracy(network, draw_dots, seed=seed))
            if name == "CBAM":
                ratios.append(_gate_on_dots(network))
    mean = {name: float(np.mean(found)) for name, found in errors.items()}
    return {
        "error": errors,
        "mean_error": mean,
        "last_loss": losses,
        "spatial_gate_on_dots_over_elsewhere": ratios,
        "accept": {
            "cbam-resnet": {
                "every variant trains to a finite loss": bool(np.isfinite(list(losses.values())).all()),
                "error at most that without": mean["CBAM"] <= mean["none"],
                "the first spatial gate on dots is at least 1.3 times that elsewhere": float(np.mean(ratios)) >= 1.3,
            },
        },
    }


@torch.inference_mode()
def _gate_on_dots(network: nn.Module) -> float:
    """Mean of the first block's spatial gate on dots over its mean elsewhere."""
    image, where = _dotted(torch.Generator().manual_seed(TEST_SEED), 400)
    with record(network) as maps:
        network(image)
    gate = maps["layer1.0.attention.spatial.map"].tensor
    return float(gate[where > 0].mean() / gate[where == 0].mean())


def _zeroed(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module.eval()


@torch.inference_mode()
def exact_se() -> dict[str, bool]:
    """What holds for any weights."""
    torch.manual_seed(0)
    x = torch.randn(2, 32, 7, 5)
    gate = SqueezeExcitation(32, reduction=4)
    shuffled = x.flatten(2)[:, :, torch.randperm(35)].reshape(x.shape)
    return {
        "with zero weights the output is half the input": torch.equal(_zeroed(SqueezeExcitation(32))(x), 0.5 * x),
        "permuted positions leave the gate as it is": torch.allclose(gate.gate(x), gate.gate(shuffled), atol=1e-6),
        "it has 2 C^2 / r weights": parameters(SqueezeExcitation(32, reduction=4, bias=False)) == 2 * 32**2 // 4,
    }


@torch.inference_mode()
def exact_eca() -> dict[str, bool]:
    """The table of kernel sizes, and what one kernel does."""
    torch.manual_seed(0)
    sizes = {16: 3, 32: 3, 64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}
    x, gate = torch.randn(2, 16, 7, 5), EfficientChannelAttention(16)
    gate.conv.weight.copy_(torch.tensor([[[0.0, 1.7, 0.0]]]))
    return {
        "the paper's kernel sizes": all(adaptive_kernel_size(c) == k for c, k in sizes.items()),
        "k weights and no other": all(parameters(EfficientChannelAttention(c)) == k for c, k in sizes.items()),
        "a kernel of one number gates each channel by its own mean": torch.allclose(
            gate.gate(x), torch.sigmoid(1.7 * x.mean((2, 3))), atol=1e-6
        ),
    }


@torch.inference_mode()
def exact_cbam() -> dict[str, bool]:
    """CBAM and BAM without weights, and the number that CBAM has."""
    torch.manual_seed(0)
    x, c, r = torch.randn(2, 32, 7, 5), 32, 4
    return {
        "CBAM with zero weights gives a quarter of the input": torch.equal(_zeroed(CBAM(c, reduction=r))(x), 0.25 * x),
        "BAM with zero weights gives 1.5 times the input": torch.equal(_zeroed(BAM(c, reduction=r))(x), 1.5 * x),
        "CBAM has 2 C^2 / r + C / r + C + 98 + 2 parameters": parameters(CBAM(c, reduction=r))
        == 2 * c * c // r + c // r + c + 98 + 2,
    }
