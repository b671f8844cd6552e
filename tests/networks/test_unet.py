import pytest
import torch
from torch import nn

from saccade import record
from saccade.layers import Upsampling
from saccade.networks import AttentionUNet, Gates, UNet
from saccade.tasks.environment import fast_bfloat16

IN_PLANE = ((2, 2, 1),) * 4
SMALL = {"channels": (4, 6, 8)}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def randomised(network):
    generator = torch.Generator().manual_seed(5)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif value.is_floating_point():
            scale = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.5
            value.copy_(torch.randn(value.shape, generator=generator) * scale)
    return network.eval()


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (UNet(1, 4), 5_888_004),
        (AttentionUNet(1, 4), 6_411_498),
        (AttentionUNet(1, 4, gates="multi"), 6_473_322),
        (AttentionUNet(1, 4, gates="single"), 6_214_151),
        (AttentionUNet(1, 4, gates="grid", pooling=IN_PLANE, deep_supervision=False), 2_221_815),
        (UNet(1, 4, pooling=IN_PLANE, deep_supervision=False), 1_965_332),
        (UNet(1, 4, channels=(21, 42, 85, 170, 341)), 10_403_190),
    ],
    ids=["unet", "shared", "multi", "single", "grid", "plain", "large"],
)
def test_published_numbers_of_parameters(network, parameters):
    assert count(network) == parameters


def test_the_kernels_of_the_default_form_are_the_papers_number():
    assert sum(p.numel() for p in AttentionUNet(1, 4).parameters() if p.ndim > 1) == 6_404_208


@pytest.mark.parametrize("space", [(13,), (13, 11), (13, 11, 7), (1, 1, 1), (3, 17, 2)], ids=str)
@pytest.mark.parametrize("cls", [UNet, AttentionUNet])
def test_any_input_size_gives_scores_of_that_size(cls, space):
    network = cls(2, 3, spatial_dims=len(space), **SMALL).eval()
    assert network(torch.randn(2, 2, *space)).shape == (2, 3, *space)


@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
def test_any_input_size_also_with_transposed_upsampling_and_mixed_pooling(upsampling):
    pooling = ((2, 2, 1), (3, 2, 2))
    x = torch.randn(2, 1, 13, 11, 7)
    assert UNet(1, 3, pooling=pooling, upsampling=upsampling, **SMALL).eval()(x).shape == (2, 3, 13, 11, 7)
    gates = Gates(upsampling=upsampling)
    assert AttentionUNet(1, 3, pooling=pooling, gates=gates, **SMALL).eval()(x).shape == (2, 3, 13, 11, 7)


def test_kernels_are_flat_along_an_axis_until_it_is_pooled():
    network = UNet(1, 2, pooling=((2, 2, 1), (2, 2, 2), (2, 1, 2)), channels=(2, 3, 4, 5))
    kernels = [level.first.conv.kernel_size for level in [*network.encoder, network.bottom]]
    assert kernels == [(3, 3, 1), (3, 3, 3), (3, 3, 3), (3, 3, 3)]
    assert [level.conv.second.conv.kernel_size for level in network.decoder] == kernels[:3]


@pytest.mark.parametrize("cls", [UNet, AttentionUNet])
def test_a_slab_equals_the_image(cls):
    step = {"gates": Gates(subsample=(1, 2, 2))} if cls is AttentionUNet else {}
    image = randomised(cls(1, 3, spatial_dims=2, **SMALL))
    slab = cls(1, 3, spatial_dims=3, pooling=((1, 2, 2),) * 2, **SMALL, **step).eval()
    slab.load_state_dict({k: v.unsqueeze(2) if v.ndim == 4 else v for k, v in image.state_dict().items()})
    x = torch.randn(2, 1, 13, 11)
    torch.testing.assert_close(slab(x[:, :, None])[:, :, 0], image(x))


@pytest.mark.parametrize("gates", ["shared", "multi", "single", "grid"])
def test_a_batch_equals_its_items_and_two_runs_are_identical_and_nothing_changes(gates):
    network = randomised(AttentionUNet(1, 3, spatial_dims=2, gates=gates, **SMALL))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    x = torch.randn(3, 1, 13, 11)
    y = network(x)
    torch.testing.assert_close(y, torch.cat([network(x[i : i + 1]) for i in range(3)]))
    assert torch.equal(network(x), y)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("gates", ["shared", "multi", "single", "grid"])
