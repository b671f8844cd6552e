"""Lesions found and described in words, after Kisilev et al. 2016, doi:10.1007/978-3-319-46976-8_13.

The paper's layers and numbers could not be had. What is built is a proposal: its stages (candidates, ranked; regions
reduced; a value of each descriptor; sentence templates) in the form of Faster R-CNN, with one loss over all questions,
``L_objectness + L_box + L_class + L_box' + w sum_d L_d``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from saccade.losses.detection import Objects
from saccade.losses.proposals import description_losses, proposal_loss, region_loss, sample_regions
from saccade.networks.lesion_describer import LesionDescriber, Maps
from saccade.sentences import Sentences
from saccade.systems.detecting import chances, select
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.detections import Located
from saccade.tasks.settings import Settings, merge

LOSSES = ("softmax",)
SENTENCE = "sentence"
DESCRIPTORS = ["shape", "margin", "density"]  # of BI-RADS for masses; another list: data.descriptors
# A turned or stretched lesion has another box, but neither another shape nor another margin; stretching is mild.
AUGMENTATION = {"rotation_degrees": 0.0, "scale": [0.9, 1.1], "shift_fraction": 0.05, "flip_axes": [0, 1]}
DEFAULT: dict[str, Any] = {
    "plan": {"pixels": 512 * 512, "descriptors": DESCRIPTORS},
    "augmentation": AUGMENTATION,
    "training": {"epochs": 60, "batch_size": 8, "learning_rate": 1e-3, "weight_averaging": 0.99, "keep": "last"},
    "inference": {"overlap": 0.3},
}
# For minutes on a CPU: pictures of at most 128 x 128 through half of the width.
TINY = merge(
    DEFAULT,
    {
        "plan": {"pixels": 128 * 128},
        "network": {
            "channels": [16, 32, 48, 64],
            "convolutions": [1, 1, 2, 2],
            "cut_from": 3,
            "width": 16,
            "hidden": 96,
        },
        "training": {"epochs": 20, "learning_rate": 2e-3},
    },
)
PRESETS = {"default": DEFAULT, "tiny": TINY}


class Network(Settings):
    """Settings of the network; see `saccade.networks.LesionDescriber`."""

    in_channels: int = Field(1, ge=1)
    out_channels: int = Field(2, ge=2, description="classes, and background first")
    spatial_dims: Literal[2, 3] = 2
    descriptors: tuple[int, ...] = Field((3, 5, 4), description="how many values each descriptor has")
    channels: tuple[int, ...] = Field((32, 64, 128, 128), description="width of each block of the trunk")
    convolutions: tuple[int, ...] = Field((1, 1, 2, 2), description="convolutions of each block")
    cut_from: int = Field(2, ge=1, description="how many of the last blocks' maps regions are cut from")
    shared: bool = Field(True, description="false: a second trunk of its own tells the descriptors, the control")
    sides: tuple[float, ...] = Field((16.0, 24.0, 36.0), min_length=1, description="of the anchors, pixels")
    width: int = Field(32, ge=1, description="channels that maps are reduced to before regions are cut")
    hidden: int = Field(128, ge=1, description="units of both linear layers")
    around: float = Field(1.25, ge=1, description="side of the square cut out around a region, in its longest sides")
    proposals: int = Field(32, ge=1, description="boxes of an image that are looked at")
    anchors_sampled: int = Field(64, ge=2, description="training: anchors of an image that count")
    regions_sampled: int = Field(16, ge=2, description="training: regions of an image that count")
    description_weight: float = Field(1.0, ge=0, description="training: what each descriptor's loss counts")


_OF_TRAINING = ("anchors_sampled", "regions_sampled", "description_weight")


def plan_network(data: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Dimensions, descriptors, and anchors as large as the objects are.

    Raises:
        InputError: If a class or value cannot be said in a sentence.
    """
    descriptors = data["descriptors"]
    Sentences(data["classes"], descriptors)
    return {
        "spatial_dims": len(data["size"]),
        "descriptors": [len(values) for values in descriptors.values()],
        "sides": [round(side, 1) for side in data["object_sides"]],
        **network,
    }


