"""Pictures of the mechanisms that look at handwritten digits (scikit-learn's, 8 x 8): networks trained for seconds."""

from functools import cache

import torch
from mechanism_abdomens import Row, plain
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import saccade
from saccade.attention import (
    AttentionMap,
    EfficientChannelAttention,
    GlimpseSensor,
    SpatialTransformer,
    SqueezeExcitation,
)
from saccade.explain import Picture, draw

UNSEEN = 300  # of the digits, not trained on


@cache
def digits() -> tuple[Tensor, Tensor]:
    """Images (n, 1, 8, 8) in 0..1 and what they show."""
    images, names = load_digits(return_X_y=True)
    return torch.tensor(images.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32), torch.tensor(names)


def placed(numbers: Tensor, size: tuple[int, int], corners: Tensor, side: int) -> Tensor:
    """Digits, ``side`` pixels high and wide, each on a black image, its upper left corner at (row, column)."""
    enlarged = F.interpolate(digits()[0][numbers], (side, side), mode="bilinear", align_corners=False)
    images = torch.zeros(len(numbers), 1, *size)
    for image, digit, (row, column) in zip(images, enlarged, corners.tolist(), strict=True):
        image[:, row : row + side, column : column + side] = digit
    return images


def draws(count: int, *, train: bool, generator: torch.Generator) -> Tensor:
    """Numbers of random digits, of those to train on or of the others."""
    total = len(digits()[0])
    low, high = (0, total - UNSEEN) if train else (total - UNSEEN, total)
    return torch.randint(low, high, (count,), generator=generator)


@cache
def channel_gates() -> nn.Sequential:
    """A trained classifier: efficient channel attention behind a convolution, SE behind the next."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), EfficientChannelAttention(32),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), SqueezeExcitation(32, reduction=4),
        nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    images, names = digits()
    for _ in range(300):
        chosen = draws(64, train=True, generator=generator)
        loss = F.cross_entropy(network(images[chosen]), names[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    right = (network(images[-UNSEEN:]).argmax(1) == names[-UNSEEN:]).float().mean()
    print(f"SE and ECA: {right:.2f} of unseen digits right")
    return network


def draw_squeeze() -> list[Row]:
    """For three digits by how much the weights of the channels differ from their means over many digits."""
    images, names = (part[-UNSEEN:] for part in digits())
    with torch.no_grad(), saccade.record(channel_gates()) as maps:
        channel_gates()(images)
    weights = maps["7.map"].tensor
    print(f"    mean weight {weights.mean():.2f}, standard deviation over digits {weights.std(0).mean():.2f}")
    difference = AttentionMap("channel", [weights - weights.mean(0)])
    rows = []
    for name in (0, 1, 7):
        item = int((names == name).nonzero()[0])
        rows.append(
            [(f"an unseen {name}: the channels' weights, less their means", draw(difference, images, item=item))]
        )
    return _alike(rows)


def draw_eca() -> list[Row]:
    """What changes in the weights when one channel alone grows: ECA against SE."""
    image, channel, network = digits()[0][-UNSEEN:][4:5], 16, channel_gates()
    with torch.no_grad():
        first = network[:3](image)
        second = network[3:7](first)
    rows = []
    for title, gate, features in [("ECA", network[3], first), ("SE", network[7], second)]:
        stronger = features.clone()
        stronger[:, channel] += features.mean((2, 3)).max()
        with torch.no_grad():
            change = gate.gate(stronger) - gate.gate(features)
        figure = draw(AttentionMap("channel", [change]))
        rows.append([(f"{title}: what changes in the weights when channel {channel} grows", figure)])
    return [_alike([row])[0] for row in rows]


def _alike(rows: list[Row]) -> list[Row]:
    """Bars of all rows on one scale, with 0 in its middle."""
    axes = [figure.axes[-1] for row in rows for _, figure in row]
    most = 1.05 * max(abs(bar.get_height()) for place in axes for bar in place.patches)
    for place in axes:
        place.set(ylim=(-most, most), ylabel="difference")
    return rows


class Rectifier(nn.Module):
    """A spatial transformer, then a small classifier that sees what it hands on."""

    def __init__(self) -> None:
        super().__init__()
        look = nn.Sequential(
            nn.Conv2d(1, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.MaxPool2d(2), nn.ReLU(),
            nn.Flatten(), nn.Linear(24 * 25, 32), nn.ReLU(),
        )  # fmt: skip
        self.transformer = SpatialTransformer(look, 32, size=(16, 16))
        self.classify = nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 49, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.transformer(x))


def turned(numbers: Tensor, generator: torch.Generator) -> Tensor:
    """Digits of 14 to 20 pixels turned by up to 50 degrees, anywhere on 28 x 28."""
    one = torch.rand(4, len(numbers), generator=generator)
    angle, scale = (one[0] - 0.5) * 1.75, 28 / (14 + 6 * one[1])
    shift = (one[2:] - 0.5) * 0.8  # of half the image
    turn = (
        torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).unflatten(-1, (2, 2))
        * scale[:, None, None]
    )
    theta = torch.cat([turn, -turn @ shift.T[..., None]], -1)
    grid = F.affine_grid(theta, [len(numbers), 1, 28, 28], align_corners=False)
    return F.grid_sample(digits()[0][numbers], grid, align_corners=False)


def draw_transformer() -> list[Row]:
    """Inputs with the sampling grid, and what the classifier gets to see."""
    torch.manual_seed(0)
    network, generator = Rectifier(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(700):
        chosen = draws(64, train=True, generator=generator)
        loss = F.cross_entropy(network(turned(chosen, generator)), digits()[1][chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    chosen = draws(500, train=False, generator=generator)
    images, names = turned(chosen, generator), digits()[1][chosen]
    with torch.no_grad(), saccade.record(network) as maps:
        right = network(images).argmax(1) == names
    print(f"spatial transformer: {right.float().mean():.2f} of unseen digits right")
    seen = maps["transformer.map"]
    upper, lower = [], []
    for name in (2, 3, 4, 5, 7):
        item = int((right & (names == name)).nonzero()[0])
        upper.append((f"a {name}", draw(seen, Picture(images, window=(0, 1)), item=item, module=network.transformer)))
        with torch.no_grad():
            lower.append(("as it is handed on", plain(network.transformer(images[item : item + 1]))))
    return [upper, lower]


class Searcher(nn.Module):
    """A recurrent network that looks through a glimpse sensor, moves it, and names what it found."""

    STEPS = 4

    def __init__(self) -> None:
        super().__init__()
        self.sensor = GlimpseSensor(8, scales=3, differentiable=True)
        self.see = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 96), nn.ReLU())
        self.where = nn.Linear(2, 32)
        self.state = nn.GRUCell(128, 96)
        self.move = nn.Linear(96, 2)
        self.name = nn.Linear(96, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores after the last glimpse, and where it wanted to look after each (b, steps, 2)."""
        state, place = x.new_zeros(len(x), 96), x.new_zeros(len(x), 2)
        places = []
        for _ in range(self.STEPS):
            seen = torch.cat([self.see(self.sensor(x, place)), torch.relu(self.where(place))], 1)
            state = self.state(seen, state)
            place = torch.tanh(self.move(state))
            places.append(place)
        return self.name(state), torch.stack(places, 1)


