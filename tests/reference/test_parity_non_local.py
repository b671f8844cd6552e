import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from fast_ways import fast_ways
from golden_parity import ROUNDING, check, close, goldens, ids, load

from saccade import from_reference
from saccade.reference import reference_names

AGN, ALEX = "ozan-oktay/Attention-Gated-Networks", "AlexHex7/Non-local_pytorch"
HEYKEETAE, SAGAN = "heykeetae/Self-Attention-GAN", "brain-research/self-attention-gan"
CASES = goldens("A_nonlocal_layer", "C_nonlocal", "C_sagan")
NETWORKS = [path for path in goldens("A_networks") if path.stem == "unet_nonlocal_3D"]


def golden_of(path):
    golden = load(path)
    if golden.about["arguments"] is None:  # a function; its one number stands in the text
        assert golden.about["constructor"].startswith("num_channels=16;")
        golden.about |= {"repository": SAGAN, "arguments": {"num_channels": 16}}
    return golden


@pytest.mark.parametrize("path", CASES, ids=ids(CASES))
def test_equals_the_published_code(path):
    check(golden_of(path))


@pytest.mark.parametrize("path", CASES, ids=ids(CASES))
def test_the_fast_ways_equal_the_published_code(path):
    golden = golden_of(path)
    for prefix in ("", "train."):
        module = golden.module().double().train(bool(prefix))
        (x,) = (value.double().requires_grad_() for value in golden.inputs.values())
        with fast_ways():
            output, gradient = output_and_gradient(golden, prefix, module, x)
        close(output.float(), golden.tensors[f"{prefix}output"], f"{prefix}output")
        close(gradient.float(), golden.tensors[f"{prefix}grad.input"], f"{prefix}grad.input", tolerance=1e-4)


def output_and_gradient(golden, prefix, module, x):
    result = module(x)
    output = result[0] if isinstance(result, tuple) else result
    cotangent = golden.tensors.get(f"{prefix}cotangent", golden.tensors["cotangent"])
    return output, torch.autograd.grad((output * cotangent).sum(), x)[0]


@pytest.mark.parametrize("path", NETWORKS, ids=ids(NETWORKS))
def test_the_network_equals_the_published_one(path):
    golden = load(path)
    training = {key: golden.tensors.pop(key) for key in list(golden.tensors) if key.startswith("train.")}
    check(golden)
    # In training mode batch norm of few values enlarges rounding, and ReLUs fall to the other side of their kinks: the
    # stored gradients are as far from those of float64 as ours.
    golden.tensors |= training
    module = golden.module().train()
    (x,) = (value.requires_grad_() for value in golden.inputs.values())
    output, gradient = output_and_gradient(golden, "train.", module, x)
    close(output, training["train.output"], "train.output", tolerance=ROUNDING)
    wanted = training["train.grad.input"]
    assert (gradient - wanted).norm() < 0.05 * wanted.norm()
    state = state_of(module, AGN)
    for name, value in golden.part("train.state").items():
        close(state[name], value, f"train.state.{name}", tolerance=ROUNDING)


@pytest.mark.parametrize("path", NETWORKS, ids=ids(NETWORKS))
def test_the_network_in_training_is_as_far_from_float64_as_the_published_one(path):
    golden = load(path)
    found = []
    for dtype in (torch.float32, torch.float64):
        module = golden.module().to(dtype).train()
        (x,) = (value.to(dtype).requires_grad_() for value in golden.inputs.values())
        found.append(output_and_gradient(golden, "train.", module, x))
    stored = golden.tensors["train.output"], golden.tensors["train.grad.input"]
    for ours, exact, theirs in zip(*found, stored, strict=True):
        error = [((value - exact).norm() / exact.norm()).item() for value in (ours, theirs)]
        assert error[1] < 5 * error[0] + 1e-5, error


def state_of(module, repository):
    ours = module.state_dict()
    return {theirs: ours[mine] for mine, theirs in reference_names(module, repository).items()}


def randomised(module):
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if name.endswith("running_var") else torch.randn_like(value))
    return module.eval()


