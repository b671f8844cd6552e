"""Weights and checkpoints on disk: read without executing anything in them; and what weights are known by."""

import hashlib
import warnings
from pathlib import Path
from typing import Any

import torch

from saccade.errors import InputError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint to resume from holds; nothing in it is executed.

    Raises:
        InputError: If the file is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # torch remarks on foreign pickles
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has no error of its own: what is raised depends on where the damage is
        reason = str(error).strip().split("\n")[0][:100]
        raise InputError(f"{path}: cannot be read as a checkpoint ({reason}). Train again in a new folder.") from None
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict) or "epoch" not in content:
        raise InputError(f"{path}: must be a checkpoint of a run, holds something else. Train again in a new folder.")
    return content


def load_weights(network: torch.nn.Module, path: Path) -> torch.nn.Module:
    """Load a run's kept weights.

    Raises:
        InputError: If the file is missing, damaged, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as weights ({error}). Restore the file or train again.") from None
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: holds the weights of another network than config.yaml describes ({reason})."
        ) from None
    return network


def weights_digest(network: torch.nn.Module) -> str:
    """A digest of a network's weights and their names."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
