"""The published systems and how one is found; looking at them imports nothing heavy.

Other packages add theirs through the entry point group ``saccade.systems``: a name that points at a module of the
same form as those here (``Network`` settings, ``network(settings)``, ``PRESETS``) with a ``SYSTEM`` entry. A network of
one's own needs not even that: ``package.module:Network`` names it.
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from saccade.errors import InputError, unknown_name
from saccade.systems.table import SYSTEMS, System

if TYPE_CHECKING:
    from torch import nn

    from saccade.tasks.settings import Settings


@runtime_checkable
class Implementation(Protocol):
    """What the module of a system offers.

    A system for classification that learns in a way of its own has ``training_loss(network, images, targets, loss)``
    too: the loss of a batch, where ``loss(logits)`` is that of the run's settings on these targets.

    One that can show how its network decided has ``illustrate(network, x) -> list[Illustration]``: of the prepared
    image x, (1, c, *space), pictures for its card in the report; see `saccade.report.illustration`.

    ``layer_groups(network) -> list[list[str]]``, where it is, parts the network for ``training.freeze_to`` and
    ``training.group_rates``: patterns on names of parameters, the group nearest to the input first.

    A network that chooses by hard rules what it looks at may have ``check_image(image, where)``, which refuses an image
    (c, *space) by name, ``fixed_to(x)``, the network that keeps to its choice in x while explanations change x, and
    ``example_input(shape)``, on which its cost is measured; see `saccade.networks.ImageSubject2Vec`.

    Attributes:
        PRESETS: Name -> nested settings, with hints for the planning under ``plan``.
        Network: Settings of the network, ``in_channels`` and ``out_channels`` among them.
    """

    PRESETS: dict[str, Any]
    Network: type["Settings"]

    def plan_network(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the network that fit the ``data`` part of a configuration; those given stay."""

    def network(self, settings: Any) -> "nn.Module":
        """The network of these settings."""


def list_systems() -> list[System]:
    """All systems: Saccade's own, then those that installed packages add.

    Raises:
        InputError: If an installed package's entry cannot be loaded.
    """
    added = []
    for point in entry_points(group="saccade.systems"):
        try:
            added.append(point.load().SYSTEM)
        except Exception as error:  # whatever a stranger's module raises
            package = point.dist.name if point.dist else "a package"
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"saccade.systems: '{point.name}' of {package} cannot be loaded ({reason}).") from error
    return [*SYSTEMS.values(), *added]


def is_own(name: str) -> bool:
    """Whether a name is that of the user's own network, ``package.module:Network``, and no system's."""
    return ":" in name


def find_implementation(
    name: str, network: Mapping[str, Any] | None = None, task: str = "segmentation"
) -> Implementation:
    """The module of a system, or what stands for it where the network is the user's own (its code is then run).

    Args:
        name: Of a system, or ``package.module:Network``.
        network: Settings of the network that the user gave.
        task: What a network of the user's own is for.

    Raises:
        InputError: If there is none.
    """
    if is_own(name):
        from saccade.systems.own import OwnNetwork

        return OwnNetwork(name, network, task)
    module, _, attribute = find_system(name).module.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found  # type: ignore[return-value]


def find_system(name: str) -> System:
    """The system of a name.

    Raises:
        InputError: If there is none; names the nearest and all.
    """
    systems = {system.name: system for system in list_systems()} if name not in SYSTEMS else SYSTEMS
    if name not in systems:
        raise unknown_name("saccade", "system", name, list(systems))
    return systems[name]


def build(name: str, **settings: Any) -> "nn.Module":
    """The network of a system.

    Args:
        name: One of `list_systems`, or ``package.module:Network``.
        settings: Of that network, by name, for example ``in_channels=1, out_channels=4``.

    Raises:
        InputError: If the name or a setting is unknown, or a value does not fit.

    >>> sum(p.numel() for p in build("attention-unet", in_channels=1, out_channels=4).parameters())
    6411498
    """
    module = find_implementation(name, settings)
    try:
        return module.network(module.Network.parse(settings, name))
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(str(error)) from error