MODES = ["embedded_gaussian", "dot_product", "concatenation", "concat_proper", "concat_proper_down"]


@pytest.mark.parametrize("bn_layer", [True, False])
@pytest.mark.parametrize("factor", [1, 2, [2], [1, 2, 3]], ids=str)
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("mode", MODES)
def test_every_argument_of_the_blocks_of_attention_gated_networks(mode, dims, factor, bn_layer):
    factor = factor if isinstance(factor, int) or len(factor) == 1 else factor[-dims:]
    arguments = {"in_channels": 6, "mode": mode, "sub_sample_factor": factor, "bn_layer": bn_layer}
    if mode == "concat_proper_down" and dims < 3:
        with pytest.raises(ValueError, match=rf"cannot run with mode='concat_proper_down' and dimension={dims}\.$"):
            from_reference(AGN, f"NONLocalBlock{dims}D", arguments)
        return
    module = randomised(from_reference(AGN, f"NONLocalBlock{dims}D", arguments))
    state = state_of(module, AGN)
    pooled = ".0" if factor != 1 else ""
    coarse = pooled if mode == "concat_proper_down" else ""
    inside = {"concatenation": {"wf_theta.weight", "wf_phi.weight"}}.get(mode, set())
    if mode.startswith("concat_proper"):
        inside = {"psi.weight", "psi.bias"}
    last = {"W.0", "W.1"} if bn_layer else {"W"}
    layers = {f"g{pooled}", f"phi{pooled}", f"theta{coarse}", *last}
    wanted = {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")} | inside
    if bn_layer:
        wanted |= {f"W.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert set(state) == wanted
    x = torch.randn(2, 6, *(4, 6, 9)[-dims:])
    again = from_reference(AGN, "_NonLocalBlockND", {**arguments, "dimension": dims}, state).eval()
    assert torch.equal(again(x), module(x))
    assert module(x).shape == x.shape


def test_concatenation_divides_by_the_number_of_queries():
    # The published code puts keys before queries and divides by the length of the last axis.
    arguments = {"in_channels": 4, "inter_channels": 3, "mode": "concatenation", "sub_sample_factor": 2}
    module = randomised(from_reference(AGN, "NONLocalBlock1D", {**arguments, "bn_layer": False}))
    state, x = state_of(module, AGN), torch.randn(2, 4, 10)

    def layer(name):
        y = torch.einsum("oi,bin->bon", state[f"{name}.weight"][:, :, 0], x) + state[f"{name}.bias"][:, None]
        return y.unfold(2, 2, 2).amax(3) if name.endswith(".0") else y

    g, theta, phi = layer("g.0"), layer("theta"), layer("phi.0")
    f = torch.relu(state["wf_theta.weight"] @ theta + (state["wf_phi.weight"] @ phi).mT)  # b keys queries
    y = g @ f / 10
    wanted = torch.einsum("oi,bin->bon", state["W.weight"][:, :, 0], y) + state["W.bias"][:, None] + x
    torch.testing.assert_close(module(x), wanted)
    with fast_ways():
        torch.testing.assert_close(module(x), wanted)


def test_the_published_interpolation_of_coarse_queries():
    arguments = {"in_channels": 4, "mode": "concat_proper_down", "sub_sample_factor": 2}
    state = state_of(randomised(from_reference(AGN, "NONLocalBlock3D", arguments)), AGN)
    state["theta.0.bias"] -= 3  # where no ReLU is off, theta adds the same to all keys and the softmax drops it
    x = torch.randn(1, 4, 4, 6, 8)
    old, new = (
        from_reference(AGN, "NONLocalBlock3D", arguments, state, align_corners=flag).eval()(x) for flag in (True, False)
    )
    assert (old - new).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"mode": "gaussian"},
            r"^from_reference: NONLocalBlock: the published code cannot run with mode='gaussian'\.$",
        ),
        ({"mode": "concat"}, r"^from_reference: unknown mode 'concat'\. Did you mean "),
        ({"sub_sample": 2}, r"^from_reference: unknown argument of NONLocalBlock3D 'sub_sample'\. Did you mean 'sub_s"),
    ],
)
def test_arguments_that_the_published_blocks_do_not_take(arguments, message):
    with pytest.raises(ValueError, match=message):
        from_reference(AGN, "NONLocalBlock3D", {"in_channels": 4, **arguments})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("is_deconv", "is_batchnorm"), [(True, False), (False, True)])
