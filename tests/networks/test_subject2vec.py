import math

import pytest
import torch
from torch import nn

from saccade import record
from saccade.networks import Subject2Vec
from saccade.networks.patch_coder import PatchEncoder
from saccade.networks.subject2vec import SetAttention, UniformAttention

SMALL = {"channels": (3, 4, 6), "hidden": 5}
MASK = torch.arange(5) < torch.tensor([[5], [2], [1]])


def settled(network, *space):
    with torch.no_grad():
        for _ in range(3):
            network(2 * torch.randn(4, 6, 1, *space), confounders=None)
    return network.eval()


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_neither_order_nor_padding_nor_other_subjects_matter(dims):
    space = (9, 7, 8)[:dims]
    network = settled(Subject2Vec(1, 2, spatial_dims=dims, **SMALL), *space)
    patches = torch.randn(3, 5, 1, *space)
    with torch.no_grad():
        y = network(patches, MASK)
        noisy = patches.clone()
        noisy[~MASK] = 1e6
        assert torch.equal(network(noisy, MASK), y)
        order = torch.tensor([3, 0, 4, 1, 2])
        torch.testing.assert_close(network(patches[:, order], MASK[:, order]), y, atol=1e-5, rtol=1e-5)
        for i, count in enumerate((5, 2, 1)):
            torch.testing.assert_close(network(patches[[i], :count]), y[[i]], atol=1e-5, rtol=1e-5)
    assert (y[0] - y[1]).abs().max() > 1e-5


def test_weights_are_those_that_are_recorded_and_no_patch_weighs_e_times_another():
    network = settled(Subject2Vec(1, 2, **SMALL), 8, 8, 8)
    with torch.no_grad():
        attention = network.discriminative.attention
        for layer, weight, bias in ((attention.first, 1.0, 0.0), (attention.second, 1000.0, 5.0)):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
    patches = torch.randn(3, 5, 1, 8, 8, 8)
    with record(network) as seen:
        subject = network.describe(patches, MASK)
    found = seen["discriminative.attention.map"]
    assert found.kind == "alignment"
    assert torch.equal(found.tensor[:, 0], subject.weights)
    torch.testing.assert_close(subject.weights.sum(1), torch.ones(3))
    assert (subject.weights[~MASK] == 0).all()
    ratio = subject.weights[0].max() / subject.weights[0].min()
    assert 1.2 < ratio <= math.e + 1e-5
    torch.testing.assert_close(network(patches, MASK), subject.prediction)


def test_the_maximum_is_over_patches_that_exist():
    attention = SetAttention(4, hidden=3)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(10 * torch.rand(parameter.shape))
    x = -1 - torch.rand(3, 5, 4)  # below the zeros of padding
    found = attention.weights(x * MASK[..., None], MASK)
    for i, count in enumerate((5, 2, 1)):
        alone = attention.weights(x[[i], :count], MASK[[i], :count])
        torch.testing.assert_close(found[[i], :, :count], alone)


def test_padding_takes_no_part_in_batch_norm():
    patches, means = torch.randn(3, 5, 1, 8), []
    for value in (0.0, 100.0):
        torch.manual_seed(0)
        network = Subject2Vec(1, 2, spatial_dims=1, **SMALL)
        patches[~MASK] = value
        y = network(patches, MASK)
        means.append((y, network.encoder[0][1].running_mean))
    for zero, hundred in zip(*means, strict=True):
        assert torch.equal(zero, hundred)


def test_the_vector_is_what_the_formula_says():
    network = settled(Subject2Vec(1, 2, **SMALL), 8, 8, 8)
    part, patches = network.discriminative, torch.randn(1, 5, 1, 8, 8, 8)
    subject = network.describe(patches)
    h = network.encoder(patches[0])

    def e(x, layer):
        return torch.sigmoid((x - x.max(0).values) @ layer.weight.T + layer.bias)

    alpha = e(e(h, part.attention.first), part.attention.second).softmax(0)
    torch.testing.assert_close(subject.weights[0], alpha[:, 0])
    f = nn.functional.elu((alpha * h) @ part.embed.weight.T + part.embed.bias)
    torch.testing.assert_close(subject.vector[0], f.sum(0))
    torch.testing.assert_close(subject.prediction[0], part.predict.weight @ f.sum(0) + part.predict.bias)


def test_weights_may_count_patches_rather_than_share_among_them():
    plain = settled(Subject2Vec(1, 2, spatial_dims=1, **SMALL), 8)
    counting = Subject2Vec(1, 2, spatial_dims=1, scale_by_count=True, **SMALL).eval()
    counting.load_state_dict(plain.state_dict())
    patches = torch.randn(3, 5, 1, 8)
    part, (h, mask) = counting.discriminative, counting.features(patches, MASK)
    strength = counting.describe(patches, MASK).weights * torch.tensor([[5.0], [2.0], [1.0]])
    f = nn.functional.elu(part.embed(strength[..., None] * h)) * mask[..., None]
    torch.testing.assert_close(counting.describe(patches, MASK).vector, f.sum(1))
    torch.testing.assert_close(counting(patches, MASK)[2], plain(patches, MASK)[2])  # one patch is one patch
    assert (counting(patches, MASK)[0] - plain(patches, MASK)[0]).abs().max() > 1e-5


