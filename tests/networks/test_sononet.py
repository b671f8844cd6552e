import pytest
import torch
from torch import nn

from saccade import record
from saccade.networks import AGSonoNet, SonoNet

SMALL = {"channels": (2, 3, 4, 5, 6), "convolutions": (1, 2, 1, 1, 1)}
# Counted on the authors' code for 1 channel and 14 classes.
BASE = {(8, (2, 2, 3, 3, 3)): 234_114, (8, (3, 3, 3, 2, 2)): 162_954, (32, (3, 3, 3, 2, 2)): 2_583_978}
GATED = {"concat": 177_040, "mean": 177_068, "deep_supervision": 179_322, "fine_tuned": 177_670}


def widths(w):
    return (w, 2 * w, 4 * w, 8 * w, 8 * w)


def settled(network, *space):
    """In evaluation mode, with running statistics of what it sees."""
    with torch.no_grad():
        network(torch.randn(4, 1, *space))
    return network.eval()


@pytest.mark.parametrize(("width", "convolutions"), BASE)
def test_the_parameters_of_sononet(width, convolutions):
    network = SonoNet(1, 14, channels=widths(width), convolutions=convolutions)
    assert sum(p.numel() for p in network.parameters()) == BASE[width, convolutions]


@pytest.mark.parametrize("aggregation", GATED)
def test_the_parameters_of_the_gated_form(aggregation):
    network = AGSonoNet(1, 14, channels=widths(8), aggregation=aggregation)
    assert sum(p.numel() for p in network.parameters()) == GATED[aggregation]


def test_scores_are_the_means_of_class_maps():
    network = settled(SonoNet(1, 3, **SMALL), 40, 33)
    x = torch.randn(2, 1, 40, 33)
    maps = network.class_maps(x)
    assert maps.shape == (2, 3, 2, 2)
    torch.testing.assert_close(network(x), maps.mean((2, 3)))


def test_the_class_map_that_is_shown():
    network = settled(SonoNet(1, 3, **SMALL), 48, 64)
    x = torch.randn(2, 1, 48, 64)
    maps = network.class_maps(x).detach()[:, 1:2]
    with torch.no_grad():  # positive throughout for the first image
        network.classify[1].bias[1] -= maps[0].amin()
    maps = network.class_maps(x).detach()[:, 1:2]
    found = network.localise(x, target=1)
    assert list(found) == ["CAM"]
    wide = nn.functional.interpolate(maps, (48, 64), mode="bilinear").clamp_min(0)
    torch.testing.assert_close(found["CAM"][0], wide[0] / wide[0].max())
    with torch.no_grad():
        network.classify[1].bias[1] -= maps.amax() + 1
    assert not network.localise(x, target=1)["CAM"].any()
    assert not found["CAM"].requires_grad


