"""The small experiment of Attention U-Net: one ring-textured disc among four plain ones, with and without gates.

Reported beside the hippocampus study, as ``attention-unet-look-alikes.json``. Half of the plain discs are as bright as
the bright rings, half as dark as the dark ones, on a ground between the two: all discs together hold the values that
the target holds, so brightness cannot tell them apart. The shortcut baseline says how far brightness and position get.
"""

import argparse
from typing import Any

import numpy as np
import torch
from common import write_record
from torch import Tensor
from torch.nn import functional

from saccade.attention.tap import record
from saccade.losses import dice_loss
from saccade.networks import AttentionUNet, UNet

SIZE, RADIUS, LOOK_ALIKES, NOISE = 64, 7, 4, 0.15
STEPS, BATCH, RATE, SEEDS, TEST_IMAGES = 250, 8, 2e-3, 3, 64
CHANNELS = (8, 16, 32)
TARGET, LOOK_ALIKE = 1, 2


def draw(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image and its map of target (1) and look-alikes (2); discs do not touch."""
    centres: list[np.ndarray] = []
    while len(centres) < 1 + LOOK_ALIKES:
        new = generator.uniform(RADIUS + 1, SIZE - RADIUS - 1, 2)
        if all(np.linalg.norm(new - old) > 2 * RADIUS + 2 for old in centres):
            centres.append(new)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    image, kinds = generator.normal(0.5, NOISE, (SIZE, SIZE)), np.zeros((SIZE, SIZE), dtype=np.int64)
    for number, centre in enumerate(centres):
        distance = np.hypot(rows - centre[0], columns - centre[1])
        inside = distance < RADIUS
        bright = np.sin(distance * 2.2) > 0 if number == 0 else np.full(image.shape, number % 2 == 0)
        image[inside] += np.where(bright, 0.5, -0.5)[inside]
        kinds[inside] = TARGET if number == 0 else LOOK_ALIKE
    return image.astype(np.float32), kinds


def batch(generator: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Images (count, 1, 64, 64) and kinds (count, 64, 64)."""
    drawn = [draw(generator) for _ in range(count)]
    return torch.tensor(np.stack([image for image, _ in drawn]))[:, None], torch.tensor(np.stack([k for _, k in drawn]))


def make_network(gated: bool) -> torch.nn.Module:
    """The network with or without gates."""
    common: dict[str, Any] = {"spatial_dims": 2, "channels": CHANNELS, "deep_supervision": False}
    return AttentionUNet(1, 2, **common) if gated else UNet(1, 2, **common)


def dice_of(found: np.ndarray, truth: np.ndarray) -> float:
    """Dice of two boolean arrays."""
    return float(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))


def train_and_test(gated: bool, seed: int) -> dict[str, Any]:
    """Dice per test image and, for the gated network, the mean coefficients on target, look-alikes and background."""
    torch.manual_seed(seed)
    network, data = make_network(gated), np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    for _ in range(STEPS):
        image, kinds = batch(data, BATCH)
        optimiser.zero_grad()
        dice_loss(network(image), (kinds == TARGET).long()).backward()
        optimiser.step()
    image, kinds = batch(np.random.default_rng(10_000 + seed), TEST_IMAGES)
    with torch.inference_mode(), record(network.eval()) as maps:
        found = network(image).argmax(1).numpy() == 1
    result: dict[str, Any] = {
        "dice": [dice_of(f, k == TARGET) for f, k in zip(found, kinds.numpy(), strict=True)],
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    if gated:
        gates = torch.stack([m.tensor.mean(1) for m in maps.values()]).mean(0)
        alpha = functional.interpolate(gates[:, None], kinds.shape[1:], mode="bilinear")[:, 0]
        places = {"target": kinds == TARGET, "look_alikes": kinds == LOOK_ALIKE, "background": kinds == 0}
        result["mean_coefficient"] = {name: float(alpha[mask].mean()) for name, mask in places.items()}
    return result


def shortcut() -> dict[str, float]:
    """Best window of brightness, and a disc at the mean position: what needs no network."""
    image, kinds = batch(np.random.default_rng(1), TEST_IMAGES)
    pixels, truth = image[:, 0].numpy(), kinds.numpy() == TARGET
    levels = [-np.inf, *np.linspace(0, 1, 11), np.inf]
    best = max(
        np.mean([dice_of((p > low) & (p < high), t) for p, t in zip(pixels, truth, strict=True)])
        for low in levels
        for high in levels
        if low < high
    )
    middle = np.hypot(*(np.mgrid[:SIZE, :SIZE] - SIZE / 2)) < RADIUS
    return {"window of brightness": float(best), "mean position": float(np.mean([dice_of(middle, t) for t in truth]))}


def attention_unet(options: argparse.Namespace) -> None:
    """Fill attention-unet-look-alikes.json."""
    gated = [train_and_test(True, seed) for seed in range(SEEDS)]
    plain = [train_and_test(False, seed) for seed in range(SEEDS)]
    with_gates, without = (float(np.mean([r["dice"] for r in runs])) for runs in (gated, plain))
    ratios = [r["mean_coefficient"]["target"] / r["mean_coefficient"]["look_alikes"] for r in gated]
    record_ = {
        "control": "the same U-Net without gates",
        "task": "segmentation of simulated images",
        "paper": "Oktay et al. 2018, arXiv:1804.03999",
        "data": {"name": "ring-textured disc among four plain discs, simulated", "licence": "made by the script"},
        "metric": "Dice of the target disc, 64 test images a seed",
        "seeds": SEEDS,
        "score": with_gates,
        "control_score": without,
        "difference": with_gates - without,
        "per_seed": {"with gates": [float(np.mean(r["dice"])) for r in gated],
                     "without": [float(np.mean(r["dice"])) for r in plain]},
        "mean_coefficients": [r["mean_coefficient"] for r in gated],
        "coefficient_target_over_look_alikes": ratios,
        "parameters": {"with gates": gated[0]["parameters"], "without": plain[0]["parameters"]},
        "accept": {
            "Dice with gates at least 0.95": with_gates >= 0.95,
            "Dice with gates at least that without minus 0.01": with_gates >= without - 0.01,
            "coefficients on target at least twice those on look-alikes": float(np.mean(ratios)) >= 2,
        },
        "shortcut_baselines": shortcut(),
    }  # fmt: skip
    write_record("attention-unet-look-alikes", record_)
