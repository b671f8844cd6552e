"""Draws docs/images/ram.svg: the glimpses of a network on digits that it has not seen, one after the other lit up.

python docs/picture_ram.py

The network learns for a minute from scikit-learn's digits, put anywhere on 60 x 60 pixels.
"""

import base64
import io
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from saccade.data.synthetic.digits import make_scattered
from saccade.files import write_text
from saccade.report.illustration import Illustration
from saccade.systems import ram

CANVAS, GLIMPSES, SHOWN = 60, 4, (3, 5, 8)
CASES, STEPS, BATCH = 4000, 1500, 64
WIDTH, GAP = 240, 12  # pixels on the page


def digits(cases: int, seed: int) -> tuple[Tensor, Tensor]:
    """Translated digits (n, 1, 60, 60) of about mean 0 and deviation 1, and what they are."""
    with tempfile.TemporaryDirectory() as folder:
        make_scattered(Path(folder), cases=cases, seed=seed, canvas=CANVAS)
        with np.load(Path(folder) / "digits.npz") as file:
            images, labels = file["images"], file["labels"]
    x = torch.tensor(images[:, None], dtype=torch.float32)
    return (x - 9) / 40, torch.tensor(labels[:, 0], dtype=torch.long)


def trained() -> ram.RAM:
    """A network with the paper's glimpses for such pictures, four of them."""
    torch.manual_seed(0)
    planned = ram.plan_network({"size": (CANVAS, CANVAS)}, {"glimpses": GLIMPSES})
    network = ram.network(ram.Network.parse(planned, "ram")).train()
    images, labels = digits(CASES, seed=0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        chosen = torch.randint(0, CASES, (BATCH,))
        y = labels[chosen]
        loss = ram.training_loss(network, images[chosen], y, lambda scores, y=y: F.cross_entropy(scores, y))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rates.step()
    return network.eval()


def side_by_side(shown: list[Illustration]) -> str:
    """One SVG of several illustrations."""
    parts = []
    for number, one in enumerate(shown):
        rows, columns = one.picture.shape[:2]
        content = io.BytesIO()
        Image.fromarray(one.picture).save(content, "PNG")
        source = base64.b64encode(content.getvalue()).decode("ascii")
        parts.append(
            f'<svg x="{number * (WIDTH + GAP)}" y="0" width="{WIDTH}" height="{WIDTH}" viewBox="0 0 {columns} {rows}">'
            f'<image href="data:image/png;base64,{source}" width="{columns}" height="{rows}" '
            f'style="image-rendering: pixelated"/>{one.overlay}</svg>'
        )
    whole = len(shown) * (WIDTH + GAP) - GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{WIDTH}" viewBox="0 0 {whole} {WIDTH}" '
        f'font-family="sans-serif">{"".join(parts)}</svg>\n'
    )


def draw_ram(out: Path = Path(__file__).parent / "images") -> None:
    """Train, choose one digit of each kind that it names rightly, and draw."""
    network = trained()
    images, labels = digits(400, seed=1)
    with torch.no_grad():
        right = network(images).argmax(1) == labels
    print(f"ram: {right.float().mean():.2f} of unseen digits right")
    chosen = [int((right & (labels == name)).nonzero()[0]) for name in SHOWN]
    shown = [one for item in chosen for one in ram.illustrate(network, images[item : item + 1])]
    write_text(out / "ram.svg", side_by_side(shown))


if __name__ == "__main__":
    draw_ram()
