"""Pictures of the mechanisms that look anew at every word: a network learns for seconds to read digits in a row."""

import torch
from matplotlib.figure import Figure
from mechanism_abdomens import Row
from mechanism_digits import digits, draws, placed
from torch import Tensor, nn
from torch.nn import functional as F

import saccade
from saccade.attention import SCA, AttentionMap, VisualAttention
from saccade.explain import Picture, draw

SIZE, WORDS = (24, 60), 3
FEATURES, STATE = 34, 64  # 32 channels and two coordinates
ORDER = ("first word", "second word", "third word")


def rows_of_digits(count: int, *, train: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images of three digits at random heights, and what they show from left to right."""
    images, names = torch.zeros(count, 1, *SIZE), []
    for place in range(WORDS):
        numbers = draws(count, train=train, generator=generator)
        rows = torch.randint(0, SIZE[0] - 12 + 1, (count, 1), generator=generator)
        columns = 20 * place + torch.randint(0, 20 - 12 + 1, (count, 1), generator=generator)
        images = images.maximum(placed(numbers, SIZE, torch.cat([rows, columns], 1), 12))
        names.append(digits()[1][numbers])
    return images, torch.stack(names, 1)


class SoftLook(nn.Module):
    """`VisualAttention` on the positions of a feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = VisualAttention(FEATURES, STATE, hidden_channels=64)

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        return self.attention(features.flatten(2).mT, state, grid=features.shape[2:])


class ScaLook(nn.Module):
    """`SCA`, then the mean over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = SCA(FEATURES, inner_channels=64, hidden_size=STATE)

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        return self.attention(features, state).mean((2, 3))


class Reader(nn.Module):
    """Convolutions with coordinates, and a recurrent decoder that looks before every word."""

    def __init__(self, look: nn.Module) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        )  # fmt: skip
        self.look = look
        self.start = nn.Parameter(0.1 * torch.randn(STATE))
        self.state = nn.GRUCell(FEATURES, STATE)
        self.word = nn.Linear(STATE + FEATURES, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the words (b, words, 10)."""
        features = self.see(x)
        rows, columns = (torch.linspace(-1, 1, n) for n in features.shape[2:])
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(x), -1, -1, -1)
        features = torch.cat([features, places], 1)
        state, scores = self.start.expand(len(x), -1), []
        for _ in range(WORDS):
            context = self.look(features, state)
            state = self.state(context, state)
            scores.append(self.word(torch.cat([state, context], 1)))
        return torch.stack(scores, 1)


def read(look: nn.Module, what: str, steps: int) -> tuple[Reader, Tensor]:
    """A trained reader, and an image it has not seen and reads right."""
    torch.manual_seed(0)
    network, generator = Reader(look), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    for _ in range(steps):
        images, names = rows_of_digits(32, train=True, generator=generator)
        loss = F.cross_entropy(network(images).flatten(0, 1), names.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()
    images, names = rows_of_digits(100, train=False, generator=generator)
    with torch.no_grad():
        right = network(images).argmax(-1) == names
    print(f"{what}: {right.float().mean():.2f} of unseen digits right")
    item = int(right.all(1).nonzero()[0])
    return network, images[item : item + 1]


def draw_visual() -> list[Row]:
    """Soft looks at three words, and the same weights looking hard."""
    network, image = read(SoftLook(), "visual attention", 450)
    rows = []
    for mode in ("soft", "hard"):
        network.look.attention.mode = mode
        with torch.no_grad(), saccade.record(network) as maps:
            network(image)
        seen = maps["look.attention.map"]
        rows.append([(f"{mode}, {word}", _one(seen, n, image)) for n, word in enumerate(ORDER)])
    return rows


def _one(seen: AttentionMap, step: int, image: Tensor) -> Figure:
    """The look before one word, over the image."""
    kept = AttentionMap(seen.kind, seen.calls[step : step + 1], seen.grid)
    return draw(kept, Picture(image, window=(0, 1)), **({"labels": [""]} if seen.kind == "alignment" else {}))


def draw_sca() -> list[Row]:
    """Positions and channels at three words."""
    network, image = read(ScaLook(), "SCA", 450)
    with torch.no_grad(), saccade.record(network) as maps:
        network(image)
    where, what = maps["look.attention.spatial_map"], maps["look.attention.channel_map"]
    words = [AttentionMap("channel", what.calls[n : n + 1]) for n in range(WORDS)]
    return [
        [(f"where, {word}", _one(where, n, image)) for n, word in enumerate(ORDER)],
        [(f"what, {word}", draw(seen)) for seen, word in zip(words, ORDER, strict=True)],
    ]