def network(settings: Network) -> LesionDescriber:
    """The network of these settings."""
    return LesionDescriber(**settings.model_dump(exclude=set(_OF_TRAINING)))


def layer_groups(network: LesionDescriber) -> list[list[str]]:
    """The trunks, and all behind."""
    trunks = ("trunk", "second_trunk")
    names = dict.fromkeys(name.split(".")[0] for name, _ in network.named_parameters())
    return [[f"{name}.*" for name in names if name in trunks], [f"{name}.*" for name in names if name not in trunks]]


def training_loss(
    network: LesionDescriber, images: Float[Tensor, "b c *space"], objects: Sequence[Objects], config: DetectionConfig
) -> dict[str, Tensor]:
    """Of the anchors presence and box, of the regions class and box, and each descriptor where it is known."""
    settings = Network(**config.network)
    maps = network.see(images)
    first = proposal_loss(
        maps.scores.float(),
        maps.offsets.float(),
        objects,
        network.anchors(maps),
        sampled=settings.anchors_sampled,
    )
    regions = sample_regions(
        network.propose(maps, most=2 * settings.regions_sampled),
        objects,
        threshold=config.training.overlap,
        sampled=settings.regions_sampled,
    )
    said = network.read(maps, regions.boxes)
    second = region_loss(said.classes.float(), said.offsets.float(), regions)
    scores = (each.float() for each in said.descriptors)
    words = description_losses(dict(zip(config.data.descriptors, scores, strict=True)), regions.more)
    return {
        "objectness": first.classes,
        "proposals": first.location,
        "classes": second.classes,
        "location": second.location,
        **{f"descriptor {name}": settings.description_weight * loss for name, loss in words.items()},
    }


def detect(network: LesionDescriber, images: Float[Tensor, "b c *space"], config: DetectionConfig) -> list[Located]:
    """Lesions with a value of each descriptor, told from the final box, and a sentence."""
    maps = network.see(images)
    said = network.read(maps, network.propose(maps))
    scores = said.classes.split([len(boxes) for boxes in said.boxes])
    located = [
        select(boxes[None], chances(own, config)[None], config)[0]
        for boxes, own in zip(network.refine(maps, said), scores, strict=True)
    ]
    words = _words(network, maps, [found.boxes for found in located], config)
    names = config.data.classes
    sentences = Sentences(names, config.data.descriptors)
    return [
        Located(
            found.boxes,
            found.scores,
            found.classes,
            tuple(
                {**values, SENTENCE: sentences.write(names[number], values)}
                for number, values in zip(found.classes.tolist(), own, strict=True)
            ),
        )
        for found, own in zip(located, words, strict=True)
    ]


def describe(
    network: LesionDescriber,
    images: Float[Tensor, "b c *space"],
    boxes: Sequence[Float[Tensor, "_ box"]],
    config: DetectionConfig,
) -> list[list[dict[str, str]]]:
    """What lesions in given boxes are like: for each image, for each box descriptor -> value.

    Args:
        network: In evaluation.
        images: Prepared.
        boxes: Of each image, in pixels of the prepared image, its last axis first.
        config: The run.
    """
    return _words(network, network.see(images), boxes, config)


def _words(
    network: LesionDescriber, maps: Maps, boxes: Sequence[Tensor], config: DetectionConfig
) -> list[list[dict[str, str]]]:
    said = network.read(maps, boxes)
    best = [scores.argmax(1).tolist() for scores in said.descriptors]
    values = [
        {name: known[number] for (name, known), number in zip(config.data.descriptors.items(), row, strict=True)}
        for row in (zip(*best, strict=True) if best else [()] * sum(map(len, boxes)))
    ]
    found, start = [], 0
    for of_image in boxes:
        found.append(values[start : start + len(of_image)])
        start += len(of_image)
    return found
