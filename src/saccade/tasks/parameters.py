"""Which parameters are trained, and how fast: patterns on their names."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from saccade.errors import InputError


def freeze(network: nn.Module, patterns: Iterable[str]) -> None:
    """Take parameters out of the training.

    Args:
        network: Changed in place.
        patterns: As in a shell (``encoder.*``), on the names that ``network.named_parameters()`` gives.

    Raises:
        InputError: If a pattern fits no parameter, or nothing is left to train.

    >>> network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1))
    >>> freeze(network, ["0.*"])
    >>> [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    ['1.weight', '1.bias']
    """
    parameters = dict(network.named_parameters())
    for pattern in patterns:
        for name in matching(parameters, pattern, "training.freeze"):
            parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise InputError("training.freeze: must leave something to train, every parameter is frozen.")
    keep_frozen_statistics(network)


def keep_frozen_statistics(network: nn.Module) -> None:
    """A normalisation whose weights are frozen goes by the statistics that it has, in training too."""
    for module in network.modules():
        normalises = isinstance(module, nn.modules.batchnorm._NormBase)
        if normalises and module.weight is not None and not module.weight.requires_grad:
            module.eval()


def rate_groups(network: nn.Module, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """The trained parameters in groups for an optimiser, each with the ``factor`` on its learning rate; 1 comes first.

    Args:
        network: The network.
        rates: Pattern on parameter names: factor. Of several that fit the last one counts.

    Raises:
        InputError: If a pattern fits no parameter.
    """
    parameters = dict(network.named_parameters())
    factors = dict.fromkeys(parameters, 1.0)
    for pattern, factor in rates.items():
        factors |= dict.fromkeys(matching(parameters, pattern, "training.rates"), factor)
    groups: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, parameter in parameters.items():
        if parameter.requires_grad:
            groups.setdefault(factors[name], []).append(parameter)
    return [{"params": members, "factor": factor} for factor, members in groups.items() if members]


def matching(names: Iterable[str], pattern: str, setting: str) -> list[str]:
    """The names that a pattern fits.

    Raises:
        InputError: If there is none; gives the nearest pattern that has some.
    """
    known = list(names)
    found = [name for name in known if fnmatchcase(name, pattern)]
    if not found:
        parts = [name.split(".") for name in known]
        groups = {".".join(part[:depth]) + ".*" for part in parts for depth in range(1, len(part))}
        near = get_close_matches(pattern, [*sorted(groups), *known], n=1, cutoff=0.0)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(f"{setting}: '{pattern}' fits no parameter of the network.{hint}")
    return found
