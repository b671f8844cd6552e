"""The detection systems: presets, plans, losses against the library's, detections of networks that say one thing."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import saccade
from saccade.errors import InputError
from saccade.losses import Objects, focal_detection_loss, focal_loss, lecture_loss, multibox_loss
from saccade.systems import SYSTEMS, find_implementation
from saccade.systems.detecting import select
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.hooks import DetectionSystem
from saccade.tasks.initialise import initialise
from saccade.tasks.settings import merge

NAMES = ("ssd", "ssd300", "retinanet")
SMALL = {"ssd": {"channels": (2, 4, 4, 8), "blocks": (1, 1, 1, 1), "width": 4}, "ssd300": {"width": 0.02},
         "retinanet": {"channels": (2, 4, 4), "blocks": (1, 1, 1), "width": 8, "depth": 1}}  # fmt: skip
SIZE = (64, 64)
KNOWN = Objects(torch.tensor([[4.0, 8, 30, 36], [40, 40, 60, 56]]), torch.tensor([1, 0]))
NOTHING = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))


def configured(name: str, preset: str = "tiny", size: tuple[int, ...] = SIZE, **changes) -> DetectionConfig:
    module = find_implementation(name)
    decided = {"data": {"root": ".", "classes": ["a", "b"], "size": size, "intensity": {"kind": "z_score"}}}
    values = {key: value for key, value in module.PRESETS[preset].items() if key != "plan"}
    config = DetectionConfig.parse(merge({"system": name}, decided, values, {"network": SMALL[name]}, changes), name)
    loss = module.LOSSES[0] if config.training.loss == "auto" else config.training.loss
    config = config.model_copy(update={"training": config.training.model_copy(update={"loss": loss})})
    planned = module.Network.parse(module.plan_network(config.data.model_dump(), config.network), name)
    return config.model_copy(update={"network": planned.model_dump(exclude={"in_channels", "out_channels"})})


def built(name: str, config: DetectionConfig) -> nn.Module:
    torch.manual_seed(0)
    return saccade.build(name, **config.network, in_channels=1, out_channels=config.outputs)


class Says(nn.Module):
    """A network that says the same of every image."""

    def __init__(self, like: nn.Module, scores: torch.Tensor, boxes: torch.Tensor) -> None:
        super().__init__()
        self.like, self.scores, self.boxes = like, scores, boxes
        self.anchors = like.anchors

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.scores.expand(len(x), -1, -1), self.boxes.expand(len(x), -1, -1)


def speaking(name: str, config: DetectionConfig, sure: int, number: int) -> Says:
    """One that is sure of one anchor, for a class, and moves no anchor."""
    network = built(name, config)
    with torch.no_grad():
        scores, boxes = network.eval()(torch.zeros(1, 1, *SIZE))
    scores = torch.full_like(scores, -9.0)
    if config.training.loss == "softmax":
        scores[..., 0] = 9.0
    scores[0, sure, number + (config.training.loss == "softmax")] = 12.0
    return Says(network, scores, torch.zeros_like(boxes))


@pytest.mark.parametrize("name", NAMES)
def test_the_table_and_the_hooks(name) -> None:
    with torch.device("meta"):
        network = saccade.build(name)
    assert sum(p.numel() for p in network.parameters()) == SYSTEMS[name].parameters
    module = find_implementation(name)
    assert isinstance(module, DetectionSystem)
    for preset in module.PRESETS:
        config = configured(name, preset, size=(300, 300) if preset == "paper" else SIZE)
        assert config.training.loss in module.LOSSES


@pytest.mark.parametrize("name", NAMES)
def test_layer_groups_hold_every_parameter_once(name) -> None:
    from fnmatch import fnmatchcase

    network = built(name, configured(name))
    groups = find_implementation(name).layer_groups(network)
    assert len(groups) == 3
    for parameter, _ in network.named_parameters():
        assert sum(fnmatchcase(parameter, pattern) for group in groups for pattern in group) == 1, parameter
    names = [parameter for parameter, _ in network.named_parameters()]
    assert all(any(fnmatchcase(name, pattern) for name in names) for group in groups for pattern in group)


@pytest.mark.parametrize(
    ("name", "loss"), [("ssd", "focal"), ("ssd", "softmax"), ("ssd300", "softmax"), ("retinanet", "focal")]
)
def test_a_network_that_is_sure_of_one_anchor_finds_that_box(name, loss) -> None:
    config = configured(name, training={"loss": loss})
    network = speaking(name, config, sure=5, number=1)
    found = find_implementation(name).detect(network, torch.zeros(2, 1, *SIZE), config)
    assert len(found) == 2
    boxes = network.anchors() if name == "ssd300" else network.anchors(SIZE)
    boxes = boxes[0] if name == "ssd" else boxes
    expected = boxes[5] if name == "retinanet" else boxes[5] * 64
    for located in found:
        torch.testing.assert_close(located.boxes[0], expected)
        assert located.classes[0] == 1
        assert located.scores[0] > 0.9


def test_losses_are_the_librarys() -> None:
    images = torch.randn(2, 1, *SIZE)
    known = [KNOWN, NOTHING]
    parts = [Objects(item.boxes / 64, item.classes) for item in known]

    config = configured("ssd", training={"loss": "focal", "alpha": 0.3, "gamma": 1.5, "overlap": 0.45})
    network = built("ssd", config).eval()
    found = find_implementation("ssd").training_loss(network, images, known, config)
    expected = lecture_loss(
        *network(images), parts, *network.anchors(SIZE), threshold=0.45,
        class_loss=lambda x, t: focal_loss(x, t, alpha=0.3, gamma=1.5),
    )  # fmt: skip
    torch.testing.assert_close(found, {"location": expected.location / 2, "classes": expected.classes / 2})

    config = configured("ssd300", training={"overlap": 0.35})
    network = built("ssd300", config).eval()
    found = find_implementation("ssd300").training_loss(network, images, known, config)
    wanted = multibox_loss(*network(images), parts, network.anchors(), threshold=0.35)
    torch.testing.assert_close(found, {"location": wanted.location, "classes": wanted.classes})

    config = configured("retinanet", training={"loss": "binary_cross_entropy", "overlap": 0.6})
    network = built("retinanet", config).eval()
    found = find_implementation("retinanet").training_loss(network, images, known, config)
    wanted = focal_detection_loss(
        *network(images), known, network.anchors(SIZE), threshold=0.6, background=0.5,
        class_loss=lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"),
    )  # fmt: skip
    torch.testing.assert_close(found, {"location": wanted.location, "classes": wanted.classes})


def test_softmax_counts_background_as_column_0() -> None:
    config = configured("ssd", training={"loss": "softmax"})
    assert config.outputs == 3
    module, images = find_implementation("ssd"), torch.zeros(1, 1, *SIZE)
    right = speaking("ssd", config, sure=0, number=0)
    right.scores[0, 0] = right.scores[0, 1]  # sure of background everywhere
    assert module.training_loss(right, images, [NOTHING], config)["classes"] < 1e-3
    assert module.training_loss(right, images, [KNOWN], config)["classes"] > 5


def test_the_largest_object_and_the_labels_of_an_image() -> None:
    module = find_implementation("ssd")
    largest = configured("ssd", "largest-object")
    found = module.simplify(KNOWN, SIZE, largest)
    assert found.boxes.tolist() == [[4.0, 8, 30, 36]]
    assert found.classes.tolist() == [1]
    labels = configured("ssd", "multi-label")
    twice = Objects(torch.cat([KNOWN.boxes, KNOWN.boxes]), torch.tensor([1, 0, 1, 1]))
    found = module.simplify(twice, (64, 48), labels)  # rows, columns
    assert found.boxes.tolist() == [[0, 0, 48, 64]] * 2
    assert found.classes.tolist() == [0, 1]
    assert module.simplify(KNOWN, SIZE, configured("ssd")) is KNOWN


@pytest.mark.parametrize("preset", ["largest-object", "multi-label"])
def test_the_steps_before_the_detector_learn_two_images(preset) -> None:
    module, config = find_implementation("ssd"), configured("ssd", preset, network={"dropout": 0.0})
    network = built("ssd", config)
    images = torch.zeros(3, 1, *SIZE)
    images[0, :, 8:36, 4:30] = 3
    images[1, :, 40:56, 40:60] = -3
    objects = [Objects(KNOWN.boxes[:1], KNOWN.classes[:1]), Objects(KNOWN.boxes[1:], KNOWN.classes[1:]), NOTHING]
    wanted = [module.simplify(item, SIZE, config) for item in objects]
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(120):
        loss = torch.stack(list(module.training_loss(network, images, wanted, config).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = module.detect(network, images, config)  # in training mode: the batch's own statistics
    for located, item in zip(found, objects, strict=True):
        if not len(item.boxes):
            assert (located.scores < 0.6).all()
            continue
        assert located.classes[0] == item.classes[0]
        if preset == "largest-object":
            assert len(located.boxes) == 1
            assert (located.boxes[0] - item.boxes[0]).abs().mean() < 6
        else:
            assert located.boxes[0].tolist() == [0, 0, 64, 64]
            assert located.scores[0] > 0.5


def test_a_choice_of_detections_is_made_class_by_class() -> None:
    config = configured("ssd", inference={"score": 0.3, "overlap": 0.5, "limit": 2})
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]]])
    chance = torch.tensor([[[0.9, 0.2], [0.8, 0.6], [0.4, 0.1]]])
    (found,) = select(boxes, chance, config)
    # the second box is a duplicate for class 0 and the only one for class 1; of three left the surest two stay
    assert found.classes.tolist() == [0, 1]
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.6]))
    (every,) = select(
        boxes, chance, config.model_copy(update={"inference": config.inference.model_copy(update={"limit": 9})})
    )
    assert every.classes.tolist() == [0, 1, 0]


def test_attention_stands_in_the_head() -> None:
    plain, gated = (
        built("retinanet", configured("retinanet", network={"attention": kind})) for kind in ("none", "cbam")
    )
    names = [name for name, _ in gated.named_modules() if type(gated.get_submodule(name)).__name__ == "CBAM"]
    assert names == ["of_scores.2", "of_boxes.2"]
    assert sum(p.numel() for p in gated.parameters()) > sum(p.numel() for p in plain.parameters())
    with saccade.record(gated) as maps:
        gated.eval()(torch.randn(1, 1, *SIZE))
    assert any(name.startswith("of_scores") for name in maps)


def test_a_classifiers_weights_begin_a_backbone(tmp_path) -> None:
    torch.manual_seed(1)
    resnet = saccade.build("resnet", in_channels=1, out_channels=7, channels=(2, 4, 4, 8), blocks=(1, 1, 1, 1))
    torch.save(resnet.state_dict(), tmp_path / "resnet.pt")
    network = built("ssd", configured("ssd", network={"stem": "imagenet"}))
    found = initialise(network, tmp_path / "resnet.pt")
    assert not found.other_shape
    assert found.unused == ["backbone.fc.weight", "backbone.fc.bias"]
    assert not any(name.startswith("backbone.") for name in found.not_found)
    assert torch.equal(network.backbone.layer4[0].conv2.weight, resnet.layer4[0].conv2.weight)


@pytest.mark.parametrize(("smallest", "step"), [(5.0, 2), (14.0, 4), (30.0, 8), (300.0, 32)])
def test_retinanets_finest_map_fits_the_smallest_objects(smallest, step) -> None:
    planned = find_implementation("retinanet").plan_network(
        {"size": (256, 256), "object_sides": (smallest, 50, 90)}, {}
    )
    first = 4 if planned["stem"] == "imagenet" else 1
    assert first * 2 ** planned["finest"] == step
    assert planned["base"] == min(4.0, max(1.0, round(smallest / step, 2)))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"^ssd300: data\.size must be a square, got 64 x 96\.$"):
        find_implementation("ssd300").plan_network({"size": (64, 96)}, {})
    module, config = find_implementation("ssd"), configured("ssd", "multi-label", training={"loss": "softmax"})
    with pytest.raises(InputError, match=r"training\.loss=softmax knows one class in an image; with head=labels"):
        module.training_loss(built("ssd", config), torch.randn(2, 1, *SIZE), [KNOWN, KNOWN], config)
