"""Seconds of one forward pass of Attention U-Net at the paper's shape (1 x 1 x 160 x 160 x 96, widths 16 to 256).

    python benchmarks/inference.py [--repeats 3] [--json FILE]

The network as it was trained, channels last, rearranged for inference (`saccade.networks.inference`), the same in
bfloat16 where the processor has it, and MONAI's AttentionUnet of the same channels (another, simpler network). Beside
the seconds: the share of the processor's own rate of matrix products that the convolutions' arithmetic reaches.
The script stops unless all forms of our network agree.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from monai.networks.nets import AttentionUnet

from saccade.layers.flops import count_flops
from saccade.networks import AttentionUNet
from saccade.networks.inference import for_inference
from saccade.tasks.environment import fast_bfloat16, machine

SHAPE, CLASSES = (1, 1, 160, 160, 96), 14
CHANNELS = (16, 32, 64, 128, 256)
MATRIX = 4096  # large enough for the rate to be at its best


def seconds_of(function: Callable[[], object], repeats: int) -> float:
    """The shortest of some runs."""
    taken = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def flops_of(network: torch.nn.Module, x: torch.Tensor) -> float:
    """Floating-point operations of one forward pass."""
    with count_flops() as counter:
        network(x)
    return float(counter.get_total_flops())


def matrix_rate(repeats: int) -> float:
    """Floating-point operations a second of a float32 matrix product."""
    a = torch.randn(MATRIX, MATRIX)
    return 2 * MATRIX**3 / seconds_of(lambda: a @ a, repeats)


def forms(network: torch.nn.Module) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """The forms of our network, the straightforward one first."""
    last = copy.deepcopy(network).to(memory_format=torch.channels_last_3d)
    fast = for_inference(network)
    found: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "as trained, float32": network,
        "channels last, float32": lambda x: last(x.contiguous(memory_format=torch.channels_last_3d)),
        "for inference, float32": fast,
    }
    if fast_bfloat16():

        def half(x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return fast(x)

        found["for inference, bfloat16"] = half
    return found


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    network, x = AttentionUNet(1, CLASSES, channels=CHANNELS).eval(), torch.randn(SHAPE)
    monai = AttentionUnet(3, 1, CLASSES, CHANNELS, (2,) * (len(CHANNELS) - 1)).eval()
    rate, work = matrix_rate(options.repeats), flops_of(network, x)
    print(f"{machine()}, {torch.get_num_threads()} threads; matrix products {rate / 1e9:.0f} GFLOP/s")
    rows, expected = {}, network(x)
    for name, form in forms(network).items():
        tolerance = 0.05 if "bfloat16" in name else 1e-4
        error = float((form(x).float() - expected).abs().max() / expected.abs().max())
        if error > tolerance:
            raise SystemExit(f"{name}: outputs must be equal, differ by {error:.1e} of the largest.")
        rows[name] = (seconds_of(lambda form=form: form(x), options.repeats), work)  # type: ignore[misc]
    rows["MONAI AttentionUnet, float32"] = (seconds_of(lambda: monai(x), options.repeats), flops_of(monai, x))
    first = next(iter(rows.values()))[0]
    print(f"{'form':32} {'seconds':>8} {'of first':>9} {'GFLOP':>7} {'of matrix rate':>15}")
    for name, (seconds, flops) in rows.items():
        print(f"{name:32} {seconds:8.2f} {seconds / first:9.2f} {flops / 1e9:7.0f} {flops / seconds / rate:15.0%}")
    if options.json:
        options.json.write_text(json.dumps({name: seconds for name, (seconds, _) in rows.items()}, indent=2))


if __name__ == "__main__":
    main()
