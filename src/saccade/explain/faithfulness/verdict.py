"""One word per map, faithful or not, and the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from saccade.explain.boxes import as_array
from saccade.explain.faithfulness.agreement import agreement_mm, energy_inside, pointing_game
from saccade.explain.faithfulness.curves import deletion, insertion
from saccade.explain.faithfulness.randomisation import SURVIVES, parameter_randomisation
from saccade.explain.faithfulness.similarity import Method, stability
from saccade.explain.layers import Layer
from saccade.explain.targets import Target

STABLE = 0.5  # rank correlation under noise below which a map is called unstable
BETTER_THAN = 0.8  # share of the moved maps that a map has to beat


@dataclass(frozen=True)
class Verdict:
    """What the checks say of one map.

    Attributes:
        faithful: Whether it passed all of them.
        reasons: What speaks against it; if nothing does, what speaks for it.
        measures: What was measured, by name.
    """

    faithful: bool
    reasons: tuple[str, ...]
    measures: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{'faithful' if self.faithful else 'not faithful'}: {'; '.join(self.reasons)}"


def verify(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    method: Method,
    layer: Layer | None = None,
    mask: Shaped[Tensor | np.ndarray, "b *grid"] | None = None,
    spacing_mm: Sequence[float] | None = None,
    steps: int = 10,
    controls: int = 10,
    draws: int = 5,
    seed: int = 0,
) -> list[Verdict]:
    """Check the map that a method makes of each item, and say whether it can be trusted.

    A map is called faithful if (1) it says something: it is finite, not the same everywhere and somewhere positive;
    (2) it does not survive replacing all weights by random ones; (3) covering what it marks first costs, and showing
    it first brings, more of the score than with the same map moved elsewhere in the picture, for 80 % of the moves;
    (4) it stays alike under noise of 5 % of the input's spread. A mask does not enter the verdict, since a faithful map
    may show that the network looks at the wrong place; how they agree is among the measures.

    Args:
        network: Any module; left as it was.
        x: A batch.
        target: As in `grad_cam`.
        method: A function such as `grad_cam`, called as ``method(network, x, target=target, layer=layer)``.
        layer: Its layer.
        mask: Where the evidence is known to be, for each item on the input's grid.
        spacing_mm: Size of a voxel along each axis, for distances to the mask.
        steps: Steps of the deletion and the insertion curve.
        controls: Moved maps that the curves are compared with.
        draws: Random networks that the map is compared with.
        seed: Of everything random.

    Returns:
        A verdict for each item.

    Raises:
        InputError: As the method; as `pointing_game` if there is a mask.
    """
    maps = method(network, x, target=target, layer=layer)
    random = parameter_randomisation(
        network, x, target=target, method=method, layer=layer, stages=1, draws=draws, seed=seed
    ).similarity[-1]
    stable = stability(network, x, target=target, method=method, layer=layer, seed=seed)
    gain, better, areas = _needed(network, x, maps, target, steps, controls, seed)
    verdicts = []
    for item, map_ in enumerate(maps):
        measures: dict[str, Any] = {
            "randomised similarity": random[item],
            "deletion auc": areas[0][item],
            "insertion auc": areas[1][item],
            "gain": gain[item],
            "better than moved": better[item],
            "stability": stable[item],
        }
        if mask is not None:
            measures |= _agreement(map_, as_array(mask)[item], spacing_mm)
        verdicts.append(_judge(map_, measures))
    return verdicts


def _judge(map_: Tensor, measures: dict[str, Any]) -> Verdict:
    against = []
    if not map_.isfinite().all():
        against.append("it is not finite everywhere")
    elif bool((map_ == map_.flatten()[0]).all()):
        against.append("it is the same everywhere")
    elif bool((map_ <= 0).all()):
        against.append("it is nowhere positive, so it marks no evidence")
    if measures["randomised similarity"] >= SURVIVES:
        against.append(
            f"it survives randomising the weights (rank correlation {measures['randomised similarity']:.2f})"
        )
    if measures["better than moved"] < BETTER_THAN:
        against.append(
            "the score does not depend on what it marks (deletion and insertion are better than with the map moved "
            f"elsewhere in {measures['better than moved']:.0%} of moves)"
        )
    if measures["stability"] < STABLE:
        against.append(f"a little noise changes it (rank correlation {measures['stability']:.2f})")
    if against:
        return Verdict(False, tuple(against), measures)
    return Verdict(
        True,
        (
            f"it changes with the weights (rank correlation {measures['randomised similarity']:.2f} when they are "
            "random)",
            f"the score depends on what it marks (better than {measures['better than moved']:.0%} of moved maps)",
            f"noise leaves it alike (rank correlation {measures['stability']:.2f})",
        ),
        measures,
    )


def _needed(
    network: nn.Module, x: Tensor, maps: Tensor, target: Target, steps: int, controls: int, seed: int
) -> tuple[list[float], list[float], tuple[list[float], list[float]]]:
    """Insertion minus deletion AUC, the share of moved maps for which it is lower, and both AUCs, of each item."""

    def areas(of: Tensor) -> tuple[Tensor, Tensor]:
        removed, shown = (curve(network, x, of, target=target, steps=steps).auc for curve in (deletion, insertion))
        return removed, shown

    removed, shown = areas(maps)
    gain = shown - removed
    generator = np.random.default_rng(seed)
    beaten = torch.zeros_like(gain)
    for _ in range(controls):
        # at least a quarter of the picture away along every axis, so that it does not lie on itself
        least = [ceil(size / 4) for size in x.shape[2:]]
        shifts = [
            int(generator.integers(low, size - low, endpoint=True)) if size > 1 else 0
            for low, size in zip(least, x.shape[2:], strict=True)
        ]
        moved = areas(maps.roll(shifts, dims=tuple(range(1, maps.ndim))))
        beaten += gain > moved[1] - moved[0]
    return gain.tolist(), (beaten / controls).tolist(), (removed.tolist(), shown.tolist())


def _agreement(map_: Tensor, mask: np.ndarray, spacing_mm: Sequence[float] | None) -> dict[str, Any]:
    distances = agreement_mm(map_, mask, spacing_mm)
    return {
        "pointing": pointing_game(map_, mask),
        "energy inside": energy_inside(map_, mask),
        "peak to mask (mm)": None if distances is None else distances.peak_mm,
        "centroid to mask (mm)": None if distances is None else distances.centroid_mm,
    }