def test_recorded_maps_are_the_ones_used_and_every_gate_matters(gates):
    network = randomised(AttentionUNet(1, 3, spatial_dims=2, gates=gates, channels=(4, 6, 8, 10)))
    x = torch.randn(2, 1, 16, 24)
    with record(network) as maps:
        y = network(x)
    per_level = 2 if gates in ("shared", "multi") else 1
    assert len(maps) == 2 * per_level
    assert sorted({seen.grid for seen in maps.values()}) == [(4, 6), (8, 12)]
    torch.testing.assert_close(network(x), y)
    for name, seen in maps.items():
        (gradient,) = torch.autograd.grad(y.square().sum(), seen.tensor, retain_graph=True)
        assert gradient.abs().max() > 0, name
        tap = network.get_submodule(name)
        handle = tap.register_forward_hook(lambda _module, _args, alpha: alpha * 0.5)
        assert (network(x) - y).abs().max() > 1e-5, name
        handle.remove()


def test_the_finest_skip_is_not_gated_and_gates_damp_what_they_close():
    network = randomised(AttentionUNet(1, 2, spatial_dims=1, gates="grid", **SMALL))
    with torch.no_grad():
        network.gates[0].psi.bias.fill_(-100.0)
    x = torch.randn(1, 1, 8)
    with record(network) as maps:
        network(x)
    assert maps["gates.0.map"].tensor.max() < 1e-6
    skips, bottom = network.encode(x)
    seen = []
    network.decode(skips, bottom, lambda level, skip, low: seen.append((level, tuple(low.shape))) or skip)
    assert seen == [(1, (1, 8, 2)), (0, (1, 6, 4))]


def test_each_form_is_fed_as_published():
    for gates, width, fed_by_below in [("shared", 8, False), ("multi", 10, True), ("single", 10, True)]:
        network = AttentionUNet(1, 2, spatial_dims=1, gates=gates, channels=(4, 6, 8, 10))
        assert network.gating.conv.out_channels == width, gates
        assert network.gates[0].gates[0].phi.in_channels == 8
        assert network.gates[1].gates[0].phi.in_channels == (10 if fed_by_below else 8)


def test_without_deep_supervision_the_finest_level_alone_decides():
    network = randomised(UNet(1, 2, spatial_dims=1, deep_supervision=False, **SMALL))
    levels = network.decode(*network.encode(torch.randn(1, 1, 8)))
    torch.testing.assert_close(network.head(levels), network.head.classify(levels[0]))


def test_deep_supervision_mixes_every_level():
    network = randomised(UNet(1, 2, spatial_dims=1, channels=(2, 3, 4, 5)))
    levels = network.decode(*network.encode(torch.randn(1, 1, 16)))
    scores = [conv(level) for conv, level in zip(network.head.classify, levels, strict=True)]
    risen = [nn.functional.interpolate(s, size=16, mode="linear") for s in scores[1:]]
    torch.testing.assert_close(network.head(levels), network.head.mix(torch.cat([scores[0], *risen], 1)))


@pytest.mark.parametrize("cls", [UNet, AttentionUNet])
def test_norms_are_handed_in(cls):
    def norms(norm):
        network = cls(1, 2, spatial_dims=2, norm=norm, **SMALL)
        return {type(m) for m in network.modules() if "Norm" in type(m).__name__ and "Conv" not in type(m).__name__}

    assert norms("batch") == {nn.BatchNorm2d}
    assert norms("instance") == {nn.InstanceNorm2d}
    assert norms(lambda channels: nn.GroupNorm(2, channels)) == {nn.GroupNorm}
    assert norms(None) == set()


def test_gates_may_have_a_norm_of_their_own():
    network = AttentionUNet(1, 2, spatial_dims=2, norm=None, gates=Gates(norm="batch"), **SMALL)
    assert {name.split(".")[0] for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)} == {"gates"}


