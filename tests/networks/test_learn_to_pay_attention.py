import pytest
import torch

from saccade import record
from saccade.networks import LearnToPayAttention

SMALL = {"channels": (2, 3, 4, 5), "convolutions": (1, 1, 2, 1)}


def parts(network, x):
    """The last three maps, mapped to the channels of the global feature, and that feature."""
    maps = network.features(x)[-3:]
    return [a.project(m) for a, m in zip(network.attention, maps, strict=True)], network.whole(
        maps[-1].flatten(2).mean(2)
    )


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("compatibility", ["additive", "dot"])
def test_places_weigh_as_they_agree_with_the_whole(compatibility, dims):
    network = LearnToPayAttention(1, 3, spatial_dims=dims, compatibility=compatibility, **SMALL).eval()
    x = torch.randn(2, 1, *(13, 11, 9)[:dims])
    with record(network) as seen, torch.no_grad():
        y = network(x)
        local, g = parts(network, x)
    assert list(seen) == [f"attention.{i}.map" for i in range(3)]
    pooled = []
    for attention, places, found in zip(network.attention, local, seen.values(), strict=True):
        rows = places.flatten(2).mT  # (b, n, c)
        if compatibility == "dot":
            scores = (rows @ g[:, :, None])[..., 0]
        else:
            scores = (rows + g[:, None]) @ attention.agree.weight[0]
        weights = scores.softmax(1)
        torch.testing.assert_close(found.tensor, weights.reshape(2, 1, *places.shape[2:]))
        torch.testing.assert_close(attention.weights(network.features(x)[-3:][len(pooled)], g), found.tensor)
        pooled.append((weights[..., None] * rows).sum(1))
    torch.testing.assert_close(y, network.heads[0](torch.cat(pooled, 1)))


def test_only_maps_of_other_channels_are_mapped():
    network = LearnToPayAttention(1, 3, channels=(2, 5, 5), convolutions=(1, 1, 1))
    assert [sum(p.numel() for p in a.project.parameters()) for a in network.attention] == [10, 0, 0]


@pytest.mark.parametrize(("early", "grids"), [(False, [(16, 24), (8, 12), (4, 6)]), (True, [(8, 12), (4, 6), (2, 3)])])
def test_where_the_grid_is_halved(early, grids):
    network = LearnToPayAttention(1, 3, early_pooling=early, **SMALL).eval()
    with record(network) as seen:
        network(torch.randn(1, 1, 16, 24))
    assert [m.grid for m in seen.values()] == grids


def test_three_classifiers_are_averaged_by_their_probabilities():
    network = LearnToPayAttention(1, 3, combine="mean", **SMALL).eval()
    x = torch.randn(2, 1, 16, 12)
    local, g = parts(network, x)
    seen = [a(m, g) for a, m in zip(network.attention, network.features(x)[-3:], strict=True)]
    want = torch.stack([head(f).softmax(1) for head, f in zip(network.heads, seen, strict=True)]).mean(0)
    torch.testing.assert_close(network(x).exp(), want)
    assert len(local) == len(network.heads) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"compatibility": "dots"},
            r"^LearnToPayAttention: unknown compatibility 'dots'\. Did you mean 'dot'\? Known: additive, dot\.$",
        ),
        (
            {"combine": "concats"},
            r"^LearnToPayAttention: unknown combination 'concats'\. Did you mean 'concat'\? Known: ",
        ),
        ({"channels": (4, 8)}, r"^LearnToPayAttention: channels must name at least 3 blocks, got 2\.$"),
    ],
)
def test_what_cannot_be_built_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LearnToPayAttention(1, 2, **arguments)
