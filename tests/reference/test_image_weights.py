"""Weights of torchvision and timm, by lists of names and shapes made from the architectures' public definitions."""

import pytest
import torch

from saccade import from_reference, load_reference
from saccade.attention import EfficientChannelAttention, SqueezeExcitation
from saccade.networks import VGG, AlexNet, DenseNet, ResNet


def norm(name, width):
    shapes = {f"{name}.{key}": (width,) for key in ("weight", "bias", "running_mean", "running_var")}
    return {**shapes, f"{name}.num_batches_tracked": ()}


def layer(name, *shape):
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def resnet(widths, blocks, *, bottleneck=False, classes=1000, attention=lambda name, width: {}):
    found = {"conv1.weight": (widths[0], 3, 7, 7), **norm("bn1", widths[0])}
    into = widths[0]
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
        for i in range(count):
            name, out = f"layer{stage}.{i}", 4 * width if bottleneck else width
            shapes = [(width, into, 3, 3), (width, width, 3, 3)]
            if bottleneck:
                shapes = [(width, into, 1, 1), (width, width, 3, 3), (out, width, 1, 1)]
            for n, shape in enumerate(shapes, start=1):
                found |= {f"{name}.conv{n}.weight": shape, **norm(f"{name}.bn{n}", shape[0])}
            found |= attention(f"{name}.se", out)
            if i == 0 and (stage > 1 or into != out):
                found |= {f"{name}.downsample.0.weight": (out, into, 1, 1), **norm(f"{name}.downsample.1", out)}
            into = out
    return {**found, **layer("fc", classes, into)}


def vgg(widths, convolutions, *, normed, hidden, classes):
    found, into, index = {}, 3, 0
    for width, count in zip(widths, convolutions, strict=True):
        for _ in range(count):
            found |= layer(f"features.{index}", width, into, 3, 3)
            found |= norm(f"features.{index + 1}", width) if normed else {}
            into, index = width, index + (3 if normed else 2)
        index += 1
    return found, {"0": (hidden, into * 49), "3": (hidden, hidden), "6": (classes, hidden)}


def densenet(width, growth, blocks, classes):
    found = {"features.conv0.weight": (width, 3, 7, 7), **norm("features.norm0", width)}
    for block, count in enumerate(blocks, start=1):
        for i in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{i}"
            found |= {**norm(f"{name}.norm1", width), f"{name}.conv1.weight": (4 * growth, width, 1, 1)}
            found |= {**norm(f"{name}.norm2", 4 * growth), f"{name}.conv2.weight": (growth, 4 * growth, 3, 3)}
            width += growth
        if block < len(blocks):
            name = f"features.transition{block}"
            found |= {**norm(f"{name}.norm", width), f"{name}.conv.weight": (width // 2, width, 1, 1)}
            width //= 2
    return {**found, **norm("features.norm5", width), **layer("classifier", classes, width)}


def random(shapes):
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.tensor(7) if shape == () else torch.rand(shape, generator=generator) for key, shape in shapes.items()
    }


PUBLISHED = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True),
    "resnet152": ((3, 8, 36, 3), True),
}


@pytest.mark.parametrize("source", ["torchvision", "timm"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_shapes_of_the_published_resnets(name, source):
    blocks, bottleneck = PUBLISHED[name]
    with torch.device("meta"):
        network = from_reference(source, name, {"num_classes": 7})
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert shapes == resnet((64, 128, 256, 512), blocks, bottleneck=bottleneck, classes=7)


@pytest.mark.parametrize("source", ["torchvision", "timm"])
@pytest.mark.parametrize("bottleneck", [False, True])
def test_weights_of_resnets_come_to_their_places(source, bottleneck):
    widths, blocks = (4, 6, 8), (2, 1, 2)
    network = ResNet(3, 5, channels=widths, blocks=blocks, bottleneck=bottleneck)
    state = random(resnet(widths, blocks, bottleneck=bottleneck, classes=5))
    assert load_reference(network, state, source) is network
    found = network.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], value) for key, value in state.items())


@pytest.mark.parametrize("normed", [False, True])
def test_weights_of_vggs_come_to_their_places(normed):
    widths, convolutions = (2, 3, 4), (1, 2, 1)
    settings = {"channels": widths, "convolutions": convolutions, "norm": "batch" if normed else None, "hidden": 6}
    features, head = vgg(widths, convolutions, normed=normed, hidden=6, classes=5)
    shapes = {**features}
    for index, shape in head.items():
        shapes |= layer(f"classifier.{index}", *shape)
    state = random(shapes)
    vision = load_reference(VGG(3, 5, **settings), state, "torchvision").eval()
    assert all(torch.equal(vision.state_dict()[key], value) for key, value in state.items())
    # timm: the hidden layers are convolutions of the kernel of the whole grid.
    names = {"0": "pre_logits.fc1", "3": "pre_logits.fc2", "6": "head.fc"}
    kernels = {"0": (6, widths[-1], 7, 7), "3": (6, 6, 1, 1), "6": (5, 6)}
    timm_state = {key: value for key, value in state.items() if key.startswith("features.")}
    for index, name in names.items():
        timm_state[f"{name}.weight"] = state[f"classifier.{index}.weight"].reshape(kernels[index])
        timm_state[f"{name}.bias"] = state[f"classifier.{index}.bias"]
    timm = load_reference(VGG(3, 5, **settings), timm_state, "timm").eval()
    x = torch.randn(2, 3, 24, 32)
    assert torch.equal(timm(x), vision(x))


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_weights_of_densenets_come_to_their_places(source):
    network = DenseNet(3, 5, growth=2, blocks=(2, 1, 1, 2), width=4)
    state = random(densenet(4, 2, (2, 1, 1, 2), 5))
    load_reference(network, state, source)
    found = network.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], value) for key, value in state.items())