def test_every_argument_of_the_non_local_unet(mode, is_deconv, is_batchnorm):
    arguments = {"feature_scale": 16, "n_classes": 3, "in_channels": 2, "is_deconv": is_deconv}
    arguments |= {"is_batchnorm": is_batchnorm, "nonlocal_mode": mode, "nonlocal_sf": [2, 2, 1]}
    network = from_reference(AGN, "unet_nonlocal_3D", arguments).eval()
    state = state_of(network, AGN)
    assert state["nonlocal2.g.0.weight"].shape[:2] == (2, 8)
    assert state["nonlocal3.W.0.weight"].shape[:2] == (16, 4)
    assert "nonlocal2.W.1.running_mean" in state
    assert ("conv1.conv1.1.running_mean" in state) == is_batchnorm
    assert "up_concat2.conv.conv1.1.running_mean" in state  # the published decoder has it whatever is_batchnorm says
    assert ("up_concat1.up.weight" in state) == is_deconv
    x = torch.randn(1, 2, 16, 16, 2)
    again = from_reference(AGN, "unet_nonlocal_3D", arguments, state).eval()
    assert torch.equal(again(x), network(x))
    assert again(x).shape == (1, 3, 16, 16, 2)


@pytest.mark.parametrize("name", ["gaussian", "embedded_gaussian", "dot_product", "concatenation"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_the_four_files_of_non_local_pytorch(name, dims):
    arguments = {"in_channels": 6, "inter_channels": 2, "sub_sample": True, "bn_layer": False}
    class_name = f"NONLocalBlock{dims}D (lib/non_local_{name}.py)"
    module = randomised(from_reference(ALEX, class_name, arguments))
    state, x = state_of(module, ALEX), torch.randn(2, 6, *(3, 4, 6)[-dims:])
    embedding = {"theta.weight", "theta.bias", "phi.0.weight", "phi.0.bias"} if name != "gaussian" else set()
    extra = {"concat_project.0.weight"} if name == "concatenation" else set()
    assert set(state) == {"g.0.weight", "g.0.bias", "W.weight", "W.bias"} | embedding | extra
    z, seen = module(x, return_nl_map=True)
    assert torch.equal(module(x), z)
    keys = {1: 3, 2: 6, 3: 18}[dims]  # 6 -> 3; 4 x 6 -> 2 x 3; 3 x 4 x 6 -> 3 x 2 x 3
    assert seen.shape == (2, x[0, 0].numel(), keys)
    sibling = from_reference(
        ALEX, f"_NonLocalBlockND (lib/non_local_{name}.py)", {**arguments, "dimension": dims}, state
    )
    assert torch.equal(sibling.eval()(x), z)
    fresh = from_reference(ALEX, class_name, {"in_channels": 6})
    assert torch.equal(fresh(x), x)
    assert "W.1.weight" in state_of(fresh, ALEX)


def test_sagan_blocks_give_what_the_published_ones_give():
    x = torch.randn(2, 16, 4, 6)
    block = randomised(from_reference(HEYKEETAE, "Self_Attn", {"in_dim": 16, "activation": "relu"}))
    y, attention = block(x)
    assert (y.shape, attention.shape) == (x.shape, (2, 24, 24))
    torch.testing.assert_close(attention.sum(2), torch.ones(2, 24))
    assert state_of(block, HEYKEETAE)["gamma"].shape == (1,)
    block = randomised(from_reference(SAGAN, "sn_non_local_block_sim", {"num_channels": 16}))
    assert {name: tuple(value.shape[:2]) for name, value in state_of(block, SAGAN).items()} == {
        "sigma": (),
        "theta.weight": (2, 16),
        "phi.weight": (2, 16),
        "g.weight": (8, 16),
        "attn.weight": (16, 8),
    }
    assert block(x).shape == x.shape
