import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saccade.attention import SpatialTransformer, record
from saccade.attention.spatial_transformer_grids import control_points

SPACES = {1: (11,), 2: (7, 11), 3: (5, 7, 11)}
EVERY = [("affine", 1), ("affine", 2), ("affine", 3), ("attention", 1), ("attention", 2), ("attention", 3)]
EVERY += [("projective", 2), ("thin_plate_spline", 2)]


class Mean(nn.Module):
    def forward(self, x):
        return x.flatten(2).mean(2)


def made(transform, dims, **options):
    return SpatialTransformer(Mean(), 3, transform=transform, spatial_dims=dims, **options)


def image(dims, seed=0):
    return torch.randn(2, 3, *SPACES[dims], generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(("transform", "dims"), EVERY)
def test_a_new_module_is_the_identity_and_learns(transform, dims, corners):
    net, x = made(transform, dims, align_corners=corners), image(dims)
    torch.testing.assert_close(net(x), x, rtol=0, atol=1e-5)
    net(x).square().sum().backward()
    assert net.head.weight.grad.abs().max() > 0


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(("transform", "dims"), [case for case in EVERY if case[0] in ("affine", "attention")])
def test_a_translation_by_whole_pixels_is_exact(transform, dims, corners):
    net, x = made(transform, dims, align_corners=corners), image(dims)
    theta = net.theta(x)
    # Two pixels along the last axis, which is x, the first coordinate.
    step = 2 * 2 / (11 - 1 if corners else 11)
    theta[:, dims if transform == "affine" else 1] += step
    y = net.warp(x, theta)
    torch.testing.assert_close(y[..., :9], x[..., 2:], rtol=0, atol=1e-5)
    torch.testing.assert_close(y[..., 9:], torch.zeros_like(y[..., 9:]), rtol=0, atol=1e-5)


def test_a_translation_along_the_first_axis_is_in_the_last_coordinate():
    net, x = made("affine", 3), image(3)
    theta = net.theta(x)
    theta[:, 11] += 2 / 5
    torch.testing.assert_close(net.warp(x, theta)[:, :, :4], x[:, :, 1:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_what_lies_outside(padding):
    net, x = made("affine", 1, padding=padding), image(1)
    theta = net.theta(x)
    theta[:, 1] += 2 * 2 / 11
    want = {"zeros": torch.zeros(2, 3, 2), "border": x[..., [10, 10]], "reflection": x[..., [10, 9]]}[padding]
    torch.testing.assert_close(net.warp(x, theta)[..., 9:], want, rtol=0, atol=1e-5)


def test_a_quarter_turn_is_exact_and_its_inverse_brings_everything_back():
    net = made("affine", 2)
    x = torch.randn(2, 3, 9, 9)
    turn = torch.tensor([[0.0, -1.0, 0.0, 1.0, 0.0, 0.0]]).expand(2, -1)
    back = torch.tensor([[0.0, 1.0, 0.0, -1.0, 0.0, 0.0]]).expand(2, -1)
    turned = net.warp(x, turn)
    torch.testing.assert_close(turned, x.rot90(1, (2, 3)), rtol=0, atol=1e-5)
    torch.testing.assert_close(net.warp(turned, back), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("transform", ["affine", "projective"])
def test_the_inverse_of_a_transform_undoes_it_inside(transform):
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 65), indexing="ij")
    x = torch.sin(3 * rows + columns)[None, None] + columns  # smooth, so that sampling twice loses little
    net = SpatialTransformer(Mean(), 1, transform=transform)
    matrix = torch.tensor([[0.9, -0.2, 0.1], [0.15, 1.1, -0.05], [0.0, 0.0, 1.0]])
    if transform == "projective":
        matrix[2] = torch.tensor([0.1, -0.05, 1.0])
    inverse = torch.linalg.inv(matrix)
    inverse = inverse / inverse[2, 2]
    count = 6 if transform == "affine" else 8
    there = net.warp(x, matrix.flatten()[None, :count])
    again = net.warp(there, inverse.flatten()[None, :count])
    torch.testing.assert_close(again[..., 16:-16, 16:-16], x[..., 16:-16, 16:-16], rtol=0, atol=0.01)
    assert (there - x)[..., 16:-16, 16:-16].abs().max() > 0.1


def test_the_attention_transform_zooms_and_moves():
    net = made("attention", 2)
    x = torch.randn(1, 3, 8, 8)
    y = SpatialTransformer(Mean(), 3, transform="attention", size=(4, 4)).warp(x, torch.tensor([[0.5, 0.5, -0.5]]))
    torch.testing.assert_close(y, x[:, :, :4, 4:], rtol=0, atol=1e-5)  # the quarter at the upper right
    assert net.grid(torch.tensor([[0.5, 0.5, -0.5]]), (4, 4))[0, 0, 0].tolist() == pytest.approx([0.125, -0.875])


def test_a_projective_grid_by_hand():
    # H = [[1, -0.5, 0.5], [0, 1, 0], [0.5, 0, 1]] at (0.5, -0.5): (0.5 + 0.25 + 0.5, -0.5) over 0.25 + 1.
    theta = torch.tensor([[1.0, -0.5, 0.5, 0.0, 1.0, 0.0, 0.5, 0.0]])
    grid = made("projective", 2).grid(theta, (2, 2))
    torch.testing.assert_close(grid[0, 0, 1], torch.tensor([1.25 / 1.25, -0.5 / 1.25]))


def test_a_point_on_the_horizon_of_a_projective_transform_stays_finite():
    theta = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0]])  # x = -1 has the denominator 0
    net = made("projective", 2, align_corners=True)
    assert net.grid(theta, (3, 3)).isfinite().all()
    assert net.warp(torch.randn(1, 3, 3, 3), theta).isfinite().all()


