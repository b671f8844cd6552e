"""A network of the user's own, named by where its class is: ``package.module:Network``."""

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import ConfigDict, create_model
from torch import nn

from saccade.errors import InputError, unknown_name
from saccade.systems import attention_unet, resnet
from saccade.tasks.config import SIZES
from saccade.tasks.settings import Settings, merge

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
PLAIN = (bool, int, float, str, type(None))


class OwnNetwork:
    """What a system's module offers, for a class or function that makes a network.

    It is called with ``in_channels``, ``out_channels`` and ``spatial_dims`` as far as it has parameters of these names,
    and with the settings under ``network``. The presets are those of `attention-unet` or `resnet` without its network.

    Args:
        name: ``package.module:Network``; a module in the current folder is found, too.
        settings: Those under ``network`` that the user gave.
        task: What it is trained for.

    Raises:
        InputError: If there is no such module or name, or it makes no network.
    """

    def __init__(self, name: str, settings: Mapping[str, Any] | None = None, task: str = "segmentation") -> None:
        self.name = name
        self.make = find_callable(name)
        self.parameters = inspect.signature(self.make).parameters
        takes_more = any(p.kind is p.VAR_KEYWORD for p in self.parameters.values())
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        named = [key for key, p in self.parameters.items() if p.kind in by_name and not key.startswith("_")]
        fields: dict[str, Any] = dict.fromkeys([*SIZES, *named], (Any, None))
        base = _Open if takes_more else _Given
        self.Network: type[Settings] = create_model("Network", __base__=base, **fields)
        like = attention_unet if task == "segmentation" else resnet
        hints = {"plan": {"slices": self._dimensions(settings or {}) == 2}} if task == "segmentation" else {}
        self.PRESETS: dict[str, Any] = {
            name: merge({key: value for key, value in like.PRESETS[name].items() if key != "network"}, hints)
            for name in ("default", "tiny")
        }

    def plan_network(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
        """The settings given, the plain ones of the constructor's defaults, and the dimensions of the patch."""
        defaults = {key: p.default for key, p in self.parameters.items() if _is_plain(p.default) and key not in SIZES}
        if "spatial_dims" in self.parameters:
            defaults["spatial_dims"] = dimensions_of(data)
        return {**defaults, **network}

    def network(self, settings: Settings) -> nn.Module:
        """The network of these settings.

        Raises:
            InputError: If it cannot be made with them.
        """
        given = settings.model_dump()
        given = {key: value for key, value in given.items() if key not in SIZES or key in self.parameters}
        try:
            made = self.make(**given)
        except Exception as error:  # whatever a stranger's constructor raises
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{self.name}: cannot be made ({type(error).__name__}: {reason}).") from error
        if not isinstance(made, nn.Module):
            raise InputError(f"{self.name}: must make a torch.nn.Module, made a {type(made).__name__}.")
        return made

    def _dimensions(self, settings: Mapping[str, Any]) -> int:
        """Dimensions of the network's convolutions; 3 where it cannot be told, the check before training then says."""
        if settings.get("spatial_dims") in CONVOLUTIONS:
            return int(settings["spatial_dims"])
        sizes = dict(zip(SIZES, (1, 2), strict=True))
        try:
            with torch.random.fork_rng():
                made = self.network(self.Network.parse({**settings, **sizes}, self.name))
        except InputError:
            return 3
        has = {dims for dims, kind in CONVOLUTIONS.items() if any(isinstance(m, kind) for m in made.modules())}
        return 2 if has == {2} else 3


class _Given(Settings):
    """Settings of which only those that were given are handed on: the constructor knows its defaults itself."""

    model_config = ConfigDict(protected_namespaces=())

    def model_dump(self, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        return super().model_dump(**{**options, "exclude_unset": True})


class _Open(_Given):
    """The same for a constructor that takes any keyword."""

    model_config = ConfigDict(extra="allow")


def find_callable(name: str) -> Callable[..., Any]:
    """The class or function of ``package.module:Name``; importing the module runs its code.

    Raises:
        InputError: If the module cannot be imported, or has no such name.
    """
    module_name, _, path = name.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *path.split(".")]):
        raise InputError(f"{name}: must be package.module:Network, the name of a class and where it is.")
    try:
        found: Any = _import(module_name)
    except Exception as error:  # whatever a stranger's module raises
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{name}: '{module_name}' cannot be imported ({type(error).__name__}: {reason}). "
            "Install it, or run where its folder is."
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise unknown_name(name, "name", part, [key for key in vars(found) if not key.startswith("_")])
        found = getattr(found, part)
    if not callable(found) or isinstance(found, nn.Module):
        kind = type(found).__name__
        raise InputError(f"{name}: must be a class or function that makes a network, is of type {kind}.")
    return found  # type: ignore[no-any-return]


def _import(name: str) -> Any:
    """Import a module, also out of the current folder, where the installed command would not look."""
    if importlib.util.find_spec(name.split(".")[0]) is None and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
        importlib.invalidate_caches()
    return importlib.import_module(name)


def dimensions_of(data: Mapping[str, Any]) -> int:
    """Dimensions of the images that the ``data`` part of a configuration has, whatever the task."""
    if "size" in data:
        return len(data["size"])
    return 2 if data["patch_size"][2] == 1 else 3


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(part) for part in value)
    return isinstance(value, PLAIN)
