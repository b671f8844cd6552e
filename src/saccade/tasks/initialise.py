"""First weights out of another network: what fits by name and shape is taken, and what was and was not is told."""

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saccade.data.splits import file_hash
from saccade.errors import InputError

# what frameworks put before the names of a network's tensors; in a checkpoint of ours the averaged weights come first
PREFIXES = ("", "average.module.", "network.", "module.", "model.", "net.")
BACKBONES = ("", "backbone.")  # where a network keeps one that is published, or trained, by itself
SHOWN = 3


@dataclass(frozen=True)
class Initialisation:
    """What became of each tensor; this is what ``init.json`` holds.

    Attributes:
        source: The file.
        sha256: Of the file.
        loaded: Tensors of the network that were found.
        other_shape: Those found with another shape, left as they were: name -> (shape there, shape here).
        not_found: Those that the file has not, left as they were.
        unused: Tensors of the file that the network has not.
    """

    source: str
    sha256: str
    loaded: list[str]
    other_shape: dict[str, tuple[list[int], list[int]]]
    not_found: list[str]
    unused: list[str]

    def line(self) -> str:
        """All of it in one line."""
        kept = [*self.other_shape, *self.not_found]
        named = ", ".join(kept[:SHOWN]) + (", ..." if len(kept) > SHOWN else "")
        left = f"; {len(kept)} begin anew ({named})" if kept else ""
        unused = f"; {len(self.unused)} of the file not used" if self.unused else ""
        return f"{len(self.loaded)} of {len(self.loaded) + len(kept)} tensors from {self.source}{left}{unused}"

    def content(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)


def initialise(network: nn.Module, source: Path) -> Initialisation:
    """Take the tensors of another network that fit by name and shape.

    Args:
        network: Changed in place.
        source: A run's folder (its kept weights), a ``.safetensors`` file, or a torch file that holds nothing but
            tensors and plain values (``.pt``, ``.pth``, ``.ckpt``); nothing in it is executed.

    Raises:
        InputError: If there is no such file, it cannot be read, or none of its tensors fits.
    """
    path = source / "model.safetensors" if source.is_dir() else source
    found = _without_prefix(read_tensors(path), network)
    own = network.state_dict()
    loaded = [name for name in own if name in found and found[name].shape == own[name].shape]
    if not loaded:
        raise InputError(f"{path}: none of its {len(found)} tensors fits the network, by name and shape.")
    with torch.no_grad():
        for name in loaded:
            own[name].copy_(found[name])
    return Initialisation(
        source=str(path),
        sha256=file_hash(path),
        loaded=loaded,
        other_shape={
            name: (list(found[name].shape), list(own[name].shape))
            for name in own
            if name in found and name not in loaded
        },
        not_found=[name for name in own if name not in found],
        unused=[name for name in found if name not in own],
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file of weights; nothing in it is executed.

    Raises:
        InputError: If it is missing, damaged, or holds anything else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"{path}: must be a run or a file of weights, there is no such file.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # torch remarks on foreign pickles
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0][:100]
        raise InputError(
            f"{path}: cannot be read as weights ({reason}). Save them with safetensors.torch.save_file."
        ) from None
    for key in ("state_dict", "model_state_dict", "network_weights", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = {
        str(name): value for name, value in content.items() if isinstance(value, Tensor)
    } if isinstance(content, Mapping) else {}  # fmt: skip
    if not tensors:
        raise InputError(f"{path}: must hold named tensors (a state_dict), holds none.")
    return tensors


def _without_prefix(found: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The tensors under the names that the network would give them."""
    own = network.state_dict()

    def renamed(prefix: str, backbone: str) -> dict[str, Tensor]:
        return {backbone + name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}

    ways = (renamed(prefix, backbone) for backbone in BACKBONES for prefix in PREFIXES)
    return max(ways, key=lambda tensors: len(tensors.keys() & own.keys()))