def test_known_facts_come_before_the_vector():
    network = Subject2Vec(1, 2, spatial_dims=1, confounders=3, **SMALL).eval()
    patches, facts = torch.randn(2, 4, 1, 8), torch.randn(2, 3)
    subject = network.describe(patches, confounders=facts)
    weight, bias = network.discriminative.predict.weight, network.discriminative.predict.bias
    want = facts @ weight[:, :3].T + subject.vector @ weight[:, 3:].T + bias
    torch.testing.assert_close(subject.prediction, want)
    torch.testing.assert_close(network(patches, confounders=facts), want)
    with pytest.raises(ValueError, match=r"^Subject2Vec: a subject must have 3 confounders, got 0\.$"):
        network(patches)
    with pytest.raises(ValueError, match=r"^Subject2Vec: a subject must have 0 confounders, got 3\.$"):
        Subject2Vec(1, 2, spatial_dims=1, **SMALL)(patches, confounders=facts)


def test_patches_that_exist_are_made_again_in_any_size():
    network = Subject2Vec(2, 1, **SMALL)
    patches = torch.randn(3, 5, 2, 9, 7, 10)
    subject = network.describe(patches, MASK)
    assert subject.reconstruction.shape == (8, 2, 9, 7, 10)
    assert subject.reconstruction.min() >= -1  # the last layer ends in an ELU
    subject.reconstruction.sum().backward()
    assert network.encoder[0][0].weight.grad.abs().max() > 0
    assert network.discriminative.embed.weight.grad is None


def test_an_auto_encoder_of_patches_learns_them():
    torch.manual_seed(0)
    network = Subject2Vec(1, 1, spatial_dims=1, **SMALL)
    patches = torch.rand(8, 4, 1, 1).round().expand(8, 4, 1, 8)  # all bright or all dark
    optimiser = torch.optim.Adam(network.parameters(), 0.02)
    losses = []
    for _ in range(60):
        loss = nn.functional.mse_loss(network.describe(patches).reconstruction, patches.flatten(0, 1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_the_papers_encoder_brings_32_positions_to_one():
    encoder = PatchEncoder(1, (8, 16, 32, 64, 128), 1)
    x = torch.randn(2, 1, 32)
    assert nn.Sequential.forward(encoder, x).shape == (2, 128, 1)
    convolutions = [m for m in encoder.modules() if isinstance(m, nn.Conv1d)]
    # One convolution and a step on the first level, two and a step on the others.
    assert [(m.out_channels, m.stride[0]) for m in convolutions] == [
        (width, step) for i, width in enumerate((8, 16, 32, 64, 128)) for step in ((1, 2) if i == 0 else (1, 1, 2))
    ]
    assert all(m.bias is None for m in convolutions)


def test_dropout_is_for_training():
    network = Subject2Vec(1, 2, spatial_dims=1, dropout=0.5, **SMALL)
    patches = torch.randn(2, 4, 1, 8)
    assert not torch.equal(network(patches), network(patches))
    network.eval()
    assert torch.equal(network(patches), network(patches))


def test_every_size_has_its_place():
    network = Subject2Vec(1, 2, channels=(3, 7), hidden=5)
    attention = network.discriminative.attention
    assert (attention.first.weight.shape, attention.second.weight.shape) == ((5, 7), (1, 5))
    assert network.discriminative.predict.weight.shape == (2, 7)


def test_uniform_attention_is_the_mean_over_patches_that_exist():
    attention = UniformAttention()
    with record(attention) as seen:
        weights = attention(torch.randn(3, 5, 4), MASK)
    assert torch.equal(seen["map"].tensor, weights)
    torch.testing.assert_close(weights[:, 0], MASK / torch.tensor([[5.0], [2.0], [1.0]]))
    network = Subject2Vec(1, 2, spatial_dims=1, scale_by_count=True, **SMALL)
    network.discriminative.attention = UniformAttention()
    patches = torch.randn(1, 3, 1, 8)
    part, (h, _) = network.eval().discriminative, network.features(patches)
    vector = nn.functional.elu(part.embed(h)).sum(1)  # each counts once
    torch.testing.assert_close(network(patches), part.predict(vector))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 0}, r"^Subject2Vec: spatial_dims must be 1, 2 or 3, got 0\.$"),
        ({"channels": ()}, r"^Subject2Vec: channels must be at least 1, got none\.$"),
        ({"hidden": 0}, r"^Subject2Vec: hidden must be at least 1, got 0\.$"),
    ],
)
def test_what_cannot_be_built_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Subject2Vec(1, 2, **arguments)


def test_a_subject_without_a_patch_is_refused():
    mask = torch.tensor([[True, False], [False, False]])
    with pytest.raises(
        ValueError, match=r"^Subject2Vec: every subject must have at least one patch, got one without\.$"
    ):
        Subject2Vec(1, 2, spatial_dims=1, **SMALL)(torch.randn(2, 2, 1, 8), mask)