def test_weights_of_alexnet_come_to_their_places():
    widths = (3, 2, 3, 4, 5, 2)
    kernels = (11, 5, 3, 3, 3)
    shapes = {}
    for i, index in enumerate((0, 3, 6, 8, 10)):
        shapes |= layer(f"features.{index}", widths[i + 1], widths[i], kernels[i], kernels[i])
    for index, shape in {1: (6, 2 * 36), 4: (6, 6), 6: (5, 6)}.items():
        shapes |= layer(f"classifier.{index}", *shape)
    state = random(shapes)
    network = load_reference(AlexNet(3, 5, channels=widths[1:], hidden=6), state, "torchvision")
    assert network.state_dict().keys() == state.keys()


def test_squeeze_and_excitation_of_timm():
    widths, blocks = (16, 32), (2, 1)

    def squeeze(name, width):
        return {**layer(f"{name}.fc1", width // 4, width, 1, 1), **layer(f"{name}.fc2", width, width // 4, 1, 1)}

    state = random(resnet(widths, blocks, classes=5, attention=squeeze))
    network = ResNet(3, 5, channels=widths, blocks=blocks, attention=lambda c: SqueezeExcitation(c, reduction=4))
    load_reference(network, state, "timm")
    part = network.layer2[0].attention
    assert torch.equal(part.shrink.weight, state["layer2.0.se.fc1.weight"][:, :, 0, 0])
    assert torch.equal(part.grow.bias, state["layer2.0.se.fc2.bias"])
    with pytest.raises(
        ValueError, match=r"^load_reference: torchvision: these keys fit nothing in ResNet: layer1\.0\.se\."
    ):
        load_reference(network, state, "torchvision")


def test_the_squeeze_of_timm_has_at_least_eight_units():
    with torch.device("meta"):
        network = from_reference("timm", "seresnet18", {"num_classes": 2, "in_chans": 1})
    hidden = [network.get_submodule(f"layer{i}.0.attention.shrink").out_features for i in (1, 2, 3, 4)]
    assert hidden == [8, 8, 16, 32]
    assert network.conv1.in_channels == 1


def test_efficient_channel_attention_of_timm():
    state = random(resnet((16, 32), (1, 1), classes=5, attention=lambda name, _: {f"{name}.conv.weight": (1, 1, 3)}))
    network = ResNet(3, 5, channels=(16, 32), blocks=(1, 1), attention=EfficientChannelAttention)
    load_reference(network, state, "timm")
    assert torch.equal(network.layer1[0].attention.conv.weight, state["layer1.0.se.conv.weight"])
    with torch.device("meta"):
        kernels = from_reference("timm", "ecaresnet50", {}).layer1[0].attention.conv.weight.shape
    assert kernels == (1, 1, 5)


@pytest.mark.parametrize(
    ("source", "name", "kind"),
    [
        ("torchvision", "vgg11", VGG),
        ("torchvision", "vgg19_bn", VGG),
        ("timm", "vgg16_bn", VGG),
        ("torchvision", "alexnet", AlexNet),
        ("torchvision", "densenet161", DenseNet),
        ("timm", "densenet121", DenseNet),
    ],
)
def test_other_published_networks_by_name(source, name, kind):
    with torch.device("meta"):
        network = from_reference(source, name, {"num_classes": 9})
    assert type(network) is kind
    last = network.classifier if kind is DenseNet else network.classifier[-1]
    assert last.out_features == 9


def test_what_does_not_fit_is_named():
    network = ResNet(3, 5, channels=(4, 6), blocks=(1, 1))
    state = random(resnet((4, 6), (1, 1), classes=5))
    with pytest.raises(
        ValueError, match=r"^load_reference: torchvision: these keys fit nothing in ResNet: fc2\.weight\.$"
    ):
        load_reference(network, {**state, "fc2.weight": torch.zeros(1)}, "torchvision")
    less = {key: value for key, value in state.items() if key != "layer2.0.downsample.0.weight"}
    with pytest.raises(
        ValueError,
        match=r"^load_reference: timm: these keys of ResNet are missing: layer2\.0\.downsample\.0\.weight\.$",
    ):
        load_reference(network, less, "timm")
    with pytest.raises(
        ValueError, match=r"^load_reference: torchvision: fc\.weight must have shape \(3, 6\), got \(5, 6\)"
    ):
        load_reference(ResNet(3, 3, channels=(4, 6), blocks=(1, 1)), state, "torchvision")
