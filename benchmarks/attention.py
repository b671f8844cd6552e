"""What attention costs: every mechanism in 2D and 3D, and the non-local forms against the plane of all pairs.

    python benchmarks/attention.py [--part mechanisms|non-local|sizes|volume] [--repeats 3] [--json FILE]

"mechanisms": milliseconds and memory of a forward and a backward pass, parameters, and the arithmetic of a forward pass
(matrix products and convolutions; float32) on 64 channels. "non-local": the four forms on 128 x 128 positions, as they
are and through the map of all pairs; "sizes": the two ways of the gaussian forms at several sizes; the script stops
unless outputs and all gradients agree to 1e-5. "volume": the concatenation form on 64 x 64 x 64 positions.
Memory is what a process of its own held beyond what it held before the passes.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saccade import attention
from saccade.attention.non_local import PAIRWISE
from saccade.attention.pairwise.base import apply_weights
from saccade.attention.pairwise.softmax import fused_is_faster
from saccade.layers.flops import count_flops
from saccade.tasks.environment import machine, peak_memory_bytes

CHANNELS = 64
SPACES = {2: (64, 64), 3: (16, 16, 16)}
TOLERANCE = 1e-5
LARGE = (128, 128)
VOLUME = (64, 64, 64)
# Positions and channels at which the two ways of the gaussian forms are held against each other.
SIZES = ((64, 64), (256, 64), (1024, 64), (1024, 512), (2048, 64), (2048, 512), (3072, 64), (4096, 64), (4096, 512))
SECONDS = 2.0

Inputs = Callable[[int], tuple[Tensor, ...]]


def features(dims: int) -> tuple[Tensor, ...]:
    """Feature maps."""
    return (torch.randn(1, CHANNELS, *SPACES[dims]),)


def gated(dims: int) -> tuple[Tensor, ...]:
    """Feature maps, and a gating signal on a grid twice as coarse."""
    return *features(dims), torch.randn(1, CHANNELS, *(n // 2 for n in SPACES[dims]))


def tokens(dims: int) -> tuple[Tensor, ...]:
    """The positions of the same feature maps as a sequence."""
    return (features(dims)[0].flatten(2).mT.contiguous(),)


def asked(dims: int) -> tuple[Tensor, ...]:
    """A state that asks, and tokens."""
    return torch.randn(1, CHANNELS), *tokens(dims)


def seen(dims: int) -> tuple[Tensor, ...]:
    """Tokens, and a state that looks at them."""
    return *tokens(dims), torch.randn(1, CHANNELS)


def located(dims: int) -> tuple[Tensor, ...]:
    """Feature maps, and a place to look at."""
    return *features(dims), torch.zeros(1, dims)


class Means(nn.Module):
    """The smallest localisation network: the mean of every channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


# One line for each mechanism: how it is built for so many dimensions, and what it is fed.
MECHANISMS: dict[str, tuple[Callable[[int], nn.Module], Inputs]] = {
    "AttentionGate": (lambda d: attention.AttentionGate(CHANNELS, CHANNELS, spatial_dims=d), gated),
    "SqueezeExcitation": (lambda d: attention.SqueezeExcitation(CHANNELS), features),
    "SpatialSqueezeExcitation": (lambda d: attention.SpatialSqueezeExcitation(CHANNELS), features),
    "ConcurrentSqueezeExcitation": (lambda d: attention.ConcurrentSqueezeExcitation(CHANNELS), features),
    "ProjectExcitation": (lambda d: attention.ProjectExcitation(CHANNELS), features),
    "EfficientChannelAttention": (lambda d: attention.EfficientChannelAttention(CHANNELS), features),
    "CBAM": (lambda d: attention.CBAM(CHANNELS, spatial_dims=d), features),
    "BAM": (lambda d: attention.BAM(CHANNELS, spatial_dims=d), features),
    "SCA": (lambda d: attention.SCA(CHANNELS), features),
    **{
        f"NonLocal, {form}": (
            lambda d, form=form: attention.NonLocal(CHANNELS, pairwise=form, spatial_dims=d),
            features,
        )
        for form in PAIRWISE
    },
    "SelfAttention": (lambda d: attention.SelfAttention(CHANNELS, spatial_dims=d), features),
    "MultiHeadAttention": (lambda d: attention.MultiHeadAttention(CHANNELS), tokens),
    "TransformerEncoderLayer": (lambda d: attention.TransformerEncoderLayer(CHANNELS), tokens),
    "AdditiveAttention": (lambda d: attention.AdditiveAttention(CHANNELS, CHANNELS), asked),
    "MultiplicativeAttention": (lambda d: attention.MultiplicativeAttention(CHANNELS), asked),
    "VisualAttention": (lambda d: attention.VisualAttention(CHANNELS, CHANNELS), seen),
    "SpatialTransformer": (lambda d: attention.SpatialTransformer(Means(), CHANNELS, spatial_dims=d), features),
    "GlimpseSensor": (lambda d: attention.GlimpseSensor(8, scales=3, spatial_dims=d, differentiable=True), located),
}


