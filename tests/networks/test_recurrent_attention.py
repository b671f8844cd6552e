import math

import pytest
import torch
from torch import nn

from saccade import record
from saccade.losses import hybrid_loss
from saccade.networks import RecurrentAttentionModel

SMALL = {"size": 4, "scales": 2, "glimpses": 4, "hidden": 12}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_pass_is_made_of_its_parts(dims):
    network = RecurrentAttentionModel(2, 3, spatial_dims=dims, std=0.01, **SMALL)
    x = torch.randn(5, 2, *(16, 16, 16)[:dims])
    with record(network) as seen:
        looks = network.look(x, generator=seeded())
    assert torch.equal(torch.stack(seen["glimpse.sensor.map"].calls, 1), looks.locations)
    state, logs, baselines = torch.zeros(5, 12), [], []
    for step in range(4):
        location = looks.locations[:, step]
        patches = network.glimpse.sensor(x, location).flatten(1)
        seen_here = network.glimpse.what(patches) + network.glimpse.where(location)
        state = torch.relu(network.core.from_glimpse(seen_here.relu()) + network.core.from_state(state))
        if step < 3:
            policy = torch.distributions.Normal(network.policy.mean(state), 0.01)
            logs.append(policy.log_prob(looks.locations[:, step + 1]).sum(1))
            baselines.append(network.baseline(state)[:, 0])
    assert looks.locations[:, 1:].abs().max() < 1  # nothing was clamped
    torch.testing.assert_close(looks.scores, network.classify(state))
    torch.testing.assert_close(looks.log_probabilities, torch.stack(logs, 1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(looks.baselines, torch.stack(baselines, 1))


def test_the_first_look_is_anywhere_and_the_others_are_drawn_around_the_aim():
    network = RecurrentAttentionModel(1, 3, std=0.05, **SMALL)
    x = torch.randn(1, 1, 16, 16).expand(4000, 1, 16, 16)
    locations = network.look(x, generator=seeded()).locations[:, 0]
    assert locations.min() < -0.99
    assert locations.max() > 0.99
    torch.testing.assert_close(locations.mean(0), torch.zeros(2), atol=0.05, rtol=0)
    torch.testing.assert_close(locations.var(0), torch.full((2,), 1 / 3), atol=0.03, rtol=0)
    assert network.policy.std == 0.05


def test_draws_are_those_of_the_generator():
    network, x = RecurrentAttentionModel(1, 3, **SMALL), torch.randn(3, 1, 16, 16)
    first, again, other = (network.look(x, generator=seeded(seed)).locations for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(network(x, generator=seeded(0)), network(x, generator=seeded(1)))


def test_in_evaluation_it_looks_at_the_middle_and_then_where_it_aims():
    network, x = RecurrentAttentionModel(1, 3, **SMALL).eval(), torch.randn(3, 1, 16, 16)
    with record(network) as seen:
        y = network(x)
    calls = seen["glimpse.sensor.map"].calls
    assert len(calls) == 4
    assert torch.equal(calls[0], torch.zeros(3, 2))
    state = network.core(network.glimpse(x, calls[0]), torch.zeros(3, 12))
    torch.testing.assert_close(calls[1], network.policy.mean(state))
    assert torch.equal(network(x), y)
    torch.testing.assert_close(y.exp().sum(1), torch.ones(3))


def test_samples_are_averaged_by_their_probabilities():
    network, x = RecurrentAttentionModel(1, 3, **SMALL).eval(), torch.randn(3, 1, 16, 16)
    generator = seeded()
    want = torch.stack([network.look(x, generator=generator).scores.softmax(1) for _ in range(5)]).mean(0)
    torch.testing.assert_close(network(x, samples=5, generator=seeded()).exp(), want)
    with pytest.raises(ValueError, match=r"^RecurrentAttentionModel: samples must be at least 0, got -1\.$"):
        network(x, samples=-1)


def test_who_learns_from_what():
    network, x = RecurrentAttentionModel(1, 3, **SMALL), torch.randn(6, 1, 16, 16)
    looks = network.look(x, generator=seeded())

    def taught(loss):
        grads = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True)
        names = [name for name, _ in network.named_parameters()]
        return {name.split(".")[0] for name, g in zip(names, grads, strict=True) if g is not None and g.any()}

    assert taught(nn.functional.cross_entropy(looks.scores, torch.tensor([0, 1, 2, 0, 1, 2]))) == {
        "glimpse",
        "core",
        "classify",
    }
    assert taught(looks.log_probabilities.sum()) == {"policy"}
    assert taught(looks.baselines.sum()) == {"baseline"}
    target = torch.tensor([0, 1, 2, 0, 1, 2])
    loss = hybrid_loss(looks.scores, target, looks.log_probabilities, looks.baselines)
    assert taught(loss) == {"glimpse", "core", "classify", "policy", "baseline"}


def test_rewards_teach_the_policy_where_to_look():
    """One bright half tells the class, and the policy comes to look there from the state alone."""
    torch.manual_seed(0)
    policy = RecurrentAttentionModel(1, 2, size=2, glimpses=2, hidden=4, std=0.3).policy
    state, optimiser = torch.ones(256, 4), torch.optim.Adam(policy.parameters(), 0.05)
    target = torch.zeros(256, dtype=torch.long)
    for _ in range(60):
        location, log_probability = policy(state, generator=None)
        right = location[:, 0] > 0.5
        scores = torch.stack([right.float(), 1 - right.float()], 1)
        baseline = right.float().mean().expand(256, 1)
        optimiser.zero_grad()
        hybrid_loss(scores, target, log_probability[:, None], baseline).backward()
        optimiser.step()
    assert policy.mean(state)[0, 0] > 0.5


def test_a_single_glimpse_decides_nothing():
    network = RecurrentAttentionModel(1, 3, glimpses=1, hidden=4)
    looks = network.look(torch.randn(2, 1, 16, 16))
    assert (looks.locations.shape, looks.log_probabilities.shape, looks.baselines.shape) == ((2, 1, 2), (2, 0), (2, 0))


def test_sizes():
    network = RecurrentAttentionModel(3, 5, size=(4, 6), scales=2, hidden=20)
    assert network.glimpses == 6
    assert network.glimpse.what[0].weight.shape == (10, math.prod((3, 2, 4, 6)))
    assert network.glimpse.where[2].weight.shape == (20, 10)
    assert network.classify.weight.shape == (5, 20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": 7}, r"^RecurrentAttentionModel: hidden must be even, got 7\.$"),
        ({"glimpses": 0}, r"^RecurrentAttentionModel: glimpses must be at least 1, got 0\.$"),
        ({"std": 0.0}, r"^LocationPolicy: std must be above 0, got 0\.0\.$"),
        ({"scales": 0}, r"^GlimpseSensor: scales must be at least 1, got 0\.$"),
    ],
)
def test_what_cannot_be_built_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        RecurrentAttentionModel(1, 2, **arguments)
