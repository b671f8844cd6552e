"""The small experiments of SCA and of non-local blocks: reading out by a query, and glyphs in opposite corners."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sheets import TEST_SEED, Batch, Draw, accuracy, learn
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from saccade.attention import SCA, NonLocal
from saccade.attention.tap import record

SEEDS = range(3)
Sheet = dict[str, Any]

COLOURS = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [1.0, 1.0, 0]])
TO_LEARN = 1300  # digits, of 1,797; the others are for the test
ORDERS = {"channel, then spatial": "channel-spatial", "spatial, then channel": "spatial-channel"}


class ReadOut(nn.Module):
    """Two convolutions, SCA steered by the query (or a part of it, or none), the mean, a linear layer."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.variant = variant
        parts: list[nn.Module] = []
        for into, out in ((3, 16), (16, 32)):
            parts += [nn.Conv2d(into, out, 3, 2, 1), nn.BatchNorm2d(out), nn.ReLU()]
        self.features = nn.Sequential(*parts)
        self.attention = SCA(32, inner_channels=64, hidden_size=4, order=ORDERS.get(variant, "channel-spatial"))
        self.last = nn.Linear(36 if variant == "none" else 32, 10)

    def forward(self, image: Tensor, query: Tensor) -> Tensor:
        seen = self.features(image)
        if self.variant == "none":
            return self.last(torch.cat([seen.mean((2, 3)), query], 1))
        if self.variant == "channel":
            seen = seen * self.attention.channel_weights(seen, query)[:, :, None, None] * seen.shape[1]
        elif self.variant == "spatial":
            seen = seen * self.attention.spatial_weights(seen, query) * seen[0, 0].numel()
        else:
            seen = self.attention(seen, query)
        return self.last(seen.mean((2, 3)))


def coloured_digits(first: int, last: int) -> Draw:
    """Four digits in the four quarters of an image, each of another colour; the query names the colour."""
    found = load_digits()
    pictures = torch.tensor(found.images[first:last] / 16, dtype=torch.float32)
    names = torch.tensor(found.target[first:last])

    def draw(generator: torch.Generator, count: int) -> Batch:
        images, query, classes, _ = _quartered(pictures, names, generator, count)
        return (images, query), classes

    return draw


