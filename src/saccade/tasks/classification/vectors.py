"""The vector that a network makes of an image before it decides: what its last linear layer is given."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.data.classification.case import Case
from saccade.errors import InputError
from saccade.files import atomic
from saccade.tasks.classification.predictor import ClassificationPredictor

VECTORS = "vectors.csv"


def vectors_of(predictor: ClassificationPredictor, images: Float[Tensor, "b c *space"]) -> Float[Tensor, "b d"]:
    """Of each prepared image what the network's last linear layer is given; the scores are linear in it.

    Raises:
        InputError: If the network does not end in a linear layer.
    """
    seen: list[tuple[Tensor, Tensor]] = []

    def listen(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((args[0], output))

    network = predictor.network
    handles = [part.register_forward_hook(listen) for part in network.modules() if isinstance(part, nn.Linear)]
    try:
        with torch.inference_mode():
            scores = network(images.to(predictor.device))
    finally:
        for handle in handles:
            handle.remove()
    if not seen or seen[-1][0].ndim != 2 or not torch.equal(seen[-1][1], scores):
        system = predictor.config.system
        raise InputError(f"predict: {system} does not end in a linear layer and makes no vectors; leave --vectors out.")
    return seen[-1][0].cpu()


def write_vectors(predictor: ClassificationPredictor, cases: Sequence[Case], out: Path) -> Path:
    """Write ``vectors.csv``, a row for each image: ``case``, then ``v1``, ``v2`` and so on.

    Args:
        predictor: A trained network.
        cases: Images.
        out: The folder.

    Returns:
        The table's file.

    Raises:
        InputError: If an image cannot be used, or the network makes no vectors.
    """
    size = predictor.config.inference.batch_size
    found: list[list[float]] = []
    for start in range(0, len(cases), size):
        images = [predictor.prepared(case.source) for case in cases[start : start + size]]
        found += vectors_of(predictor, torch.stack(images)).tolist()
    with atomic(out / VECTORS) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["case", *(f"v{number}" for number in range(1, len(found[0]) + 1))])
        for case, vector in zip(cases, found, strict=True):
            writer.writerow([case.id, *(f"{value:.7g}" for value in vector)])
    return out / VECTORS
