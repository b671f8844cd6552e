"""The small experiment of Subject2Vec: sets of digits whose primes are added up.

They are ready-made sets of patches, given to `saccade.networks.Subject2Vec` as they are.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from saccade.losses.subject import subject_loss
from saccade.networks import Subject2Vec, pad_sets
from saccade.networks.subject2vec import UniformAttention

SEEDS = range(3)
PRIMES = (2, 3, 5, 7)
TEST_SETS, TEST_SEED = 300, 10_000
RATE, SPREAD_WEIGHT = 2e-3, 1e-4
Sets = tuple[list[Tensor], Tensor, list[np.ndarray]]  # patches of each set, targets, and which of them count
Draw = Callable[[np.random.Generator, int, bool], Sets]


@cache
def digits() -> tuple[Tensor, np.ndarray]:
    """Scikit-learn's 8 x 8 digits from 0 to 1, in an order of their own, so that the last third can be held out."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    return torch.from_numpy(data.images[order] / 16).float()[:, None], data.target[order]


def draw_digits(rng: np.random.Generator, count: int, test: bool) -> Sets:
    """Sets of 10 to 39 digits; the target is the sum of the primes among them."""
    images, values = digits()
    held_out = len(values) * 2 // 3
    first, last = (held_out, len(values)) if test else (0, held_out)
    chosen = [rng.integers(first, last, rng.integers(10, 40)) for _ in range(count)]
    prime = [np.isin(values[one], PRIMES) for one in chosen]
    sums = [float(values[one][p].sum()) for one, p in zip(chosen, prime, strict=True)]
    return [images[one] for one in chosen], torch.tensor(sums), prime


def learn(
    draw: Draw,
    seed: int,
    *,
    steps: int,
    dims: int,
    channels: tuple[int, ...],
    reconstruction: float,
    attention: bool = True,
    by_count: bool = False,
) -> dict[str, Any]:
    """Train on freshly drawn sets, four a step, and test on others: R2, attention on those that count, invariance."""
    torch.manual_seed(seed)
    network = Subject2Vec(1, 1, spatial_dims=dims, channels=channels, scale_by_count=by_count)
    if not attention:
        network.discriminative.attention = UniformAttention()
    rng = np.random.default_rng(seed)
    known = draw(rng, 200, False)[1]
    mean, deviation = known.mean(), known.std()
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for _ in range(steps):
        sets, targets, _ = draw(rng, 4, False)
        patches, mask = pad_sets(sets)
        found = network.describe(patches, mask)
        task = (found.prediction[:, 0] - (targets - mean) / deviation).square().mean()
        loss = subject_loss(
            task, patches, found.reconstruction, found.weights, mask,
            reconstruction_weight=reconstruction, spread_weight=SPREAD_WEIGHT,
        )  # fmt: skip
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return _score(network.eval(), draw, float(mean), float(deviation))


@torch.inference_mode()
def _score(network: Subject2Vec, draw: Draw, mean: float, deviation: float) -> dict[str, Any]:
    rng = np.random.default_rng(TEST_SEED)
    said, truth, ratios, change = [], [], [], 0.0
    for _ in range(TEST_SETS // 20):
        sets, targets, counts = draw(rng, 20, True)
        patches, mask = pad_sets(sets)
        found = network.describe(patches, mask)
        said += (found.prediction[:, 0] * deviation + mean).tolist()
        truth += targets.tolist()
        for weights, there, which in zip(found.weights, mask, counts, strict=True):
            if 0 < which.sum() < which.size:
                own = weights[there].numpy()
                ratios.append(own[which].mean() / own[~which].mean())
        order = torch.from_numpy(rng.permutation(patches.shape[1]))
        shuffled = network(patches[:, order], mask[:, order])
        change = max(change, float((shuffled - found.prediction).abs().max()))
    error = np.square(np.subtract(truth, said)).sum() / np.square(truth - np.mean(truth)).sum()
    return {"r2": float(1 - error), "attention_ratio": float(np.mean(ratios)), "permutation_changes": change}


def run_digits() -> dict[str, Any]:
    """The sum of primes, by five networks."""
    arms: dict[str, dict[str, Any]] = {
        "attention x N": {"by_count": True},
        "attention x N, without reconstruction": {"by_count": True, "reconstruction": 0.0},
        "uniform x N": {"by_count": True, "attention": False},
        "attention": {},
        "uniform": {"attention": False},
    }
    shared: dict[str, Any] = {"steps": 600, "dims": 2, "channels": (8, 16, 32), "reconstruction": 0.1}
    return {name: [learn(draw_digits, seed, **{**shared, **arm}) for seed in SEEDS] for name, arm in arms.items()}