class ThroughTheMap(nn.Module):
    """A non-local block computed straightforwardly: the plane of all pairs, then its product with the values."""

    def __init__(self, block: attention.NonLocal) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        theta, phi, g = (z.flatten(2) for z in self.block.embed(x))
        y = apply_weights(self.block.pairwise.weights(theta, phi), g)
        return self.block.transform(y.reshape(*y.shape[:2], *x.shape[2:])) + x


def one_pass(module: nn.Module, inputs: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
    """Seconds of a forward and backward pass, and the output with the gradients of inputs and weights."""
    leaves = [x.requires_grad_() for x in inputs]
    began = time.perf_counter()
    y = module(*leaves)
    gradients = torch.autograd.grad(y.square().sum(), [*leaves, *module.parameters()], allow_unused=True)
    seconds = time.perf_counter() - began
    return seconds, [y.detach(), *(g for g in gradients if g is not None)]


def fastest(modules: Sequence[nn.Module], inputs: Sequence[Tensor], repeats: int) -> list[float]:
    """Seconds of the fastest pass of each module; they take turns, so many times and for at least `SECONDS`."""
    best, began, turns = [float("inf")] * len(modules), time.perf_counter(), 0
    while turns < repeats or time.perf_counter() - began < SECONDS:
        best = [min(b, one_pass(module, inputs)[0]) for b, module in zip(best, modules, strict=True)]
        turns += 1
    return best


def measured(module: nn.Module, inputs: Sequence[Tensor], repeats: int) -> dict[str, float]:
    """Cost of one mechanism."""
    with count_flops() as counter, torch.no_grad():
        module(*inputs)
    before = peak_memory_bytes()
    (seconds,) = fastest([module], inputs, repeats)
    parameters = sum(p.numel() for p in module.parameters())
    return {
        "ms": 1e3 * seconds,
        "megabytes": (peak_memory_bytes() - before) / 1e6,
        "parameters": parameters,
        "mflop": counter.get_total_flops() / 1e6,
    }


def cost_of(name: str, dims: int, repeats: int) -> dict[str, float]:
    """Cost of one row of the table."""
    make, inputs = MECHANISMS[name]
    return measured(make(dims).eval(), inputs(dims), repeats)  # one item has no batch statistics


def random_block(form: str, channels: int, space: Sequence[int]) -> attention.NonLocal:
    """A block that is not the identity, in evaluation mode."""
    torch.manual_seed(0)
    block = attention.NonLocal(channels, pairwise=form, spatial_dims=len(space))
    for parameter in block.transform[1].parameters():
        nn.init.normal_(parameter)
    return block.eval()


def difference(ours: Sequence[Tensor], theirs: Sequence[Tensor], names: Sequence[str]) -> float:
    """The largest difference, of the largest number of each tensor; of a bias, of its weight's gradient at least.

    What a softmax takes no notice of (the bias of the keys) has a gradient of rounding errors alone.
    """
    largest = {name: b.abs().max().item() for name, b in zip(names, theirs, strict=True)}
    scale = {name: max(largest[name], largest.get(name.replace(".bias", ".weight"), 0.0)) for name in names}
    return max(
        (a - b).abs().max().item() / scale[name] for name, a, b in zip(names, ours, theirs, strict=True) if scale[name]
    )


def compared(form: str, channels: int, space: Sequence[int], repeats: int) -> dict[str, float]:
    """Our way, then the straightforward one, on the same block and numbers.

    Raises:
        ValueError: If they differ.
    """
    block, x = random_block(form, channels, space), torch.randn(1, channels, *space)
    if form == "gaussian":
        x /= channels**0.5  # logits of about one, as the embedded form has them
    names = ["output", "input", *(name for name, _ in block.named_parameters())]
    memory, ways, results = [peak_memory_bytes()], [block, ThroughTheMap(block)], []
    for way in ways:
        results.append(one_pass(way, [x])[1])
        memory.append(peak_memory_bytes() - memory[0])
    error = difference(*results, names)
    if error > TOLERANCE:
        raise ValueError(f"{form}: results must be equal, differ by {error:.1e}.")
    seconds, plain = fastest(ways, [x], repeats)
    embedded = [z.flatten(2) for z in block.embed(x)]
    return {
        "ms": 1e3 * seconds,
        "megabytes": memory[1] / 1e6,
        "plain_ms": 1e3 * plain,
        "plain_megabytes": memory[2] / 1e6,
        "ratio": plain / seconds,
        "error": error,
        "fused": "gaussian" in form and fused_is_faster(*embedded),
    }


def volume_of(repeats: int) -> dict[str, float]:
    """The concatenation form on a volume of which no map could be held."""
    block, x = random_block("concatenation", CHANNELS, VOLUME), torch.randn(1, CHANNELS, *VOLUME)
    found = one_pass(block, [x])[1]
    if not all(value.isfinite().all() for value in found):
        raise ValueError("concatenation: results must be finite.")
    (seconds,) = fastest([block], [x], repeats)
    return {"ms": 1e3 * seconds, "process_megabytes": peak_memory_bytes() / 1e6}


def in_a_process_of_its_own(function: Callable[..., dict], *arguments: Any) -> dict:
    """What the function gives in a fresh process: its memory is then its own."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["mechanisms", "non-local", "sizes", "volume"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    parts = [given.part] if given.part else ["mechanisms", "non-local", "sizes", "volume"]
    found: dict[str, dict] = {"machine": {"name": machine(), "threads": torch.get_num_threads()}}
    print(f"{machine()}, {torch.get_num_threads()} threads, float32, forward and backward")
    if "mechanisms" in parts:
        print(f"\n{f'{CHANNELS} channels':34}{'ms':>9}{'MB':>8}{'parameters':>12}{'MFLOP forward':>15}")
        for name in MECHANISMS:
            for dims, space in SPACES.items():
                row = in_a_process_of_its_own(cost_of, name, dims, given.repeats)
                found[f"{name}, {dims}D"] = row
                label = f"{name}, {' x '.join(map(str, space))}"
                print(
                    f"{label:44}{row['ms']:9.1f}{row['megabytes']:8.0f}{row['parameters']:12.0f}{row['mflop']:12.1f}",
                    flush=True,
                )
    heading = f"\n{'':32}{'ms':>9}{'MB':>8}{'map: ms':>10}{'MB':>8}{'ratio':>8}{'differ':>10}"
    if "non-local" in parts:
        print(heading)
        for form in PAIRWISE:
            row = in_a_process_of_its_own(compared, form, CHANNELS, LARGE, given.repeats)
            found[f"NonLocal, {form}, {prod(LARGE)} positions"] = row
            print_ratio(f"{form}, {prod(LARGE)} x {CHANNELS}", row)
    if "sizes" in parts:
        print(heading)
        for positions, channels in SIZES:
            row = in_a_process_of_its_own(compared, "embedded_gaussian", channels, (positions,), given.repeats)
            found[f"NonLocal, embedded_gaussian, {positions} positions, {channels} channels"] = row
            print_ratio(f"{positions} x {channels}, {'fused' if row['fused'] else 'map'}", row)
    if "volume" in parts:
        row = found["NonLocal, concatenation, 64 x 64 x 64"] = in_a_process_of_its_own(volume_of, given.repeats)
        print(
            f"\nconcatenation, {' x '.join(map(str, VOLUME))}, {CHANNELS} channels: {row['ms'] / 1e3:.1f} s, "
            f"the whole process {row['process_megabytes']:.0f} MB; the map would take "
            f"{4 * prod(VOLUME) ** 2 / 2**30:.0f} GiB"
        )
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


def print_ratio(label: str, row: dict) -> None:
    """One line of our way against the map."""
    print(
        f"{label:32}{row['ms']:9.1f}{row['megabytes']:8.0f}{row['plain_ms']:10.1f}{row['plain_megabytes']:8.0f}"
        f"{row['ratio']:8.1f}{row['error']:10.1e}",
        flush=True,
    )


if __name__ == "__main__":
    main()
