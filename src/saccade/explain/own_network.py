"""A network of the user's own that was never trained here, opened so that it can be explained like a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saccade.data.classification.case import Case
from saccade.data.classification.read import read_image
from saccade.errors import InputError, unknown_name
from saccade.explain.hooks import run_quietly
from saccade.systems.own import OwnNetwork
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.classification.dataset import prepare_image
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.initialise import initialise
from saccade.tasks.settings import merge

SECTIONS = ("data", "network")


def open_network(
    name: str, example: Case, *, weights: Path | None, settings: Mapping[str, Any], device: str = "cpu"
) -> ClassificationPredictor:
    """A network that gives scores (b, outputs) for images (b, channels, *space), with what its images need.

    What is not said is taken from one image: its size and channels. Values are brought to mean 0 and standard deviation
    1 unless ``data.intensity`` says otherwise; classes without names are called by their numbers.

    Args:
        name: ``package.module:Network``; importing the module runs its code.
        example: One of the images.
        weights: A file of tensors, a run's folder, or None for the weights that the constructor leaves; nothing in it
            is executed.
        settings: Nested, as in a run's ``config.yaml``: ``data`` and ``network``; all of ``network`` goes to the
            constructor, and ``in_channels``, ``spatial_dims`` and (of targets that are named) ``out_channels`` if it
            has parameters of these names.
        device: Where to compute.

    Raises:
        InputError: If the network cannot be made or gives no scores, or weights, settings or image do not fit it.
    """
    for section in settings:
        if section not in SECTIONS:
            raise unknown_name("explain --set", "section", section, list(SECTIONS))
    image, said = read_image(example.source), settings.get("data", {})
    data: dict[str, Any] = {
        "root": str(example.file.parent),
        "columns": ["class"],
        "kind": "classes",
        "channels": image.array.shape[-1],
        "size": list(image.space),
        "intensity": {"kind": "z_score"},
        "classes": ["first", "second"],  # until the number of outputs is known
    }
    data = merge(data, said)
    config = ClassificationConfig.parse({"system": name, "data": data}, name)
    network = _make(name, config, settings.get("network", {}), named={"classes", "columns"} & set(said) != set())
    if weights is not None:
        _load(network, weights)
    outputs = _outputs(name, network, prepare_image(image, config.data, str(example.source))[None])
    if "classes" not in said:
        data["classes"] = [str(number) for number in range(outputs)]
        config = ClassificationConfig.parse({"system": name, "data": data}, name)
    if config.data.outputs != outputs:
        raise InputError(f"{name}: gives {outputs} scores, data.classes and data.columns name {config.data.outputs}.")
    return ClassificationPredictor(network, config, device=device)


def _make(name: str, config: ClassificationConfig, settings: Mapping[str, Any], *, named: bool) -> nn.Module:
    """The network, its constructor told what the images are and, where the targets are named, how many there are."""
    own = OwnNetwork(name, settings, "classification")
    sizes = {"in_channels": config.data.channels, "spatial_dims": len(config.data.size)}
    if named:
        sizes["out_channels"] = config.data.outputs
    known = {key: value for key, value in sizes.items() if key in own.parameters}
    return own.network(own.Network.parse({**known, **settings}, name))


def _load(network: nn.Module, weights: Path) -> None:
    """All weights of a network, none left as it was and none of the file left over."""
    found = initialise(network, weights)
    if found.not_found or found.other_shape or found.unused:
        raise InputError(f"{weights}: must hold the weights of this very network, only {found.line()}.")


def _outputs(name: str, network: nn.Module, x: Tensor) -> int:
    try:
        output = run_quietly(network, x)
    except Exception as error:  # whatever a stranger's network raises
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{name}: cannot take an image of {tuple(x.shape[1:])} ({type(error).__name__}: {reason}). "
            "Set data.size and data.channels as it was trained."
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 1:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(
            f"{name}: must give scores (1, outputs) for one image, gives {shape}. Use saccade.explain in Python."
        )
    return int(output.shape[1])
