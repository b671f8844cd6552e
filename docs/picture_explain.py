"""Draws docs/images/explaining.png: what a small network saw in pictures of two shapes, by several methods.

python docs/picture_explain.py

The network learns, in seconds, to tell three shapes from pictures of one of them; the pictures shown hold two. Above
each map stands the verdict of `saccade.explain.faithfulness.verify`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from saccade import explain
from saccade.explain.render import encode
from saccade.files import atomic

SHAPES = ("full", "plus", "hollow")
SIZE, SIDE, NOISE = 32, 7, 0.3  # pixels, pixels, standard deviation beside a brightness of 1
STEPS, BATCH = 160, 64
Method = Callable[..., Tensor]


def shape(number: int) -> Tensor:
    """One of the three shapes, as 7 x 7 pixels."""
    drawn = torch.zeros(SIDE, SIDE)
    if SHAPES[number] == "plus":
        drawn[SIDE // 2 - 1 : SIDE // 2 + 2] = drawn[:, SIDE // 2 - 1 : SIDE // 2 + 2] = 1
    else:
        drawn[:] = 1
        if SHAPES[number] == "hollow":
            drawn[2:-2, 2:-2] = 0
    return drawn


def pictures(count: int, shown: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy pictures (n, 1, 32, 32) with different shapes in them, which these are (n, shown), and where (masks)."""
    images = NOISE * torch.randn(count, 1, SIZE, SIZE, generator=generator)
    masks = torch.zeros(count, shown, SIZE, SIZE, dtype=torch.bool)
    classes = torch.stack([torch.randperm(len(SHAPES), generator=generator)[:shown] for _ in range(count)])
    room = SIZE // shown - SIDE  # several shapes lie beside one another
    for n in range(count):
        for place, number in enumerate(classes[n].tolist()):
            row = int(torch.randint(0, SIZE - SIDE + 1, (), generator=generator))
            column = place * SIZE // shown + int(torch.randint(0, room + 1, (), generator=generator))
            box = slice(row, row + SIDE), slice(column, column + SIDE)
            images[(n, 0, *box)] += shape(number)
            masks[(n, place, *box)] = True
    return images, classes, masks


def trained(seed: int) -> nn.Sequential:
    """Four convolutions, global average pooling, a linear layer: a network that every method can be used on."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)

    def block(into: int, out: int) -> list[nn.Module]:
        return [nn.Conv2d(into, out, 3, padding=1), nn.ReLU(), nn.Conv2d(out, out, 3, padding=1), nn.ReLU()]

    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, len(SHAPES))]
    network = nn.Sequential(*block(1, 16), nn.MaxPool2d(2), *block(16, 32), *end)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(STEPS):
        images, classes, _ = pictures(BATCH, 1, generator)
        optimiser.zero_grad()
        F.cross_entropy(network(images), classes[:, 0]).backward()
        optimiser.step()
    return network


def brightness(network: nn.Module, x: Tensor, *, target: object, layer: object = None) -> Tensor:
    """A map that looks right and has nothing to do with the network."""
    return x[:, 0].abs()


def draw(network: nn.Module, seed: int) -> Figure:
    """A row for each shape of a picture: the picture, then what speaks for that shape, by each method."""
    last = "8"  # the ReLU behind the last convolution
    columns: list[tuple[str, Method, dict[str, str]]] = [
        ("Grad-CAM", explain.grad_cam, {"layer": last}),
        ("Respond-CAM", explain.respond_cam, {"layer": last}),
        ("HiResCAM", explain.hires_cam, {"layer": last}),
        ("occlusion", explain.occlusion, {}),
        ("guided Grad-CAM", explain.guided_grad_cam, {"layer": last}),
        ("guided backprop.", explain.guided_backpropagation, {}),
        ("brightness", brightness, {}),
    ]
    image, classes, _ = pictures(1, 2, torch.Generator().manual_seed(seed))
    figure = Figure(figsize=(1.75 * (1 + len(columns)), 4.3), facecolor="white")
    axes = figure.subplots(2, 1 + len(columns))
    for row, number in enumerate(classes[0].tolist()):
        show(axes[row, 0], image[0, 0], None, f'what is "{SHAPES[number]}"?')
        for place, (name, method, options) in zip(axes[row, 1:], columns, strict=True):
            map_ = method(network, image, target=number, **options)[0]
            (verdict,) = explain.faithfulness.verify(network, image, target=number, method=method, **options)
            word = "faithful" if verdict.faithful else "not faithful"
            show(place, image[0, 0], map_, f"{name}\n{word}" if row == 0 else word, bad=not verdict.faithful)
            print(f"{SHAPES[number]}, {name}: {verdict}")
    figure.tight_layout(pad=0.4)
    return figure


def show(place: Axes, image: Tensor, map_: Tensor | None, title: str, *, bad: bool = False) -> None:
    """The picture in grey, the map over it: red for the shape, blue against it."""
    place.imshow(image, cmap="gray", vmin=-0.8, vmax=1.8)
    if map_ is not None:
        values = map_.numpy()
        largest = float(np.abs(values).max()) or 1.0
        opacity = 0.85 * np.sqrt(np.abs(values) / largest)
        place.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, alpha=opacity)
    place.set_title(title, fontsize=9, color="#b3261e" if bad else "#1f2933")
    place.axis("off")


def main() -> None:
    """Read the options, train and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "explaining.png")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw_explaining(options.out, options.seed)


def draw_explaining(path: Path, seed: int = 0) -> None:
    """Train, draw and write the picture; says how well the network does on pictures that it has not seen."""
    network = trained(seed)
    images, classes, _ = pictures(500, 1, torch.Generator().manual_seed(seed + 1))
    with torch.no_grad():
        right = (network.eval()(images).argmax(1) == classes[:, 0]).float().mean()
    print(f"accuracy {right:.3f}")
    with atomic(path) as temporary:
        temporary.write_bytes(encode(draw(network, seed + 2), dpi=80))


if __name__ == "__main__":
    main()
