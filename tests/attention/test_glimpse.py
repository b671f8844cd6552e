import math

import pytest
import torch
from torch.nn import functional as F

from saccade.attention import GlimpseSensor, LocationPolicy, record

SPACES = {1: (32,), 2: (32, 24), 3: (16, 32, 24)}
EACH = [(dims, soft) for dims in (1, 2, 3) for soft in (False, True)]


def at(dims, *numbers):
    return torch.tensor([numbers[:dims]], dtype=torch.float)


@pytest.mark.parametrize(("dims", "soft"), EACH)
def test_a_glimpse_at_the_centre_of_a_constant_image_is_constant(dims, soft):
    sensor = GlimpseSensor(4, scales=3, spatial_dims=dims, differentiable=soft)
    x = torch.full((2, 3, *SPACES[dims]), 7.0)
    y = sensor(x, torch.zeros(2, dims))
    assert y.shape == (2, 9, *[4] * dims)
    torch.testing.assert_close(y, torch.full_like(y, 7.0))


@pytest.mark.parametrize(("dims", "soft"), EACH)
def test_scale_s_is_the_averaged_crop_around_the_location(dims, soft):
    sensor = GlimpseSensor(2, scales=3, spatial_dims=dims, differentiable=soft)
    x = torch.randn(1, 3, *SPACES[dims])
    # x = 0.25 of 24 columns is column 15, y = -0.5 of 32 rows is row 8, z = 0 of 16 slices is slice 8.
    location = at(dims, 0.25, -0.5, 0.0) if dims > 1 else at(1, -0.5)
    centres = {1: (8,), 2: (8, 15), 3: (8, 8, 15)}[dims]
    y = sensor(x, location)
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[dims]
    for k, side in enumerate([2, 4, 8]):
        crop = x[(..., *[slice(c - side // 2, c + side // 2) for c in centres])]
        torch.testing.assert_close(y[:, 3 * k : 3 * k + 3], pool(crop, side // 2))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("side", [3, 5])
def test_a_point_is_seen_in_the_middle_wherever_one_looks_at_it(side, soft):
    sensor = GlimpseSensor(side, differentiable=soft)
    middle = torch.zeros(1, 1, side, side)
    middle[..., side // 2, side // 2] = 1
    for row, column in [(0, 0), (3, 6), (6, 10), (2, 1)]:
        x = torch.zeros(1, 1, 7, 11)
        x[0, 0, row, column] = 1
        location = torch.tensor([[(2 * column + 1) / 11 - 1, (2 * row + 1) / 7 - 1]])
        torch.testing.assert_close(sensor(x, location), middle, rtol=0, atol=1e-5)


def test_beyond_the_border_there_are_zeros_or_the_border_goes_on():
    x = torch.arange(1.0, 6.0).reshape(1, 1, 5)
    for soft in (False, True):
        seen = {
            padding: GlimpseSensor(4, spatial_dims=1, padding=padding, differentiable=soft)(x, at(1, 1.0))[
                0, 0
            ].tolist()
            for padding in ("zeros", "border")
        }
        assert seen == {"zeros": [4, 5, 0, 0], "border": [4, 5, 5, 5]}
        far = GlimpseSensor(4, spatial_dims=1, differentiable=soft)(x, at(1, -9.0))
        assert (far == 0).all()
        edge = GlimpseSensor(4, spatial_dims=1, differentiable=soft, padding="border")(x, at(1, 9.0))
        assert (edge == 5).all()


def test_between_pixels_the_differentiable_glimpse_interpolates_and_the_other_stays():
    x = torch.arange(10.0).reshape(1, 1, 10)
    location = at(1, 0.1)  # 5.5 of 10 pixels: the patch of two is from 4.5 to 6.5
    assert GlimpseSensor(2, spatial_dims=1, differentiable=True)(x, location)[0, 0].tolist() == pytest.approx(
        [4.5, 5.5]
    )
    assert GlimpseSensor(2, spatial_dims=1)(x, location)[0, 0].tolist() == [4.0, 5.0]


def test_the_gradient_of_a_ramp_tells_where_it_rises():
    x, location = torch.arange(32.0).expand(1, 1, 24, 32), torch.zeros(1, 2, requires_grad=True)
    y = GlimpseSensor(4, scales=2, differentiable=True)(x, location)
    (gradient,) = torch.autograd.grad(y.mean(), location)
    torch.testing.assert_close(gradient, torch.tensor([[16.0, 0.0]]))  # half an image, 16 columns, for each 1
    hard = GlimpseSensor(4, scales=2)(x.clone().requires_grad_(), location)
    (none,) = torch.autograd.grad(hard.mean(), location, allow_unused=True)
    assert none is None or (none == 0).all()


def test_a_slab_equals_the_image():
    flat = GlimpseSensor(4, scales=2, differentiable=True)
    thick = GlimpseSensor((1, 4, 4), scales=1, spatial_dims=3, differentiable=True)
    x, location = torch.randn(2, 3, 16, 12), torch.tensor([[0.3, -0.2], [0.9, 0.1]])
    deep = torch.cat([location, torch.zeros(2, 1)], 1)
    torch.testing.assert_close(thick(x[:, :, None], deep)[:, :, 0], flat(x, location)[:, :3])


def test_items_look_at_places_of_their_own_and_the_path_is_recorded():
    sensor, x = GlimpseSensor(2), torch.randn(2, 1, 8, 8)
    places = torch.tensor([[-0.5, 0.5], [0.25, -0.25]])
    with record(sensor) as maps:
        y = sensor(x, places)
        sensor(x, -places)
    torch.testing.assert_close(y[0, 0], x[0, 0, 5:7, 1:3])
    torch.testing.assert_close(y[1, 0], x[1, 0, 2:4, 4:6])
    assert [call.tolist() for call in maps["map"].calls] == [places.tolist(), (-places).tolist()]
    assert (maps["map"].kind, maps["map"].grid) == ("glimpse", (8, 8))


def test_inputs_that_do_not_fit_are_named():
    message = (
        r"^GlimpseSensor: x must have 2 spatial axes and a location as many numbers, got the shapes \(1, 1, 8, 8\) and "
        r"\(1, 3\)\.$"
    )
    with pytest.raises(ValueError, match=message):
        GlimpseSensor(2)(torch.zeros(1, 1, 8, 8), torch.zeros(1, 3))


@pytest.mark.parametrize("hidden", [None, 5])
def test_a_policy_draws_around_its_mean_and_tells_the_density(hidden):
    policy = LocationPolicy(4, std=0.2, hidden_channels=hidden)
    torch.nn.init.zeros_(policy.out.bias)
    state = torch.tensor([[1.0, -2.0, 0.5, 3.0]]).expand(20000, 4)
    with record(policy) as maps:
        location, logs = policy(0.1 * state, generator=torch.Generator().manual_seed(0))
    mean = policy.mean(0.1 * state)
    torch.testing.assert_close(maps["aim"].tensor, mean)
    assert torch.equal(maps["map"].tensor, location)
    inside = (location.abs() < 1).all(1)
    torch.testing.assert_close(location[inside].mean(0), mean[0], rtol=0, atol=0.02)
    torch.testing.assert_close(location[inside].std(0), torch.full((2,), 0.2), rtol=0, atol=0.01)
    want = torch.distributions.Normal(mean, 0.2).log_prob(location).sum(1)
    torch.testing.assert_close(logs[inside], want[inside], rtol=1e-3, atol=1e-4)


def test_the_gradient_of_the_log_density_is_the_papers():
    policy, state = LocationPolicy(4, std=0.3), torch.full((3, 4), 0.1, requires_grad=True)
    torch.nn.init.zeros_(policy.out.bias)  # means near the middle, so that no draw is clamped
    location, logs = policy(state, generator=torch.Generator().manual_seed(0))
    mean = policy.mean(state)
    (gradient,) = torch.autograd.grad(logs.sum(), policy.out.bias, retain_graph=True)
    inside = (location.abs() < 1).all()
    assert inside
    torch.testing.assert_close(gradient, ((location - mean) / 0.3**2).sum(0).detach())  # (l - mu) / sigma^2
    assert torch.autograd.grad(logs.sum(), state, allow_unused=True) == (None,)


def test_a_location_outside_is_brought_back_but_its_density_is_that_of_the_draw():
    policy = LocationPolicy(1, spatial_dims=1, std=0.1)
    torch.nn.init.constant_(policy.out.bias, 5.0)
    torch.nn.init.zeros_(policy.out.weight)
    location, logs = policy(torch.zeros(100, 1), generator=torch.Generator().manual_seed(0))
    assert (location == 1).all()
    assert logs.max().item() <= -math.log(0.1 * math.sqrt(2 * math.pi)) + 1e-5
    assert logs.min().item() > -10  # of the clamped location it would be -800


def test_a_policy_says_what_it_cannot_be():
    with pytest.raises(ValueError, match=r"^LocationPolicy: std must be above 0, got 0\.0\.$"):
        LocationPolicy(4, std=0.0)
    with pytest.raises(ValueError, match=r"^LocationPolicy: spatial_dims must be 1, 2 or 3, got 4\.$"):
        LocationPolicy(4, spatial_dims=4)


def test_rewards_teach_the_policy_where_to_look():
    """Ascent on log pi times the reward, nothing else: the aim comes to the place that is rewarded."""
    policy = LocationPolicy(1, std=0.3)
    torch.nn.init.zeros_(policy.out.weight)
    torch.nn.init.zeros_(policy.out.bias)
    generator, goal, state = torch.Generator().manual_seed(0), torch.tensor([0.5, -0.4]), torch.ones(64, 1)
    optimiser = torch.optim.Adam(policy.parameters(), 0.02)
    for _ in range(100):
        location, logs = policy(state, generator=generator)
        reward = -(location - goal).square().sum(1)
        optimiser.zero_grad()
        (-(reward - reward.mean()) * logs).mean().backward()
        optimiser.step()
    assert (policy.mean(state[:1]) - goal).abs().max() < 0.15


@pytest.mark.parametrize(("dims", "soft"), EACH)
def test_boxes_are_what_the_patches_show(dims, soft):
    sensor = GlimpseSensor(2, scales=3, spatial_dims=dims, differentiable=soft)
    x = torch.randn(3, 1, *SPACES[dims])
    whole = torch.randint(-2, 3, (3, dims)) / 4  # quarters of half a side are whole pixels: both kinds cut alike
    for (low, high), sides in zip(sensor.boxes(whole, x.shape[2:]), sensor.sides, strict=True):
        patches = sensor.patch(x, whole, sides)
        for item in range(3):
            inside = tuple(slice(int(a), int(b)) for a, b in zip(low[item], high[item], strict=True))
            torch.testing.assert_close(x[(item, 0, *inside)], patches[item, 0])