def test_gates_variant_subsampling_and_corners_reach_the_gates():
    form = Gates(variant="softmax", subsample=(1, 2), upsampling=Upsampling(align_corners=True))
    network = AttentionUNet(1, 2, spatial_dims=2, gates=form, **SMALL)
    gate = network.gates[0].gates[1]
    assert (gate.variant, gate.subsample, gate.align_corners) == ("softmax", (1, 2), True)
    assert network.decoder[0].up.align_corners
    assert network.head.rise[0].align_corners


def test_align_corners_changes_the_answer():
    networks = [
        UNet(1, 2, spatial_dims=1, upsampling=Upsampling("linear", corners), **SMALL) for corners in (False, True)
    ]
    networks[1].load_state_dict(randomised(networks[0]).state_dict())
    x = torch.randn(1, 1, 16)
    assert (networks[0](x) - networks[1].eval()(x)).abs().max() > 1e-4


def test_gradient():
    network = AttentionUNet(1, 2, spatial_dims=1, channels=(2, 2, 3), norm="instance").double()
    x = torch.randn(1, 1, 12, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(network, x, fast_mode=True)


@pytest.mark.parametrize("gates", ["shared", "multi", "single", "grid"])
def test_training_reaches_every_parameter(gates):
    torch.manual_seed(0)
    network = AttentionUNet(1, 2, spatial_dims=2, gates=gates, **SMALL)
    network(torch.randn(2, 1, 16, 24)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_bfloat16_keeps_type_layout_and_answer():
    network = randomised(AttentionUNet(1, 3, **SMALL)).to(memory_format=torch.channels_last_3d)
    x = torch.randn(1, 1, 16, 16, 8).to(memory_format=torch.channels_last_3d)
    layouts = []
    for level in network.decoder:
        level.register_forward_hook(
            lambda _m, _a, y: layouts.append((y.dtype, y.is_contiguous(memory_format=torch.channels_last_3d)))
        )
    want = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        got = network(x)
    kept = fast_bfloat16()  # elsewhere torch's slow way of bfloat16 convolution gives another layout
    assert layouts[-2:] == [(torch.bfloat16, kept)] * 2
    torch.testing.assert_close(got.float(), want, rtol=0.1, atol=0.05 * want.abs().max().item())


def test_networks_can_be_exported():
    network, x = randomised(AttentionUNet(1, 3, **SMALL)), torch.randn(1, 1, 13, 16, 8)
    program = torch.export.export(network, (x,))
    torch.testing.assert_close(program.module()(x), network(x))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UNet(1, 2, spatial_dims=4), r"^UNet: spatial_dims must be 1, 2 or 3, got 4\.$"),
        (lambda: UNet(0, 2), r"^UNet: in_channels must be at least 1, got 0\.$"),
        (lambda: UNet(1, 2, channels=(4, 0, 2)), r"^UNet: channels must be at least 1, got 4, 0, 2\.$"),
        (lambda: UNet(1, 2, channels=(4,)), r"^UNet: channels must name at least 2 levels, got 1\.$"),
        (
            lambda: UNet(1, 2, pooling=(2, 2, 1)),
            r"^UNet: pooling must be one number or have one entry for each of the 4 steps between levels, got 3: ",
        ),
        (
            lambda: UNet(1, 2, pooling=((2, 2),) * 4),
            r"^UNet: pooling must be a whole number of at least 1, or 3 of them, got \(2, 2\)\.$",
        ),
        (lambda: UNet(1, 2, upsampling="linaer"), r"^Upsampling: unknown kind 'linaer'\. Did you mean 'linear'\?"),
        (
            lambda: AttentionUNet(1, 2, channels=(4, 8)),
            r"^AttentionUNet: channels must name at least 3 levels, got 2\.$",
        ),
        (
            lambda: AttentionUNet(1, 2, gates="shard"),
            r"^AttentionUNet: unknown form of gates 'shard'\. Did you mean 'shared'\? Known: shared, multi",
        ),
        (
            lambda: Gates(signal="top"),
            r"^Gates: unknown signal 'top'\. Did you mean 'bottom'\? Known: bottom, below\.$",
        ),
        (
            lambda: Gates(count=2, combine=False),
            r"^Gates: count must be at least 1, and 1 where combine is False, got 2\. Set combine to True\.$",
        ),
    ],
)
def test_bad_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