def test_a_spline_passes_through_its_control_points_and_keeps_affine_maps():
    net = SpatialTransformer(Mean(), 3, transform="thin_plate_spline", align_corners=True)
    controls = control_points(16).float()
    moved = controls + 0.1 * torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    # On a 4 x 4 grid with aligned corners the targets are the control points themselves.
    torch.testing.assert_close(net.grid(moved.flatten()[None], (4, 4))[0].flatten(0, 1), moved, rtol=0, atol=1e-5)
    matrix, shift = torch.tensor([[0.8, -0.3], [0.2, 1.1]]), torch.tensor([0.1, -0.2])
    affine = made("affine", 2, align_corners=True)
    theta = torch.cat([matrix, shift[:, None]], 1).flatten()[None]
    spline = (controls @ matrix.T + shift).flatten()[None]
    torch.testing.assert_close(net.grid(spline, (7, 11)), affine.grid(theta, (7, 11)), rtol=0, atol=1e-5)


def test_a_spline_is_the_one_scipy_computes():
    interpolate = pytest.importorskip("scipy.interpolate")
    controls = control_points(25)
    moved = controls + 0.2 * torch.randn(25, 2, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    net = made("thin_plate_spline", 2, control_points=5).double()
    grid = net.grid(moved.flatten()[None], (7, 11))[0]
    target = net.grid(controls.flatten()[None], (7, 11))[0].flatten(0, 1)
    theirs = interpolate.RBFInterpolator(controls.numpy(), moved.numpy(), kernel="thin_plate_spline")(target.numpy())
    torch.testing.assert_close(grid.flatten(0, 1), torch.from_numpy(theirs), rtol=0, atol=1e-8)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_grids_are_those_of_torch(dims, corners):
    net = made("affine", dims, align_corners=corners)
    theta = torch.randn(2, dims * (dims + 1))
    want = F.affine_grid(theta.unflatten(1, (dims, dims + 1)), [2, 1, *SPACES[dims]], align_corners=corners)
    torch.testing.assert_close(net.grid(theta, SPACES[dims]), want)


def test_a_slab_warped_in_its_plane_equals_the_image_and_a_row_the_signal():
    flat, thick, line = made("affine", 2), made("affine", 3), made("affine", 1)
    theta = torch.tensor([[0.9, -0.2, 0.1, 0.15, 1.1, -0.05]]).expand(2, -1)
    full = torch.tensor([[0.9, -0.2, 0.0, 0.1, 0.15, 1.1, 0.0, -0.05, 0.0, 0.0, 1.0, 0.0]]).expand(2, -1)
    x = image(2)
    torch.testing.assert_close(thick.warp(x[:, :, None], full)[:, :, 0], flat.warp(x, theta))
    row = torch.tensor([[0.9, 0.0, 0.1, 0.0, 1.0, 0.0]]).expand(2, -1)
    signal = image(1)
    torch.testing.assert_close(
        flat.warp(signal[:, :, None], row)[:, :, 0], line.warp(signal, torch.tensor([[0.9, 0.1]]).expand(2, -1))
    )


def test_the_recorded_map_is_where_the_output_was_sampled():
    net, x = made("affine", 2, size=(4, 5)), image(2)
    nn.init.normal_(net.head.weight, std=0.1)
    with record(net) as maps:
        y = net(x)
    grid = maps["map"].tensor
    assert (grid.shape, maps["map"].kind, maps["map"].grid) == ((2, 4, 5, 2), "transform", (4, 5))
    torch.testing.assert_close(y, F.grid_sample(x, grid, align_corners=False))
    torch.testing.assert_close(grid, net.grid(net.theta(x), (4, 5)))


@pytest.mark.parametrize(("transform", "dims"), EVERY)
def test_gradients_of_image_and_parameters(transform, dims):
    net = made(transform, dims, size=(3, 4, 2)[:dims], padding="border").double()
    x = image(dims)[:1, :2, :5].double().requires_grad_()
    bias = net.head.bias.detach()
    theta = (
        bias + 0.1 * torch.randn(1, len(bias), generator=torch.Generator().manual_seed(2)).double()
    ).requires_grad_()
    assert torch.autograd.gradcheck(net.warp, (x, theta), fast_mode=True)


@pytest.mark.parametrize(
    ("transform", "dims"), [("affine", 2), ("projective", 2), ("thin_plate_spline", 2), ("affine", 3)]
)
def test_a_known_warp_is_found_by_following_the_gradient(transform, dims):
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 24)] * dims, indexing="ij")
    x = sum(torch.sin((2 + i) * a + i) for i, a in enumerate(axes))[None, None] + axes[0] * axes[-1]
    net = SpatialTransformer(Mean(), 1, transform=transform, spatial_dims=dims, padding="border")
    start = net.head.bias.detach()[None]
    generator = torch.Generator().manual_seed(1)
    truth = start + 0.08 * torch.randn(start.shape, generator=generator)
    wanted = net.warp(x, truth)
    found = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([found], 0.02)
    for _ in range(120):
        optimiser.zero_grad()
        (net.warp(x, found) - wanted).square().mean().backward()
        optimiser.step()
    size = (24,) * dims
    apart = (net.grid(found, size) - net.grid(truth, size)).norm(dim=-1).mean() * 24 / 2
    before = (net.grid(start, size) - net.grid(truth, size)).norm(dim=-1).mean() * 24 / 2
    assert apart < min(1.0, 0.5 * before)  # pixels, on average
