"""Published classes of attention in convolutional networks: their whole constructors, and what they refuse."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saccade import from_reference, record
from saccade.attention import CBAM, SCA
from saccade.errors import InputError
from saccade.reference import reference_names

AGN = "ozan-oktay/Attention-Gated-Networks"
MODULE = "Jongchan/attention-module"
ECA = "BangguWu/ECANet"
MED = "ai-med/squeeze_and_excitation"
TORR = {"in_channels": 4, "gating_channels": 4, "inter_channels": 4, "mode": "concatenation_sigmoid"}


def state_of(module, repository):
    return {theirs: module.state_dict()[ours] for ours, theirs in reference_names(module, repository).items()}


def torr_by_formula(state, x, g, arguments):
    """The published gate, from its weights by their published names."""
    dims = x.ndim - 2
    conv = {2: F.conv2d, 3: F.conv3d}[dims]
    step = arguments.get("sub_sample_factor", 1)
    step = tuple(step) if isinstance(step, list) else (step,) * dims
    linear = {"mode": {2: "bilinear", 3: "trilinear"}[dims], "align_corners": False}
    seen = conv(x, state["theta.weight"], stride=step) if "theta.weight" in state else x
    signal = conv(g, state["phi.weight"], stride=step) if "phi.weight" in state else g
    f = seen + F.interpolate(signal, size=seen.shape[2:], **linear)
    f = f.relu() if arguments.get("nonlinearity1", "relu") == "relu" else f
    q = conv(f, state["psi.weight"], state["psi.bias"]) if "psi.weight" in state else f
    flat = q.flatten(2)
    low, high = flat.amin(2, keepdim=True), flat.amax(2, keepdim=True)
    a = {
        "sigmoid": lambda: flat.sigmoid(),
        "softmax": lambda: flat.softmax(2),
        "mean": lambda: flat / flat.sum(2, keepdim=True),
        "mean_flow": lambda: (flat - low) / (flat - low).sum(2, keepdim=True),
        "range_normalise": lambda: (flat - low) / (high - low),
    }[arguments["mode"].removeprefix("concatenation_")]()
    a = F.interpolate(a.reshape(q.shape), size=x.shape[2:], **linear)
    y = a * x
    if "W.weight" in state:
        y = conv(y, state["W.weight"], state["W.bias"])
    if "W.0.weight" in state:
        names = ("running_mean", "running_var", "weight", "bias")
        y = conv(y, state["W.0.weight"], state["W.0.bias"])
        y = F.batch_norm(y, *(state[f"W.1.{name}"] for name in names))
    return y, a


@pytest.mark.parametrize(
    "further",
    [
        {"mode": "concatenation_mean", "sub_sample_factor": [2, 1], "bn_layer": False},
        {"mode": "concatenation_mean_flow", "sub_sample_factor": 2, "use_W": False},
        {"mode": "concatenation_range_normalise", "nonlinearity1": None},
        {"mode": "concatenation_softmax", "inter_channels": None, "nonlinearity1": "elu"},
        {"use_theta": False, "sub_sample_factor": [1, 2]},
        {"use_phi": False, "sub_sample_factor": 2},
        {"use_theta": False, "use_phi": False, "use_psi": False},
        {"use_psi": False},
        {"use_psi": False, "inter_channels": 1, "mode": "concatenation_softmax"},
        {"use_theta": False, "in_channels": 1},
    ],
)
def test_every_argument_of_the_self_gated_block(further):
    arguments = {**TORR, **further}
    torch.manual_seed(0)
    module = from_reference(AGN, "GridAttentionBlock2D_TORR", arguments).eval()
    for value in module.parameters():
        nn.init.normal_(value)
    x, g = torch.randn(2, arguments["in_channels"], 11, 7), torch.randn(2, 4, 5, 4)
    with record(module) as maps:
        y, a = module(x, g)
    wanted = torr_by_formula(state_of(module, AGN), x, g, arguments)
    torch.testing.assert_close((y, a), wanted)
    torch.testing.assert_close(maps["gate.map"].tensor, a)


@pytest.mark.parametrize("mode", ["mean", "mean_flow", "range_normalise", "softmax", "sigmoid"])
def test_every_mode_of_the_self_gated_block_in_three_dimensions(mode):
    arguments = {"in_channels": 4, "gating_channels": 3, "mode": f"concatenation_{mode}", "bn_layer": mode == "mean"}
    module = from_reference(AGN, "GridAttentionBlock3D_TORR", arguments).eval()
    x, g = torch.randn(2, 4, 5, 7, 6), torch.randn(2, 3, 2, 3, 3)
    torch.testing.assert_close(module(x, g), torr_by_formula(state_of(module, AGN), x, g, arguments))


def test_the_self_gated_block_starts_with_an_open_gate():
    starts = {
        mode: from_reference(AGN, "GridAttentionBlock2D_TORR", {**TORR, "mode": f"concatenation_{mode}"}).gate.psi.bias
        for mode in ("sigmoid", "softmax", "mean")
    }
    assert starts["sigmoid"].item() == 3.0
    assert starts["softmax"].item() == 10.0
    assert abs(starts["mean"].item()) < 1


@pytest.mark.parametrize("pools", [["avg"], ["max", "lse"], ["avg", "max", "lp", "lse"]])
def test_pools_keep_their_names_and_sum(pools):
    arguments = {"gate_channels": 6, "reduction_ratio": 2}
    gates = [from_reference(MODULE, "ChannelGate", {**arguments, "pool_types": names}) for names in (pools, ["avg"])]
    gates[1].load_state_dict(gates[0].state_dict())
    x = torch.randn(2, 6, 5, 7)
    flat = x.flatten(2)
    pooled = {"avg": flat.mean(2), "max": flat.amax(2), "lp": flat.square().sum(2).sqrt(), "lse": flat.logsumexp(2)}
    state = state_of(gates[0], MODULE)

    def mlp(v):
        hidden = F.linear(v, state["mlp.1.weight"], state["mlp.1.bias"]).relu()
        return F.linear(hidden, state["mlp.3.weight"], state["mlp.3.bias"])

    wanted = x * sum(mlp(pooled[name]) for name in pools).sigmoid()[:, :, None, None]
    torch.testing.assert_close(gates[0](x), wanted)


def test_arguments_tell_the_gates_of_cbam_from_those_of_bam():
    cbam = from_reference(MODULE, "ChannelGate", {"gate_channels": 8, "reduction_ratio": 4})
    bam = from_reference(MODULE, "ChannelGate", {"gate_channel": 8, "reduction_ratio": 4, "num_layers": 3})
    assert set(state_of(cbam, MODULE)) == {"mlp.1.weight", "mlp.1.bias", "mlp.3.weight", "mlp.3.bias"}
    assert {f"gate_c.gate_c_fc_{i}.weight" for i in range(3)} < set(state_of(bam, MODULE))
    assert {f"gate_c.gate_c_bn_{i}.running_var" for i in (1, 2, 3)} < set(state_of(bam, MODULE))
    assert "spatial.conv.weight" in state_of(from_reference(MODULE, "SpatialGate", {}), MODULE)
    options = {"gate_channel": 8, "reduction_ratio": 4, "dilation_conv_num": 3, "dilation_val": 2}
    for name in ("SpatialGate", "SpatialGate (MODELS/bam.py)"):
        gate = from_reference(MODULE, name, options)
        assert "gate_s.gate_s_conv_di_2.weight" in state_of(gate, MODULE)
        assert gate.branch[3].dilation == (2, 2)
        x = torch.randn(2, 8, 5, 5)
        assert torch.equal(gate.eval()(x), gate.branch(x).expand(2, 8, 5, 5))
    for file in ("bam", "cbam"):
        plural = "s" if file == "cbam" else ""
        module = from_reference(MODULE, f"ChannelGate (MODELS/{file}.py)", {f"gate_channel{plural}": 16})
        assert module(torch.randn(2, 16, 5, 5)).shape == (2, 16, 5, 5)


def test_cbam_without_its_spatial_part():
    module = from_reference(MODULE, "CBAM", {"gate_channels": 16, "no_spatial": True})
    assert type(module) is CBAM
    assert all(key.startswith("ChannelGate.mlp") for key in state_of(module, MODULE))


def test_the_weight_tells_the_shared_kernel_from_own_ones():
    x = torch.randn(2, 6, 5, 7)
    for name, kernels in (("eca_layer (models/eca_module.py)", 1), ("eca_layer (models/eca_ns.py)", 6)):
        module = from_reference(ECA, name, {"channel": 6, "k_size": 5})
        state = state_of(module, ECA)
        assert state["conv.weight"].shape == (kernels, 1, 5)
        again = from_reference(ECA, "eca_layer", {"channel": 6, "k_size": 5}, state)
        assert torch.equal(again(x), module(x))
    assert from_reference(ECA, "eca_layer", {"channel": 6}).shared


def test_siblings_of_squeeze_and_excitation():
    image, volume = torch.randn(2, 6, 5, 7), torch.randn(2, 6, 5, 7, 3)
    for name, x in (("SpatialSELayer", image), ("SpatialSELayer3D", volume)):
        module = from_reference(MED, name, {"num_channels": 6})
        state = state_of(module, MED)
        conv = F.conv2d if x is image else F.conv3d
        torch.testing.assert_close(module(x), x * conv(x, state["conv.weight"], state["conv.bias"]).sigmoid())
    for name, x in (("ChannelSpatialSELayer", image), ("ChannelSpatialSELayer3D", volume)):
        module = from_reference(MED, name, {"num_channels": 6, "reduction_ratio": 3})
        state = state_of(module, MED)
        assert state["cSE.fc1.weight"].shape == (2, 6)
        parts = [
            from_reference(MED, part + ("3D" if x is volume else ""), arguments, weights)
            for part, arguments, weights in (
                (
                    "ChannelSELayer",
                    {"num_channels": 6, "reduction_ratio": 3},
                    {key[4:]: value for key, value in state.items() if key.startswith("cSE.")},
                ),
                (
                    "SpatialSELayer",
                    {"num_channels": 6},
                    {key[4:]: value for key, value in state.items() if key.startswith("sSE.")},
                ),
            )
        ]
        torch.testing.assert_close(module(x), torch.maximum(parts[0](x), parts[1](x)))


def test_sizes_of_the_captioning_attention_are_read_off_the_weights():
    weights = {}
    for i, rows in ((1, 1), (2, 5)):
        shapes = {f"Wc_att_{i}": (rows, 4), f"Wd_att_{i}": (3, 4), f"b_att_{i}": (4,), f"U_att_{i}": (4, 1)}
        weights |= {key: torch.randn(shape) for key, shape in {**shapes, f"c_att_{i}": (1,)}.items()}
    name = "lstm_cond_layer._step (res5c_branch2b layer)"
    module = from_reference("zjuchenlong/sca-cnn.cvpr17", name, None, weights)
    assert type(module) is SCA
    assert module(torch.randn(2, 5, 7, 3), torch.randn(2, 3)).shape == (2, 5, 7, 3)
    without = {key: value for key, value in weights.items() if "Wd" not in key}
    module = from_reference("zjuchenlong/sca-cnn.cvpr17", name, {}, without)
    assert module(torch.randn(2, 5, 7, 3)).shape == (2, 5, 7, 3)


@pytest.mark.parametrize(
    ("repository", "name", "arguments", "message"),
    [
        (AGN, "GridAttentionBlock2D_TORR", {**TORR, "mode": "concatenation"}, "cannot run with its default mode"),
        (AGN, "GridAttentionBlock2D_TORR", {**TORR, "mode": "concatenation_max"}, "unknown mode 'concatenation_max'."),
        (AGN, "GridAttentionBlock3D_TORR", {**TORR, "use_W": False}, "unknown argument of GridAttentionBlock3D_TORR"),
        (AGN, "GridAttentionBlock2D_TORR", {**TORR, "use_theta": False, "in_channels": 3}, "got 3 and 4."),
        (
            AGN,
            "GridAttentionBlock2D_TORR",
            {**TORR, "use_theta": False, "use_phi": False, "inter_channels": 2},
            "psi takes inter_channels (2), got 4 channels. Set use_psi=False.",
        ),
        (
            AGN,
            "GridAttentionBlock2D_TORR",
            {**TORR, "use_psi": False, "mode": "concatenation_mean"},
            "without psi, concatenation_mean needs 1 channels before it, got 4.",
        ),
        (MODULE, "ChannelGate", {"gate_channel": 8, "pool_types": ["avg"]}, "two files define it"),
        (MODULE, "ChannelGate", {}, "two files define it"),
        (MODULE, "SpatialGate", {"dilation_val": 2}, "MODELS/bam.py's needs gate_channel"),
        (MODULE, "CBAM", {"gate_channels": 16, "pool_types": ["mean"]}, "unknown pool type 'mean'."),
        (ECA, "eca_layer", {"channel": 6, "k_size": 4}, "kernel_size must be an odd number of at least 1, got 4."),
        (ECA, "eca_layer (models/eca_ns.py)", {"channel": 6}, "missing a required argument: 'k_size'"),
        (MED, "SpatialSELayer", {}, "num_channels must be given where there are no weights."),
        ("zjuchenlong/sca-cnn.cvpr17", "lstm_cond_layer._step (res5c_branch2b layer)", None, "read off the weights"),
    ],
)
def test_bad_requests_are_named(repository, name, arguments, message):
    with pytest.raises(InputError) as error:
        from_reference(repository, name, arguments)
    assert message in str(error.value)


def test_keys_that_do_not_fit_are_named():
    state = state_of(from_reference(MODULE, "CBAM", {"gate_channels": 16}), MODULE)
    state["extra"] = state.pop("SpatialGate.spatial.conv.weight")
    with pytest.raises(InputError, match=r"these keys fit nothing in CBAM: extra\."):
        from_reference(MODULE, "CBAM", {"gate_channels": 16}, state)
    del state["extra"]
    with pytest.raises(InputError, match=r"these keys of CBAM are missing: SpatialGate\.spatial\.conv\.weight\."):
        from_reference(MODULE, "CBAM", {"gate_channels": 16}, state)
