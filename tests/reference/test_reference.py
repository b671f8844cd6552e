import pytest
import torch

from saccade import from_reference, load_reference
from saccade.networks import AttentionUNet, UNet
from saccade.reference import reference_names

AGN = "ozan-oktay/Attention-Gated-Networks"
SMALL = {"feature_scale": 32, "n_classes": 2, "in_channels": 1}


def published_state(module):
    ours = module.state_dict()
    return {theirs: ours[mine] for mine, theirs in reference_names(module, AGN).items()}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("unet_3D", UNet),
        ("unet_CT_dsv_3D", UNet),
        ("unet_CT_multi_att_dsv_3D", AttentionUNet),
        ("unet_CT_multi_att_dsv_3D (version of 2018-04-02)", AttentionUNet),
        ("unet_CT_single_att_dsv_3D", AttentionUNet),
        ("unet_grid_attention_3D", AttentionUNet),
    ],
)
def test_networks_are_ours_and_their_weights_come_back(name, kind):
    module = from_reference(AGN, name, SMALL)
    assert type(module) is kind
    state = published_state(module)
    other = from_reference(AGN, name, SMALL, state)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in module.state_dict().items())
    assert {key.split(".")[0] for key in state} >= {"conv1", "center", "up_concat1", "final"}


def test_an_ignored_argument_is_taken_and_ignored():
    for name in ("unet_CT_dsv_3D", "unet_CT_multi_att_dsv_3D"):
        shapes = [
            {k: v.shape for k, v in from_reference(AGN, name, {**SMALL, "is_deconv": flag}).state_dict().items()}
            for flag in (True, False)
        ]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", ["unet_3D", "unet_grid_attention_3D"])
def test_is_deconv_chooses_the_way_up(name):
    up = [from_reference(AGN, name, {**SMALL, "is_deconv": flag}) for flag in (True, False)]
    assert "up_concat1.up.weight" in published_state(up[0])
    assert "up_concat1.up.weight" not in published_state(up[1])
    x = torch.randn(1, 1, 16, 16, 3)
    assert [network.eval()(x).shape for network in up] == [(1, 2, 16, 16, 3)] * 2


@pytest.mark.parametrize("name", ["unet_2D", "unet_3D", "unet_CT_dsv_3D", "unet_CT_multi_att_dsv_3D"])
def test_batch_norm_can_be_switched_off_but_stays_in_the_gates(name):
    keys = published_state(from_reference(AGN, name, {**SMALL, "is_batchnorm": False}))
    normed = {key.split(".")[0] for key in keys if "running_mean" in key}
    assert normed == ({f"attentionblock{i}" for i in (2, 3, 4)} if "att" in name else set())


def test_the_published_2d_decoder_has_no_batch_norm():
    keys = published_state(from_reference(AGN, "unet_2D", SMALL))
    assert {key.split(".")[0] for key in keys if "running_mean" in key} == {
        "conv1",
        "conv2",
        "conv3",
        "conv4",
        "center",
    }


def test_arguments_reach_the_gates():
    arguments = {**SMALL, "nonlocal_mode": "concatenation_residual", "attention_dsample": (1, 2, 2)}
    gate = from_reference(AGN, "unet_grid_attention_3D", arguments, align_corners=True).gates[0]
    assert (gate.variant, gate.subsample, gate.align_corners) == ("softmax", (1, 2, 2), True)


def test_fractional_widths_round_down():
    network = from_reference(AGN, "unet_CT_dsv_3D", {"feature_scale": 3.82, "n_classes": 4, "in_channels": 1})
    assert sum(p.numel() for p in network.parameters()) == 6_444_328


@pytest.mark.parametrize(
    ("name", "arguments", "shapes"),
    [
        ("unetConv2", {"in_size": 2, "out_size": 3, "is_batchnorm": True, "n": 3, "ks": 5, "padding": 2}, [(2, 8, 10)]),
        ("UnetConv3", {"in_size": 2, "out_size": 3, "is_batchnorm": False, "init_stride": [2, 1, 1]}, [(2, 8, 10, 5)]),
        ("FCNConv3", {"in_size": 2, "out_size": 3, "is_batchnorm": True}, [(2, 8, 10, 5)]),
        ("UnetGatingSignal3", {"in_size": 4, "out_size": 3, "is_batchnorm": True}, [(4, 8, 10, 5)]),
        ("UnetUp3", {"in_size": 4, "out_size": 3, "is_deconv": False}, [(3, 8, 10, 5), (4, 4, 5, 5)]),
        (
            "UnetUp3_SqEx",
            {"in_size": 9, "out_size": 3, "is_deconv": False, "is_batchnorm": True},
            [(3, 8, 10, 5), (9, 4, 5, 5)],
        ),
        ("unetUp", {"in_size": 6, "out_size": 3, "is_deconv": True}, [(3, 8, 10), (6, 5, 6)]),
    ],
)
def test_sibling_blocks_run_and_their_weights_come_back(name, arguments, shapes):
    module = from_reference(AGN, name, arguments)
    other = from_reference(AGN, name, arguments, published_state(module))
    inputs = [torch.randn(2, *shape) for shape in shapes]
    torch.testing.assert_close(other(*inputs), module(*inputs))