def test_normalisation_can_be_left_out_of_the_blocks():
    for kind in (SonoNet, AGSonoNet):
        network = kind(1, 3, norm=None, **SMALL)
        normed = {name.split(".")[0] for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
        assert normed == ({"adapt", "classify"} if kind is SonoNet else set())


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_attention_sums_to_one_and_pools_the_two_blocks_before_the_last(dims):
    space = (33, 37, 35)[:dims]
    network = settled(AGSonoNet(1, 3, spatial_dims=dims, **SMALL), *space)
    x = torch.randn(2, 1, *space)
    with record(network) as seen:
        network(x)
    assert [(name, tuple(m.tensor.shape[2:])) for name, m in seen.items()] == [
        ("gates.0.map", tuple(n // 4 for n in space)),
        ("gates.1.map", tuple(n // 8 for n in space)),
    ]
    maps = network.features(x)
    features = network.pool(maps)
    for i, name in enumerate(seen):
        alpha = seen[name].tensor
        torch.testing.assert_close(alpha.flatten(1).sum(1), torch.ones(2))
        torch.testing.assert_close(features[i], (alpha * maps[2 + i]).flatten(2).sum(2))
    torch.testing.assert_close(features[2], maps[4].flatten(2).mean(2))


def test_what_each_aggregation_makes_of_the_features():
    x = torch.randn(2, 1, 33, 40)
    for aggregation, weights in (
        ("concat", (1,)),
        ("mean", (1, 1, 1)),
        ("deep_supervision", (1, 0.1, 0.1, 0.1)),
        ("fine_tuned", (1,)),
    ):
        network = settled(AGSonoNet(1, 3, aggregation=aggregation, **SMALL), 33, 40)
        features = network.pool(network.features(x))
        scores = network.scores(x)
        assert network.head_weights == weights
        assert len(scores) == len(weights)
        each = [head(f) for head, f in zip(network.heads, features, strict=False)]
        if aggregation == "mean":
            want = torch.stack([y.softmax(1) for y in each]).mean(0)
            torch.testing.assert_close(network(x).softmax(1), want)
            torch.testing.assert_close(network(x).exp(), want)
            continue
        seen = torch.cat(each if aggregation == "fine_tuned" else features, 1)
        torch.testing.assert_close(network(x), network.head(seen))
        for got, want in zip(scores[1:], each, strict=False):
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("aggregation", GATED)
def test_the_papers_picture(aggregation):
    network = settled(AGSonoNet(1, 3, aggregation=aggregation, **SMALL), 48, 64)
    with torch.no_grad():  # evidence for the class, not against it
        for layer in [*network.heads, *([network.head] if aggregation != "mean" else [])]:
            layer.weight.abs_()
    x = torch.randn(2, 1, 48, 64)
    found = network.localise(x, target=1)
    assert list(found) == ["AG1", "AG2", "CAM", "all"]
    for y in found.values():
        assert y.shape == (2, 1, 48, 64)
        assert y.min() >= 0
        assert y.max() <= 1
    assert (found["CAM"].amax((1, 2, 3)) == 1).all()
    torch.testing.assert_close(found["all"], (found["AG1"] + found["AG2"] + found["CAM"]) / 3)
    coarse = network.features(x)[-1]
    weight = {
        "concat": lambda: network.head.weight[:, -6:],
        "deep_supervision": lambda: network.head.weight[:, -6:],
        "mean": lambda: network.heads[2].weight,
        "fine_tuned": lambda: network.head.weight[:, -3:] @ network.heads[2].weight,
    }[aggregation]()[1]
    cam = nn.functional.interpolate(torch.einsum("c,bchw->bhw", weight, coarse)[:, None], (48, 64), mode="bilinear")
    torch.testing.assert_close(found["CAM"], cam / cam.amax((1, 2, 3), keepdim=True), rtol=1e-4, atol=1e-5)


def test_evidence_against_a_class_is_no_evidence():
    network = settled(AGSonoNet(1, 3, aggregation="concat", **SMALL), 48, 64)
    with torch.no_grad():
        network.head.weight.abs_().neg_()
    assert not network.localise(torch.randn(1, 1, 48, 64), target=0)["CAM"].any()


def test_the_gates_start_as_published():
    assert torch.equal(AGSonoNet(1, 2, variant="sigmoid", **SMALL).gates[0].psi.bias, torch.tensor([3.0]))
    assert torch.equal(AGSonoNet(1, 2, variant="softmax", **SMALL).gates[1].psi.bias, torch.tensor([10.0]))
    gate = AGSonoNet(1, 2, **SMALL).gates[0]
    assert (gate.phi.bias, gate.variant, gate.subsample) == (None, "mean_flow", (1, 1))
    assert gate.theta.weight.shape == (6, 4, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"aggregation": "means"},
            r"^AGSonoNet: unknown aggregation 'means'\. Did you mean 'mean'\? Known: concat, mean",
        ),
        ({"variant": "soft"}, r"^AttentionGate: unknown variant 'soft'\. Did you mean 'softmax'\?"),
        ({"channels": (4, 8)}, r"^AGSonoNet: channels must name at least 3 blocks, got 2\.$"),
        ({"convolutions": (1,)}, r"^AGSonoNet: channels and convolutions must name the same blocks, got 5 and 1\.$"),
    ],
)
def test_what_cannot_be_built_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        AGSonoNet(1, 2, **arguments)


def test_an_input_that_is_too_small_is_named():
    message = r"^SonoNet: every axis must have at least 16 positions, got \(16, 15\)\. Take fewer blocks\.$"
    with pytest.raises(ValueError, match=message):
        SonoNet(1, 2, **SMALL)(torch.randn(1, 1, 16, 15))