def _quartered(
    pictures: Tensor, names: Tensor, generator: torch.Generator, count: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, queries, the digits asked for, and the quarters (0 to 3) they are in."""
    which = torch.randint(len(pictures), (count, 4), generator=generator)
    colour = torch.rand(count, 4, generator=generator).argsort(1)
    shift = torch.randint(9, (count, 4, 2), generator=generator)
    images = torch.zeros(count, 3, 32, 32)
    for n in range(count):
        for quarter in range(4):
            i = 16 * (quarter // 2) + int(shift[n, quarter, 0])
            j = 16 * (quarter % 2) + int(shift[n, quarter, 1])
            tint = COLOURS[colour[n, quarter]][:, None, None]
            images[n, :, i : i + 8, j : j + 8] = tint * pictures[which[n, quarter]]
    asked = torch.randint(4, (count,), generator=generator)
    place = (colour == asked[:, None]).float().argmax(1)
    classes = names[which[torch.arange(count), place]]
    return images, functional.one_hot(asked, 4).float(), classes, place


def by_query() -> Sheet:
    """SCA in both orders and its halves against the query put beside the pooled features."""
    train, test = coloured_digits(0, TO_LEARN), coloured_digits(TO_LEARN, 1797)
    scores: dict[str, list[float]] = {}
    inside = []
    for variant in ("none", "channel", "spatial", *ORDERS):
        scores[variant] = []
        for seed in SEEDS:
            torch.manual_seed(seed)
            network = ReadOut(variant)
            learn(network, train, steps=300, seed=seed)
            scores[variant].append(accuracy(network, test, seed=seed))
            if variant == "channel, then spatial":
                inside.append(_inside_the_quarter(network))
    mean = {name: float(np.mean(found)) for name, found in scores.items()}
    return {
        "accuracy": scores,
        "mean_accuracy": mean,
        "spatial_weight_in_the_quarter_asked_for": inside,
        "accept": {
            "sca-resnet": {
                "accuracy at least 0.10 above none": mean["channel, then spatial"] >= mean["none"] + 0.10,
                "half of the spatial weight or more in the quarter asked for": float(np.mean(inside)) >= 0.5,
            },
        },
    }


@torch.inference_mode()
def _inside_the_quarter(network: ReadOut) -> float:
    found = load_digits()
    pictures = torch.tensor(found.images[TO_LEARN:] / 16, dtype=torch.float32)
    names = torch.tensor(found.target[TO_LEARN:])
    images, query, _, place = _quartered(pictures, names, torch.Generator().manual_seed(TEST_SEED), 500)
    with record(network) as maps:
        network(images, query)
    quarters = maps["attention.spatial_map"].tensor.reshape(-1, 2, 4, 2, 4).sum((2, 4)).flatten(1)
    return float(quarters[torch.arange(len(place)), place].mean())


@torch.inference_mode()
def exact_sca() -> dict[str, bool]:
    """Weights that sum to one, and uniform ones that change nothing."""
    torch.manual_seed(0)
    x, h, sca = torch.randn(2, 32, 8, 8), torch.randn(2, 4), SCA(32, inner_channels=16, hidden_size=4)
    sums = sca.channel_weights(x, h).sum(1), sca.spatial_weights(x, h).sum((1, 2, 3))
    for part in (sca.channel, sca.spatial):
        nn.init.zeros_(part.out_weight)
    return {
        "channel and spatial weights sum to one": all(torch.allclose(s, torch.ones(2), atol=1e-5) for s in sums),
        "uniform weights leave the input as it is": torch.equal(sca(x, h), x),
    }


SIDE, CORNER, GLYPHS = 12, 4, 6
FORMS: dict[str, Callable[[], nn.Module]] = {
    "no block": nn.Identity,
    "gaussian": lambda: NonLocal(24, pairwise="gaussian"),
    "embedded Gaussian": lambda: NonLocal(24),
    "dot product": lambda: NonLocal(24, pairwise="dot_product"),
    "concatenation": lambda: NonLocal(24, pairwise="concatenation"),
    "embedded Gaussian, subsampled": lambda: NonLocal(24, subsample=True),
}
STEPS = 500
WHOLE = ("gaussian", "embedded Gaussian", "dot product", "concatenation")  # forms whose keys are all positions


class Corners(nn.Module):
    """Two convolutions, a block or none, and a score for each glyph at every position."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 1), nn.ReLU())
        self.block = block
        self.last = nn.Conv2d(24, GLYPHS, 1)

    def forward(self, image: Tensor, asked: Tensor) -> Tensor:
        scores = self.last(self.block(self.features(image))).flatten(2)
        return scores[torch.arange(len(image)), :, asked]


def draw_corners(generator: torch.Generator, count: int) -> Batch:
    """A glyph of one pixel in one corner, which is asked, and one in the opposite corner, whose kind is the answer."""
    image, first, _, kind = _glyphs(generator, count)
    return (image, first), kind


def _glyphs(generator: torch.Generator, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, the positions of the first and of the other glyph, and the other's kind."""
    code = torch.cat([torch.eye(3), -torch.eye(3)])
    kinds = torch.randint(GLYPHS, (count, 2), generator=generator)
    places = torch.randint(CORNER, (count, 2, 2), generator=generator)
    places[:, 1] += SIDE - CORNER
    image = 0.05 * torch.randn(count, 3, SIDE, SIDE, generator=generator)
    for number in range(2):
        i, j = places[:, number].T
        image[torch.arange(count), :, i, j] += code[kinds[:, number]]
    position = places[..., 0] * SIDE + places[..., 1]
    return image, position[:, 0], position[:, 1], kinds[:, 1]


def corners() -> Sheet:
    """All four forms, one of them also with coarser keys, against the same network without a block."""
    scores, partner, near = {}, {}, {}
    for name, make in FORMS.items():
        torch.manual_seed(0)
        network = Corners(make())
        learn(network, draw_corners, steps=STEPS, seed=0)
        scores[name] = accuracy(network, draw_corners, seed=0)
        if name in WHOLE:
            partner[name], near[name] = _first_key(network)
    return {
        "accuracy": scores,
        "partner_is_the_strongest_key": partner,
        "strongest_key_is_the_partner_or_next_to_it": near,
        "accept": {
            "nonlocal-resnet": {
                "every form at least 0.95": all(scores[name] >= 0.95 for name in WHOLE),
                "without a block at most 0.25": scores["no block"] <= 0.25,
                "subsampled at least 0.9": scores["embedded Gaussian, subsampled"] >= 0.9,
                "embedded Gaussian: the partner is the strongest key in at least 90 %": partner["embedded Gaussian"]
                >= 0.9,
            },
        },
    }


@torch.inference_mode()
def exact_non_local() -> dict[str, bool]:
    """A new block of any form is the identity, also in training."""
    x = torch.randn(2, 24, SIDE, SIDE)
    blocks = [make().train() for name, make in FORMS.items() if name != "no block"]
    return {"a new block gives back its input": all(torch.equal(block(x), x) for block in blocks)}


@torch.inference_mode()
def _first_key(network: Corners) -> tuple[float, float]:
    """How often the strongest key of the glyph asked is the other one, and how often that or one of its neighbours."""
    image, first, other, _ = _glyphs(torch.Generator().manual_seed(TEST_SEED), 400)
    with record(network) as maps:
        network(image, first)
    rows = maps["block.map"].tensor[:, 0][torch.arange(len(first)), first]
    strongest = rows.abs().argmax(1)
    far = torch.maximum((strongest // SIDE - other // SIDE).abs(), (strongest % SIDE - other % SIDE).abs())
    return float((far == 0).float().mean()), float((far <= 1).float().mean())
