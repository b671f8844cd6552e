"""The sanity check that a map depends on what the network has learnt."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.explain.faithfulness.similarity import Method, similarity
from saccade.explain.hooks import unwrapped
from saccade.explain.layers import Layer, find_layer
from saccade.explain.targets import Target

SURVIVES = 0.5  # mean rank correlation with maps of random networks from which on a map says little of the weights


@dataclass(frozen=True)
class Randomisation:
    """How alike maps stay while weights are replaced by random ones, from the output towards the input.

    Attributes:
        modules: For each stage, the last module that was randomised; in the last stage all are random.
        similarity: For each stage, Spearman's rank correlation of each item's map (positive part) with that of the
            network itself, as a mean over draws.
    """

    modules: list[str]
    similarity: list[list[float]]

    @property
    def survives(self) -> list[bool]:
        """Whether each item's map stays what it was although all weights are random: such a map is not faithful."""
        return [value >= SURVIVES for value in self.similarity[-1]]


def parameter_randomisation(
    network: nn.Module,
    x: Float[Tensor, "b c *space"],
    *,
    target: Target,
    method: Method,
    layer: Layer | None = None,
    stages: int = 4,
    draws: int = 5,
    seed: int = 0,
) -> Randomisation:
    """Replace the weights by random ones, module by module from the output on, and see whether the map changes.

    The cascading randomisation of Adebayo et al., 2018, https://arxiv.org/abs/1810.03292. A copy of the network is
    randomised: modules as they initialise themselves (``reset_parameters``), parameters of others from a normal
    distribution of their own mean magnitude.

    Args:
        network: Any module; left as it was.
        x: A batch.
        target: As in `grad_cam`.
        method: A function such as `grad_cam`.
        layer: Its layer.
        stages: After how many, evenly spaced, shares of the modules a map is made.
        draws: Random networks whose similarity is averaged.
        seed: Of the weights.

    Raises:
        InputError: If the network has no parameters, or ``stages`` or ``draws`` is less than 1.
    """
    if min(stages, draws) < 1:
        raise InputError(f"parameter_randomisation: stages and draws must be at least 1, got {stages} and {draws}.")
    original = unwrapped(network)
    names = [name for name, module in original.named_modules() if any(True for _ in module.parameters(recurse=False))]
    if not names:
        raise InputError("parameter_randomisation: the network must have parameters, it has none.")
    place = None if layer is None else find_layer(original, layer, "parameter_randomisation")[0]
    first = method(network, x, target=target, layer=place)
    names.reverse()
    ends = sorted({round(len(names) * stage / stages) for stage in range(1, stages + 1)} - {0})
    found = []
    for draw in range(draws):
        randomised, row = copy.deepcopy(original), []
        for stop in _cascade(randomised, names, seed * draws + draw):
            if stop in ends:
                row.append(similarity(first, method(randomised, x, target=target, layer=place)))
        found.append(row)
    means = np.mean(found, axis=0)
    return Randomisation([names[stop - 1] or "the network" for stop in ends], means.tolist())


def _cascade(network: nn.Module, names: list[str], seed: int) -> Iterator[int]:
    """Randomise the modules one after the other; gives how many are random by now."""
    for number, name in enumerate(names):
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(1_000_003 * seed + number)
            _randomise(network.get_submodule(name))
        yield number + 1


def _randomise(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for parameter in module.parameters(recurse=False):
        parameter.normal_(0, float(parameter.abs().mean()) or 1.0)
