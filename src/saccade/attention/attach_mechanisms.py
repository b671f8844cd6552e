"""The mechanisms that `attach` knows by name, and how they are made for a place."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from saccade.attention.bam import BAM
from saccade.attention.cbam import CBAM
from saccade.attention.concurrent_squeeze import ConcurrentSqueezeExcitation
from saccade.attention.eca import EfficientChannelAttention
from saccade.attention.gate import AttentionGate
from saccade.attention.non_local import NonLocal
from saccade.attention.project_excitation import ProjectExcitation
from saccade.attention.same_grid_gate import SameGridGate
from saccade.attention.sca import SCA
from saccade.attention.self_attention import SelfAttention
from saccade.attention.spatial_squeeze import SpatialSqueezeExcitation
from saccade.attention.squeeze import SqueezeExcitation
from saccade.errors import InputError, unknown_name

Maker = Callable[..., nn.Module]

# One feature map in, one of the same shape out.
MECHANISMS: dict[str, Maker] = {
    "squeeze-excitation": SqueezeExcitation,
    "se": SqueezeExcitation,
    "cse": SqueezeExcitation,
    "spatial-squeeze-excitation": SpatialSqueezeExcitation,
    "sse": SpatialSqueezeExcitation,
    "concurrent-squeeze-excitation": ConcurrentSqueezeExcitation,
    "scse": ConcurrentSqueezeExcitation,
    "project-excitation": ProjectExcitation,
    "cbam": CBAM,
    "bam": BAM,
    "efficient-channel-attention": EfficientChannelAttention,
    "eca": EfficientChannelAttention,
    "sca": SCA,
    "non-local": NonLocal,
    "self-attention": SelfAttention,
}
# A feature map and a gating signal in, one of the shape of the feature map out.
GATES: dict[str, Maker] = {
    "attention-gate": AttentionGate,
    "gate": AttentionGate,
    "same-grid-gate": SameGridGate,
}


@dataclass(frozen=True)
class Mechanism:
    """A mechanism with its settings, still without channels.

    ``child`` is the name that it wants in the module it is attached to.
    """

    name: str
    child: str
    make: Maker
    settings: Mapping[str, Any]

    def build(self, place: str, widths: tuple[int, ...], spatial_dims: int) -> nn.Module:
        """The module for a number of channels (of a gate also those of its signal) and of spatial dimensions.

        Raises:
            InputError: If the settings do not fit the place; names it.
        """
        settings = dict(self.settings)
        if settings.setdefault("spatial_dims", spatial_dims) != spatial_dims:
            wanted = settings["spatial_dims"]
            raise InputError(f"attach: spatial_dims must be {spatial_dims}, as '{place}' has it, got {wanted}.")
        positional = list(widths)
        if not _accepts(self.make, "spatial_dims"):
            del settings["spatial_dims"]
            if _required(self.make, set(settings)) > len(positional):
                positional.append(spatial_dims)
        try:
            module = self.make(*positional, **settings)
        except (InputError, TypeError) as error:
            raise InputError(f"attach: {self.name} does not fit behind '{place}': {error}") from error
        if not isinstance(module, nn.Module):
            raise InputError(f"attach: {self.name} must make a torch.nn.Module, got {type(module).__name__}.")
        return module


def find_mechanism(mechanism: str | Maker, settings: Mapping[str, Any], gated: bool) -> Mechanism:
    """The mechanism of a name or maker, its settings checked.

    Args:
        mechanism: A name, or a class or function that makes a module from channels (of a gate: and those of its
            signal), spatial dimensions and settings; spatial dimensions by name if it has a parameter
            ``spatial_dims``, else in order if it needs one number more.
        settings: By name.
        gated: Whether there is a gating signal.

    Raises:
        InputError: For an unknown name or setting, with the nearest known one; for a gate without a signal and for
            a signal without a gate.
    """
    if isinstance(mechanism, str):
        known = MECHANISMS | GATES
        if mechanism not in known:
            raise unknown_name("attach", "mechanism", mechanism, list(known))
        if gated != (mechanism in GATES):
            lack = "takes no gating signal. Leave out gate_from" if gated else "needs gate_from, the name of a module"
            raise InputError(f"attach: {mechanism} {lack}.")
        name, make = mechanism, known[mechanism]
    else:
        name, make = getattr(mechanism, "__name__", type(mechanism).__name__), mechanism
    parameters = list(inspect.signature(make).parameters.values())
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
        names = [parameter.name for parameter in parameters[2 if gated else 1 :]]
        for setting in settings:
            if setting not in [*names, "spatial_dims"]:
                raise unknown_name("attach", f"setting of {name}", setting, names)
    child = name.replace("-", "_")
    return Mechanism(name, child if child.isidentifier() else "attention", make, settings)


def _accepts(make: Maker, name: str) -> bool:
    parameter = inspect.signature(make).parameters.get(name)
    return parameter is not None and parameter.kind is not parameter.POSITIONAL_ONLY


def _required(make: Maker, given: set[str]) -> int:
    """How many arguments must be handed over in order."""
    return sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
        and parameter.name not in given
        for parameter in inspect.signature(make).parameters.values()
    )