def scattered(numbers: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Digits of 12 pixels anywhere on 48 x 48 with noise, and their middles in [-1, 1], x first."""
    corners = torch.randint(0, 37, (len(numbers), 2), generator=generator)
    images = placed(numbers, (48, 48), corners, 12)
    images = images + 0.15 * torch.rand(images.shape, generator=generator)
    return images, ((corners.flip(1) + 6) / 24 - 1)


def draw_glimpse() -> list[Row]:
    """Paths of the eye over three images; of the first one, the patches of the first and the last glimpse."""
    torch.manual_seed(0)
    network, generator = Searcher(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(500):
        chosen = draws(64, train=True, generator=generator)
        images, middles = scattered(chosen, generator)
        scores, places = network(images)
        loss = F.cross_entropy(scores, digits()[1][chosen]) + 4 * (places - middles[:, None]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    chosen = draws(200, train=False, generator=generator)
    images, middles = scattered(chosen, generator)
    with torch.no_grad(), saccade.record(network) as maps:
        scores, places = network(images)
    right = scores.argmax(1) == digits()[1][chosen]
    distance = (places[:, -2] - middles).norm(dim=1).mean() * 24
    print(f"glimpses: {right.float().mean():.2f} of unseen digits right, {distance:.1f} pixels off at the last one")
    far = ((middles.norm(dim=1) > 0.6) & right).nonzero()[:3, 0].tolist()
    seen, picture = maps["sensor.map"], Picture(images, window=(0, 1))
    paths = [("four glimpses", draw(seen, picture, item=item, module=network.sensor)) for item in far]
    first = far[0]
    patches = []
    for step in (0, network.STEPS - 1):
        with torch.no_grad():
            cut = network.sensor(images[first : first + 1], seen.calls[step][first : first + 1])[0]
        for patch, sides in zip(cut, network.sensor.sides, strict=True):
            patches.append((f"glimpse {step + 1}: {sides[0]} pixels wide", plain(patch[None, None])))
    return [paths, patches]
