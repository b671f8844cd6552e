"""What becomes of class scores: labels, probabilities, entropy and attention maps, written piece by piece."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from saccade.data.prepare import Grid, scan_view
from saccade.data.restore import BlockRestorer
from saccade.data.volume import Volume
from saccade.tasks.segmentation.tiling import Place

Probabilities = Callable[[Float[Tensor, "k a b d"]], Float[Tensor, "k a b d"]]


@dataclass(frozen=True)
class Segmentation:
    """What a network says of a scan; every volume lies on the scan's grid.

    Attributes:
        labels: uint8 (uint16 where a label value needs it).
        attention: Gate name -> float32 map in the gate's range; empty unless asked for.
        probabilities: Organ name -> float32 softmax probability, 0 to 1; those that were asked for.
        uncertainty: float32 entropy of the softmax in nats, 0 to ln(classes); None unless asked for.
        seconds: Stage -> seconds: ``read`` (the file), ``prepare`` (axes, voxel size, values), ``network``, and
            ``restore`` (blending, interpolation to the scan's voxels, labels).
        expected_peak_bytes: Memory that the process was expected to need; None unless ``max_memory`` was given.
        half_precision_sums: Whether scores were summed in float16 to stay within ``max_memory``: labels can then
            differ where two classes score nearly the same.
    """

    labels: Volume
    attention: dict[str, Volume] = field(default_factory=dict)
    probabilities: dict[str, Volume] = field(default_factory=dict)
    uncertainty: Volume | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    expected_peak_bytes: int | None = None
    half_precision_sums: bool = False


def label_dtype(classes: Sequence[int]) -> type[np.unsignedinteger]:
    """The smallest type that holds the label values."""
    return np.uint8 if max(classes) < 256 else np.uint16


class Canvas:
    """Results of a scan, filled with pieces of blended scores and maps.

    Args:
        grid: The scan.
        shape: Voxels of the prepared grid, on which the pieces lie.
        classes: Label value of every score.
        probabilities: Turns scores (classes first) into probabilities.
        chosen: Organ name -> number of its class, of those whose probability is wanted.
        uncertainty: Whether the entropy is wanted.
    """

    def __init__(
        self,
        grid: Grid,
        shape: Sequence[int],
        classes: Sequence[int],
        probabilities: Probabilities,
        *,
        chosen: Mapping[str, int],
        uncertainty: bool,
    ) -> None:
        self._grid, self._shape = grid, shape
        self._values = np.array(classes, label_dtype(classes))
        self._probabilities, self._chosen = probabilities, chosen
        self._scores = BlockRestorer(shape, grid.canonical_shape)
        self._maps: list[tuple[BlockRestorer, _Layer]] = []
        self._labels = _Layer(grid, self._values.dtype)
        self._shares = {name: _Layer(grid, np.float32) for name in chosen}
        self._entropy = _Layer(grid, np.float32) if uncertainty else None

    def segmentation(self, names: Sequence[str], **about: Any) -> Segmentation:
        """The results, with the maps under these names and what else there is to say."""
        like = self._grid.source.like
        return Segmentation(
            like(self._labels.array),
            {name: like(layer.array) for name, (_, layer) in zip(names, self._maps, strict=True)},
            {name: like(layer.array) for name, layer in self._shares.items()},
            None if self._entropy is None else like(self._entropy.array),
            **about,
        )

    def write(self, place: Place, scores: Float[Tensor, "k a b d"], maps: Sequence[Float[Tensor, "1 a b d"]]) -> None:
        """Fill in what a piece of the prepared grid allows to finish."""
        for where, part in self._scores.push(place, scores):
            self._labels.view[where] = self._values[part.argmax(0).numpy()]
            if not self._shares and self._entropy is None:
                continue
            shares = self._probabilities(part)
            for name, number in self._chosen.items():
                self._shares[name].view[where] = shares[number].numpy()
            if self._entropy is not None:
                self._entropy.view[where] = torch.special.entr(shares).sum(0).clamp_min_(0).numpy()
        if not self._maps:
            wanted = self._grid.canonical_shape
            self._maps = [(BlockRestorer(self._shape, wanted), _Layer(self._grid, np.float32)) for _ in maps]
        for (restorer, layer), map_ in zip(self._maps, maps, strict=True):
            for where, part in restorer.push(place, map_):
                layer.view[where] = part[0].numpy()


class _Layer:
    """An array on the scan's grid, and the view of it in canonical axis order."""

    def __init__(self, grid: Grid, dtype: Any) -> None:
        self.array = np.zeros(grid.source.shape, dtype)
        self.view = scan_view(self.array, grid)
