"""What detection brings to the life cycle of a run.

The module of a detection system (`saccade.systems.ssd` for one) offers, besides ``Network``, ``PRESETS``,
``plan_network(data, network)`` and ``network(settings)``, what `saccade.tasks.detection.hooks.DetectionSystem` says:

    LOSSES: tuple[str, ...]                       values of training.loss, the first is what ``auto`` means
    training_loss(network, images, objects, config) -> dict[str, Tensor]      named parts, their sum is minimised
    detect(network, images, config) -> list[Located]                          one for each image, the surest first
    simplify(objects, size, config) -> Objects                                optional: what of the objects is wanted
    layer_groups(network) -> list[list[str]]                                  optional

- ``images``: (b, c, *space) prepared.
- ``objects``: one `saccade.losses.Objects` for each image: ``boxes`` (n, 2d), ``classes`` (n,) from 0, ``ignored``
  (m, 2d) boxes (difficult, crowd) that are neither objects nor background, ``more``: descriptor -> (n,) number of its
  value in ``config.data.descriptors[name]``, -1 where unknown.
- ``config``: the whole `DetectionConfig`: ``data.classes``, ``data.descriptors``, ``data.size``, ``training.loss``,
  ``inference.score`` and so on.
- ``Located``: ``boxes`` (n, 2d), ``scores`` (n,), ``classes`` (n,), ``more`` (n mappings str -> str, or none).

Boxes are in pixels of the prepared image, the first pixel reaching from 0 to 1, the LAST axis of the image first: x, y
of pictures (c, rows, columns); of volumes (c, i, j, k) along k, j, i (so that x is always the last axis, as in
`saccade.layers.anchors`). `augment` of this package moves boxes in this very order.

A system that learns what objects are like names the columns in a preset, ``plan: {"descriptors": [...]}``;
their values in the training data end up in ``config.data.descriptors``: name -> values in order.
"""

from pathlib import Path

from torch import nn

from saccade.tasks.detection.begin import deal, describe_case, open_dataset, plan
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.predictor import DetectionPredictor
from saccade.tasks.detection.train import finish, fit

__all__ = [
    "Config", "deal", "describe_case", "finish", "fit", "make_predictor", "open_dataset", "plan", "plan_line",
    "sizes",
]  # fmt: skip

Config = DetectionConfig


def make_predictor(network: nn.Module, config: DetectionConfig, run: Path, *, device: str) -> DetectionPredictor:
    """What applies the network; nothing else of the run belongs to it."""
    return DetectionPredictor(network, config, device=device)


def plan_line(config: DetectionConfig) -> str:
    """Classes, descriptors, size and values."""
    data = config.data
    size = " x ".join(map(str, data.size))
    more = f", with {', '.join(data.descriptors)}" if data.descriptors else ""
    classes = f"{len(data.classes)} class{'es' * (len(data.classes) > 1)}{more}"
    return f"{classes}; images {size}, {data.channels} channel(s), {data.intensity.kind}; loss {config.training.loss}"


def sizes(config: DetectionConfig) -> tuple[int, int]:
    """Channels of the images, and the scores of an anchor."""
    return config.data.channels, config.outputs