def test_the_published_skip_padding_is_kept():
    up = from_reference(AGN, "unetUp", {"in_size": 6, "out_size": 3, "is_deconv": True}).eval()
    skip, low = torch.randn(1, 3, 8, 10), torch.randn(1, 6, 5, 6)
    want = up.level.conv(torch.cat([torch.nn.functional.pad(skip, [1, 1, 1, 1]), up.level.up.conv(low)], 1))
    torch.testing.assert_close(up(skip, low), want)
    assert want.shape == (1, 3, 10, 12)


def test_weights_tell_the_two_blocks_of_one_name_apart():
    arguments = {
        "in_size": 4,
        "gate_size": 3,
        "inter_size": 2,
        "nonlocal_mode": "concatenation",
        "sub_sample_factor": 2,
    }
    one = from_reference(AGN, "MultiAttentionBlock (models/networks/unet_CT_single_att_dsv_3D.py)", arguments)
    two = from_reference(AGN, "MultiAttentionBlock", arguments)
    assert [len(block.gate.gates) for block in (one, two)] == [1, 2]
    again = from_reference(AGN, "MultiAttentionBlock", arguments, published_state(one))
    assert len(again.gate.gates) == 1
    output, maps = two(torch.randn(2, 4, 4, 6, 2), torch.randn(2, 3, 2, 3, 1))
    assert (output.shape, maps.shape) == ((2, 4, 4, 6, 2), (2, 2, 4, 6, 2))


def test_losses_take_their_published_options():
    loss = from_reference(AGN, "cross_entropy_3D", {})
    x, target = torch.randn(2, 3, 2, 2, 2), torch.randint(0, 3, (2, 2, 2, 2))
    torch.testing.assert_close(loss(x, target, None, False), 16 * loss(x, target))
    weights = torch.tensor([1.0, 2.0, 3.0])
    want = torch.nn.functional.cross_entropy(x, target, weight=weights, reduction="sum") / 16
    torch.testing.assert_close(loss(x, target, weights), want)


def test_checkpoints_from_before_batch_counters_load():
    module = from_reference(AGN, "unet_3D", SMALL)
    old = {key: value for key, value in published_state(module).items() if not key.endswith("num_batches_tracked")}
    loaded = load_reference(from_reference(AGN, "unet_3D", SMALL), old, AGN)
    for name, value in module.named_parameters():
        torch.testing.assert_close(loaded.get_parameter(name), value)


def test_weights_that_do_not_fit_are_named():
    module = UNet(1, 2, channels=(2, 4, 8, 16, 32))
    state = published_state(module)
    with pytest.raises(ValueError, match=rf"^load_reference: {AGN}: these keys fit nothing in UNet: a\.b, c\.$"):
        load_reference(module, {**state, "c": torch.zeros(1), "a.b": torch.zeros(1)}, AGN)
    lacking = {key: value for key, value in state.items() if not key.startswith("final")}
    with pytest.raises(
        ValueError, match=rf"^load_reference: {AGN}: these keys of UNet are missing: final\.bias, final\.weight\.$"
    ):
        load_reference(module, lacking, AGN)
    with pytest.raises(ValueError, match=rf"^load_reference: {AGN}: final\.bias must have shape \(2,\), got \(3,\)\.$"):
        load_reference(module, {**state, "final.bias": torch.zeros(3)}, AGN)


@pytest.mark.parametrize(
    ("repository", "name", "arguments", "message"),
    [
        (
            "ozan-oktay/Attention-Gated-Network",
            "unet_3D",
            {},
            r"from_reference: unknown repository .* Did you mean 'ozan-",
        ),
        (
            AGN,
            "unet_3d",
            {},
            r"from_reference: unknown class of ozan-oktay/.* 'unet_3d'\. Did you mean 'unet_3D'\? Known: ",
        ),
        (
            AGN,
            "unet_3D",
            {"n_class": 2},
            r"^from_reference: unknown argument of unet_3D 'n_class'\. Did you mean 'n_classes'\? Known: feature_",
        ),
        (AGN, "UnetUp3", {"in_size": 4}, r"^from_reference: UnetUp3: missing a required argument: 'out_size'\.$"),
        (AGN, "unet_2D", {"is_deconv": False}, r"unet_2D: the published code cannot run with is_deconv=False\.$"),
        (
            AGN,
            "UnetUp3_SqEx",
            {"in_size": 4, "out_size": 2, "is_deconv": True, "is_batchnorm": True},
            r"UnetUp3_SqEx: the published code cannot run with is_deconv=True\.$",
        ),
        (AGN, "SqEx", {"n_features": 8}, r"SqEx: reduction must divide n_features \(8\), got 6\.$"),
        (
            AGN,
            "unet_grid_attention_3D",
            {"nonlocal_mode": "concat"},
            r"^from_reference: unknown mode 'concat'\. Did you mean 'concatenation'\?",
        ),
    ],
)
def test_bad_requests_are_named(repository, name, arguments, message):
    with pytest.raises(ValueError, match=message):
        from_reference(repository, name, arguments)
