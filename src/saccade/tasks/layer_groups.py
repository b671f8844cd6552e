"""Layer groups: parts of a network, from its input on, that are trained one after the other or at rates of their own.

fastai's ``freeze_to`` and discriminative learning rates (Howard and Ruder 2018, arXiv:1801.06146, section 3.2).
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from saccade.errors import InputError
from saccade.systems import find_implementation


def with_layer_groups(config: Any, network: nn.Module) -> Any:
    """The configuration in which ``training.freeze_to`` and ``training.group_rates`` are said by names of parameters.

    What ``training.freeze`` and ``training.rates`` say by name stays, and comes last.

    Args:
        config: Of any task.
        network: Made for it.

    Raises:
        InputError: If the system has no layer groups, or the numbers do not fit those that it has.
    """
    training = config.training
    if training.freeze_to is None and not training.group_rates:
        return config
    groups = layer_groups(config, network)
    if not groups:
        named = "training.freeze_to" if training.freeze_to is not None else "training.group_rates"
        raise InputError(
            f"{named}: {config.system} has no layer groups. Name parameters: training.freeze, training.rates."
        )
    if training.freeze_to is not None and not -len(groups) <= training.freeze_to < len(groups):
        raise InputError(
            f"training.freeze_to: must be from {-len(groups)} to {len(groups) - 1}, {config.system} has {len(groups)} "
            f"layer groups, got {training.freeze_to}."
        )
    if training.group_rates and len(training.group_rates) != len(groups):
        raise InputError(
            f"training.group_rates: must have {len(groups)} factors, one for each layer group of {config.system}, "
            f"got {len(training.group_rates)}."
        )
    frozen = [pattern for group in groups[: training.freeze_to] for pattern in group] if training.freeze_to else []
    rates = {
        pattern: factor
        for group, factor in zip(groups, training.group_rates or (1.0,) * len(groups), strict=True)
        for pattern in group
    }
    update = {
        "freeze": (*frozen, *training.freeze),
        "rates": ({**rates, **training.rates} if training.group_rates else training.rates),
    }
    return config.model_copy(update={"training": training.model_copy(update=update)})


def layer_groups(config: Any, network: nn.Module) -> Sequence[Sequence[str]]:
    """Patterns on the names of parameters, group by group from the input on; none where the system has no groups."""
    implementation = find_implementation(config.system, config.network, config.task)
    of = getattr(implementation, "layer_groups", None)
    return of(network) if of else ()
