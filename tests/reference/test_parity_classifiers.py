"""SonoNet, AG-SonoNet and Subject2Vec against stored outputs of published code, and their whole constructors."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))
from golden_parity import Golden, check, close, goldens, ids, load

from saccade import from_reference, record
from saccade.networks import AGSonoNet, SonoNet
from saccade.reference import reference_names

AGN, S2V = "ozan-oktay/Attention-Gated-Networks", "batmanlab/Subject2Vec"
SONONETS = [path for path in goldens("A_networks") if path.stem.startswith("sononet")]
SUBJECTS = goldens("D_subject2vec")
# Published outputs that have names, in the order in which they are returned.
OUTPUTS = {"subject_feature": "1", "fc1": "2", "regularization": "3"}
SMALL = {"feature_scale": 16, "n_classes": 3, "in_channels": 1}
GATED = {**SMALL, "nonlocal_mode": "concatenation_mean_flow", "aggregation_mode": "deep_sup"}


def state_of(module, repository=AGN):
    ours = module.state_dict()
    return {theirs: ours[mine] for mine, theirs in reference_names(module, repository).items()}


@pytest.mark.parametrize("path", SONONETS, ids=ids(SONONETS))
def test_sononets_equal_the_published_code(path):
    check(load(path))


@pytest.mark.parametrize("path", SUBJECTS, ids=ids(SUBJECTS))
def test_the_discriminative_network_equals_the_published_code(path):
    golden, tensors = load(path), {}
    for key, value in golden.tensors.items():
        front, _, last = key.rpartition(".")
        if front in ("output", "cotangent"):
            key = f"{front}.{OUTPUTS[last]}"
        if not front.startswith("attention"):
            tensors[key] = value
    check(Golden(golden.about, tensors))
    module = golden.module().eval()
    with record(module) as seen, torch.no_grad():
        module(*golden.inputs.values())
    want = golden.tensors["attention.alpha"]
    close(seen["network.attention.map"].tensor, want.T[None], "alpha")
    h = next(iter(golden.inputs.values()))
    el1 = torch.sigmoid(
        (h - h.max(0).values) @ golden.tensors["state.dense.kernel"] + golden.tensors["state.dense.bias"]
    )
    close(el1, golden.tensors["attention.el1"], "el1")


def test_features_of_patches_may_have_any_shape():
    module = from_reference(S2V, "discriminativeNetwork", {"d": 12, "outputDim": 2})
    assert state_of(module, S2V)["dense.kernel"].shape == (12, 64)
    h = torch.randn(5, 3, 2, 2)
    for got, want in zip(module(h), module(h.reshape(5, 12)), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("is_batchnorm", [True, False])
@pytest.mark.parametrize(("name", "n_convs"), [("sononet", None), ("sononet", [1, 2, 1, 1, 3]), ("sononet2", None)])
def test_every_argument_of_sononet(name, n_convs, is_batchnorm):
    arguments = {**SMALL, "is_batchnorm": is_batchnorm, **({"n_convs": n_convs} if n_convs else {})}
    network = from_reference(AGN, name, arguments).eval()
    assert type(network) is SonoNet
    keys = state_of(network)
    default = [2, 2, 3, 3, 3] if name == "sononet" else [3, 3, 3, 2, 2]
    wanted = {f"conv{i + 1}.conv{j + 1}" for i, n in enumerate(n_convs or default) for j in range(n)}
    assert {".".join(key.split(".")[:2]) for key in keys} == wanted | {"conv5_p.cbr_unit", "conv6_p.cb_unit"}
    assert ("conv1.conv1.1.weight" in keys) == is_batchnorm
    assert "conv5_p.cbr_unit.1.running_mean" in keys
    x = torch.randn(2, 1, 35, 48)
    assert torch.equal(from_reference(AGN, name, arguments, keys).eval()(x), network(x))
    assert network(x).shape == (2, 3)


@pytest.mark.parametrize(
    ("aggregation", "outputs", "heads"),
    [
        ("concat", None, {"classifier"}),
        ("mean", 3, {"classifier1", "classifier2", "classifier3"}),
        ("deep_sup", 4, {"classifier", "classifier1", "classifier2", "classifier3"}),
        ("ft", None, {"classifier", "classifier1", "classifier2", "classifier3"}),
    ],
)
def test_every_aggregation_of_the_gated_form(aggregation, outputs, heads):
    arguments = {**GATED, "aggregation_mode": aggregation, "is_batchnorm": False, "n_convs": [1, 1, 2, 1, 1]}
    network = from_reference(AGN, "sononet_grid_attention", arguments).eval()
    keys = state_of(network)
    assert {key.split(".")[0] for key in keys if key.startswith("classifier")} == heads
    assert "conv1.conv1.1.weight" not in keys
    assert {"conv3.conv2.0.weight", "compatibility_score2.phi.weight"} < set(keys)
    assert isinstance(network.network, AGSonoNet)
    x = torch.randn(2, 1, 35, 48)
    found = network(x)
    assert (found.shape == (2, 3)) if outputs is None else (len(found) == outputs)
    again = from_reference(AGN, "sononet_grid_attention", arguments, keys).eval()(x)
    for a, b in zip(found, again, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("mode", ["softmax", "sigmoid", "mean", "mean_flow", "range_normalise"])
def test_every_normalisation_of_the_gates(mode):
    arguments = {**GATED, "nonlocal_mode": f"concatenation_{mode}"}
    network = from_reference(AGN, "sononet_grid_attention", arguments).eval()
    state, x = state_of(network), torch.randn(2, 1, 48, 64)
    first = {"softmax": 10.0, "sigmoid": 3.0}.get(mode)
    assert first is None or state["compatibility_score1.psi.bias"].item() == first
    maps = network.network.features(x)
    with record(network) as seen:
        network(x)
    gate = from_reference(
        AGN,
        "GridAttentionBlock2D_TORR",
        {
            "in_channels": 32,
            "gating_channels": 32,
            "inter_channels": 32,
            "mode": f"concatenation_{mode}",
            "use_W": False,
        },
        {key.removeprefix("compatibility_score2."): v for key, v in state.items() if "compatibility_score2." in key},
    )
    close(gate(maps[3], maps[4])[1], seen["network.gates.1.map"].tensor.detach(), mode)


def test_the_published_interpolation_of_the_signal():
    network = from_reference(AGN, "sononet_grid_attention", GATED).eval()
    old = from_reference(AGN, "sononet_grid_attention", GATED, state_of(network), align_corners=True).eval()
    x = torch.randn(1, 1, 48, 64)
    assert (network(x)[1] - old(x)[1]).abs().max() > 1e-5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"^from_reference: GridAttentionBlock_TORR: the published code cannot run with its default mode"),
        ({"aggregation_mode": "deep"}, r"^from_reference: unknown aggregation_mode 'deep'\. Did you mean 'deep_sup'\?"),
        ({**GATED, "n_convs": [1, 2]}, r"^from_reference: n_convs must be 5 numbers, got 2\.$"),
        (
            {**GATED, "nonlocal_mode": "mean"},
            r"^from_reference: unknown mode 'mean'\. Known: concatenation_softmax, ",
        ),
    ],
)
def test_arguments_that_the_published_network_cannot_take(arguments, message):
    with pytest.raises(ValueError, match=message):
        from_reference(AGN, "sononet_grid_attention", arguments)


@pytest.mark.parametrize(
    ("name", "unit", "transposed", "relu"),
    [
        ("conv2DBatchNorm", "cb_unit", False, False),
        ("conv2DBatchNormRelu", "cbr_unit", False, True),
        ("deconv2DBatchNorm", "dcb_unit", True, False),
        ("deconv2DBatchNormRelu", "dcbr_unit", True, True),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_the_units_of_convolution_and_batch_norm(name, unit, transposed, relu, bias):
    arguments = {"in_channels": 4, "n_filters": 3, "k_size": 4, "stride": 2, "padding": 1, "bias": bias}
    module = from_reference(AGN, name, arguments).eval()
    state, x = state_of(module), torch.randn(2, 4, 9, 12)
    assert (f"{unit}.0.bias" in state) == bias
    conv = F.conv_transpose2d if transposed else F.conv2d
    y = conv(x, state[f"{unit}.0.weight"], state.get(f"{unit}.0.bias"), stride=2, padding=1)
    y = F.batch_norm(y, *(state[f"{unit}.1.{key}"] for key in ("running_mean", "running_var", "weight", "bias")))
    close(module(x), y.relu() if relu else y, name)
    assert isinstance(module, nn.Sequential)
