"""Attention over tokens and places, glimpses and spatial transformers against stored outputs of published code."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from golden_parity import Golden, check, close, goldens, ids, load

from saccade import from_reference, record
from saccade.attention import AdditiveAttention, SpatialTransformer, VisualAttention
from saccade.reference import reference_names

TORCH, RAM = "pytorch/pytorch", "kevinzakka/recurrent-visual-attention"
TUTORIAL = "sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning"
PATHS = {path.stem: path for path in goldens("D_additive", "D_ram", "D_show_attend_tell", "D_transformer")}
WARPS = goldens("D_spatial_transformer")
# Published outputs that have names, in the order in which they are returned.
OUTPUTS = {"log_pi": 0, "last_patch": 1, "ctx": 0, "ctx_selected": 1}


def golden(stem):
    """A stored case in the form that `check` reads: outputs numbered, maps taken out (they have tests of their own)."""
    found, tensors = load(PATHS[stem]), {}
    for key, value in found.tensors.items():
        *front, last = key.split(".")
        if key.removeprefix("train.").startswith("attention"):
            continue
        if any(part in ("output", "cotangent") for part in front) and last in OUTPUTS:
            key = ".".join([*front, str(OUTPUTS[last])])
        tensors[key] = value
    about = dict(found.about)
    if about["class"] == "TransformerDecoderLayer":  # stored the other way round, as the golden tells
        tensors["input.tgt_mask"] = ~tensors["input.tgt_mask"]
    return Golden(about, tensors)


@pytest.mark.parametrize("stem", sorted(set(PATHS) - {"LocationNetwork"}))
def test_equals_the_published_code(stem):
    check(golden(stem))


def test_the_location_network_draws_what_the_published_one_draws_from_the_same_seed():
    class Seeded(Golden):
        def module(self):
            module = super().module()
            module.register_forward_pre_hook(lambda *_: torch.manual_seed(7) and None)
            return module

    found = golden("LocationNetwork")
    check(Seeded(found.about, found.tensors))
    stored = load(PATHS["LocationNetwork"])
    module = found.module()
    torch.manual_seed(7)
    with record(module) as maps:
        _, location = module(stored.tensors["input"])
    close(location, stored.tensors["attention.l_t"], "location")
    close(maps["policy.map"].tensor, stored.tensors["attention.l_t"], "recorded location")
    close(maps["policy.aim"].tensor, stored.tensors["attention.mu"], "mean")


@pytest.mark.parametrize("prefix", ["", "train."])
@pytest.mark.parametrize("stem", [stem for stem in PATHS if stem.startswith("MHA")])
def test_the_weights_of_multi_head_attention(stem, prefix):
    found = load(PATHS[stem])
    module = found.module().train(bool(prefix))
    options = {"average_attn_weights": stem != "MHA_cross_perhead_nobias"}
    with record(module) as maps:
        _, weights = module(*found.inputs.values(), **options)
    close(weights, found.tensors[f"{prefix}attention.weights"], "weights")
    seen = maps["attention.map"].tensor
    close(seen if not options["average_attn_weights"] else seen.mean(1), weights, "recorded weights")


@pytest.mark.parametrize("prefix", ["", "train."])
def test_the_maps_of_show_attend_and_tell(prefix):
    found = load(PATHS["Attention"])
    module = found.module()
    with record(module) as maps:
        _, alpha = module(*found.inputs.values())
    close(alpha, found.tensors[f"{prefix}attention.alpha"], "alpha")
    close(maps["attention.map"].tensor[:, 0], alpha, "recorded")
    found = load(PATHS["DecoderWithAttention"])
    _, captions, steps, alphas, order = found.module()(*found.inputs.values())
    want = found.part(f"{prefix}attention")
    close(alphas, want["alphas"], "alphas")
    assert torch.equal(captions, want["sorted_captions"])
    assert steps == want["decode_lengths"].tolist()
    assert torch.equal(order, want["sort_ind"])
    found = load(PATHS["arctic_soft_attention_transcribed"])
    module = found.module()
    with record(module) as maps:
        module(*found.inputs.values())
    close(maps["attention.map"].tensor[:, 0], found.tensors[f"{prefix}attention.alpha"], "alpha")
    beta = module.attention.attend(*found.inputs.values()).beta
    close(beta[:, 0], found.tensors[f"{prefix}attention.sel"], "beta")


def test_the_alignment_of_bahdanau():
    found = load(PATHS["Bahdanau_GroundHog_transcribed"])
    module = found.module()
    with record(module) as maps:
        module(*found.inputs.values())
    close(maps["attention.map"].tensor[:, 0].T, found.tensors["attention.probs"], "probs")
    # The same through our own module, weights the other way round, batch first.
    state = found.part("state")
    ours = AdditiveAttention(6, 8)
    ours.load_state_dict(
        {"from_query.weight": state["B_hp"].T, "from_key.weight": state["A_cp"].T, "score.weight": state["D_pe"].T}
    )
    inputs = found.inputs
    context = ours(inputs["h"], inputs["c"].transpose(0, 1), mask=inputs["c_mask"].T)
    close(context, found.tensors["output"], "context")
    given = from_reference(
        "pascanur/GroundHog", "RecurrentLayerWithSearch.step_fprop", {"c_dim": 8, "n_hids": 6}, state
    )
    close(given(*inputs.values()), found.tensors["output"], "context, sizes given")
    with pytest.raises(ValueError, match=r"^from_reference: step_fprop: give c_dim and n_hids, or the weights: they"):
        from_reference("pascanur/GroundHog", "RecurrentLayerWithSearch.step_fprop", None)


@pytest.mark.parametrize("path", WARPS, ids=ids(WARPS))
def test_warps_equal_those_of_torch(path):
    found = load(path)
    x, theta = (found.tensors[f"input.{name}"].clone().requires_grad_() for name in ("x", "theta"))
    want = found.tensors["output"]
    net = SpatialTransformer(
        nn.Flatten(),
        x[0].numel(),
        spatial_dims=x.ndim - 2,
        size=want.shape[2:],
        align_corners=json.loads(path.read_text("utf-8")).get("align_corners", False),
    )
    with record(net) as maps:
        y = net.warp(x, theta.flatten(1))
    close(y, want, "output")
    close(maps["map"].tensor, found.tensors["attention.grid"], "grid")
    (y * found.tensors["cotangent"]).sum().backward()
    close(x.grad, found.tensors["grad.input.x"], "gradient of x")
    close(theta.grad, found.tensors["grad.input.theta"], "gradient of theta")


def randomised(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).to(parameter) / 2
    return module


MULTI_HEAD = [
    {},
    {"batch_first": True, "bias": False},
    {"kdim": 5, "vdim": 7},
    {"kdim": 5, "batch_first": True},
    {"add_bias_kv": True},
    {"add_zero_attn": True, "batch_first": True},
    {"add_bias_kv": True, "add_zero_attn": True, "kdim": 5, "vdim": 7, "bias": False},
    {"dropout": 0.5, "dtype": torch.float64},
]


@pytest.mark.parametrize("arguments", MULTI_HEAD, ids=str)
def test_multi_head_attention_of_torch_with_every_argument(arguments):
    arguments = {"embed_dim": 12, "num_heads": 3, **arguments}
    theirs = randomised(nn.MultiheadAttention(**arguments)).eval()
    ours = from_reference(TORCH, "MultiheadAttention", arguments, theirs.state_dict()).eval()
    dtype, first = arguments.get("dtype", torch.float32), arguments.get("batch_first", False)
    q, k, v = (
        torch.randn(2, n, c, dtype=dtype)
        for n, c in [(5, 12), (7, arguments.get("kdim", 12)), (7, arguments.get("vdim", 12))]
    )
    mask, padding = torch.rand(5, 7) < 0.3, torch.arange(7).expand(2, 7) >= 5
    mask[:, 0] = False
    inputs = (q, k, v) if first else tuple(x.transpose(0, 1) for x in (q, k, v))
    causal = {"attn_mask": torch.ones(5, 7).triu(1).bool(), "is_causal": True, "need_weights": False}
    if arguments.keys() & {"add_bias_kv", "add_zero_attn"}:
        causal["is_causal"] = False  # the hint makes theirs forget the mask, and the additional tokens with it
    for options in [
        {},
        causal,
        {"need_weights": False},
        {"average_attn_weights": False, "attn_mask": mask},
        {"key_padding_mask": padding, "attn_mask": mask},
        {"key_padding_mask": torch.randn(2, 7, dtype=dtype), "attn_mask": torch.randn(6, 5, 7, dtype=dtype)},
    ]:
        for got, want in zip(ours(*inputs, **options), theirs(*inputs, **options), strict=True):
            assert (got is None) == (want is None)
            if want is not None:
                close(got, want.detach(), str(options))
    one = tuple(x[0] for x in (q, k, v))
    for got, want in zip(ours(*one), theirs(*one), strict=True):
        close(got, want.detach(), "one item")


@pytest.mark.parametrize("first", [False, True])
def test_a_float_padding_mask_and_a_boolean_mask_add_up(first):
    theirs = randomised(nn.MultiheadAttention(12, 3, batch_first=first)).eval()
    arguments = {"embed_dim": 12, "num_heads": 3, "batch_first": first}
    ours = from_reference(TORCH, "MultiheadAttention", arguments, theirs.state_dict()).eval()
    x, added, mask = torch.randn(5, 5, 12), torch.randn(5, 5), torch.ones(5, 5).triu(1).bool()
    want, _ = theirs(x, x, x, key_padding_mask=added, attn_mask=torch.zeros(5, 5).masked_fill(mask, -torch.inf))
    close(ours(x, x, x, key_padding_mask=added, attn_mask=mask)[0], want.detach(), "output")


def test_is_causal_without_a_mask_is_refused_as_torch_does():
    ours = from_reference(TORCH, "MultiheadAttention", {"embed_dim": 12, "num_heads": 3})
    with pytest.raises(ValueError, match=r"^MultiheadAttention: is_causal tells what attn_mask is, got no attn_mask\."):
        ours(*[torch.zeros(2, 2, 12)] * 3, is_causal=True)


LAYERS = [
    {},
    {"batch_first": True, "norm_first": True, "activation": "gelu", "layer_norm_eps": 0.1},
    {"bias": False, "activation": nn.functional.silu, "dropout": 0.0},
    {"dtype": torch.float64, "norm_first": True, "bias": False},
]


@pytest.mark.parametrize("arguments", LAYERS, ids=", ".join)
@pytest.mark.parametrize("name", ["TransformerEncoderLayer", "TransformerDecoderLayer"])
def test_layers_of_torch_with_every_argument(name, arguments):
    arguments = {"d_model": 12, "nhead": 3, "dim_feedforward": 20, **arguments}
    theirs = randomised(getattr(nn, name)(**arguments)).eval()
    ours = from_reference(TORCH, name, arguments, theirs.state_dict()).eval()
    assert {p.dropout.p for p in ours.modules() if hasattr(p, "norm_first")} == {arguments.get("dropout", 0.1)}
    dtype, first = arguments.get("dtype", torch.float32), arguments.get("batch_first", False)
    x, memory = torch.randn(2, 5, 12, dtype=dtype), torch.randn(2, 7, 12, dtype=dtype)
    padding, other = torch.arange(5).expand(2, 5) >= 4, torch.arange(7).expand(2, 7) >= 5
    causal = torch.ones(5, 5).triu(1).bool()
    inputs = [x] if "Encoder" in name else [x, memory]
    if not first:
        inputs = [each.transpose(0, 1) for each in inputs]
    masks = (
        [{}, {"src_mask": causal, "src_key_padding_mask": padding}, {"src_mask": causal, "is_causal": True}]
        if "Encoder" in name
        else [
            {},
            {"tgt_mask": causal, "tgt_key_padding_mask": padding, "memory_key_padding_mask": other},
            {"memory_mask": torch.randn(5, 7, dtype=dtype), "tgt_mask": causal, "tgt_is_causal": True},
        ]
    )
    for options in masks:
        # Grad mode, so that theirs does not take its kernel for inference, which refuses some of these.
        close(ours(*inputs, **options), theirs(*inputs, **options).detach(), str(options))
    one = [each[0] if first else each[:, 0] for each in inputs]
    close(ours(*one), theirs(*one).detach(), "one item")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"is_causal": True},
        {"scale": 0.3},
        {"enable_gqa": True},
        {"is_causal": True, "enable_gqa": True, "scale": 2.0},
    ],
    ids=str,
)
def test_the_function_of_torch_with_every_argument(arguments):
    ours = from_reference(TORCH, "scaled_dot_product_attention", arguments)
    heads = 3 if arguments.get("enable_gqa") else 6
    q, k, v = torch.randn(2, 6, 5, 4), torch.randn(2, heads, 7, 4), torch.randn(2, heads, 7, 3)
    want = nn.functional.scaled_dot_product_attention(q, k, v, **arguments)
    close(ours(q, k, v), want, "output")
    with record(ours) as maps:
        close(ours(q, k, v), want, "recorded")
    assert maps["map"].tensor.shape == (2, 6, 5, 7)
    mask = torch.rand(5, 7) < 0.5
    if not arguments.get("is_causal"):
        want = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, **arguments)
        close(
            from_reference(TORCH, "scaled_dot_product_attention", {**arguments, "attn_mask": mask})(q, k, v), want, ""
        )
    torch.manual_seed(0)
    dropped = from_reference(TORCH, "scaled_dot_product_attention", {**arguments, "dropout_p": 0.5})(q, k, v)
    assert (dropped - ours(q, k, v)).abs().max() > 1e-3


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match=r"^from_reference: unknown activation 'rel'\. Did you mean 'relu'\? Known: "):
        from_reference(TORCH, "TransformerEncoderLayer", {"d_model": 12, "nhead": 3, "activation": "rel"})


def test_the_recurrent_model_takes_steps_made_of_its_parts():
    arguments = {"g": 4, "k": 2, "s": 2, "c": 3, "h_g": 5, "h_l": 6, "std": 0.1, "hidden_size": 11, "num_classes": 7}
    ram = from_reference(RAM, "RecurrentAttention", arguments)
    names = set(reference_names(ram, RAM).values())
    parts = {
        "sensor": ["fc1", "fc2", "fc3", "fc4"],
        "rnn": ["i2h", "h2h"],
        "locator": ["fc", "fc_lt"],
        "classifier": ["fc"],
        "baseliner": ["fc"],
    }
    assert names == {f"{p}.{q}.{kind}" for p, qs in parts.items() for q in qs for kind in ("weight", "bias")}
    state = {theirs: ram.state_dict()[ours] for ours, theirs in reference_names(ram, RAM).items()}
    x, place, h = torch.randn(3, 3, 16, 16), torch.rand(3, 2) * 2 - 1, torch.randn(3, 11)

    def part(name, prefix, **its):
        return from_reference(
            RAM, name, its, {k[len(prefix) + 1 :]: v for k, v in state.items() if k.startswith(prefix)}
        )

    glimpse = part("GlimpseNetwork", "sensor", h_g=5, h_l=6, g=4, k=2, s=2, c=3)(x, place)
    phi, _ = from_reference(RAM, "Retina", {"g": 4, "k": 2, "s": 2})(x, place)
    what = torch.relu(phi @ state["sensor.fc1.weight"].T + state["sensor.fc1.bias"])
    where = torch.relu(place @ state["sensor.fc2.weight"].T + state["sensor.fc2.bias"])
    both = what @ state["sensor.fc3.weight"].T + where @ state["sensor.fc4.weight"].T
    close(glimpse, torch.relu(both + state["sensor.fc3.bias"] + state["sensor.fc4.bias"]), "glimpse network")
    core = part("CoreNetwork", "rnn", input_size=11, hidden_size=11)(glimpse, h)
    locator = part("LocationNetwork", "locator", input_size=11, output_size=2, std=0.1)
    torch.manual_seed(1)
    log_pi, location = locator(core)
    baseline = part("BaselineNetwork", "baseliner", input_size=11, output_size=1)(core)
    classes = part("ActionNetwork", "classifier", input_size=11, output_size=7)(core)
    for last, want in [
        (False, (core, location, baseline[:, 0], log_pi)),
        (True, (core, location, baseline[:, 0], classes, log_pi)),
    ]:
        torch.manual_seed(1)
        for got, value in zip(ram(x, place, h, last), want, strict=True):
            close(got, value.detach(), "step")
    torch.manual_seed(1)
    h.requires_grad_()
    (ram(x, place, h)[2].sum() + ram(x, place, h)[3].sum()).backward()
    assert h.grad is None or (h.grad == 0).all()  # baseline and policy teach the state nothing


def test_glimpses_of_an_oblong_image_are_placed_by_its_height_as_published():
    retina = from_reference(RAM, "Retina", {"g": 2, "k": 1, "s": 2})
    x = torch.arange(8.0 * 16).reshape(1, 1, 8, 16)
    phi, patch = retina(x, torch.tensor([[0.5, 0.25]]))
    # 0.5 * 1.5 * 8 = 6 along both axes' own pixels: columns 5 and 6, rows 0.5 * 1.25 * 8 = 5: 4 and 5.
    assert phi.tolist() == [[4 * 16 + 5, 4 * 16 + 6, 5 * 16 + 5, 5 * 16 + 6]]
    assert torch.equal(patch.flatten(1), phi)


def test_a_factor_that_published_glimpses_cannot_be_stacked_with_is_refused():
    with pytest.raises(
        ValueError, match=r"^GlimpseSensor: factor must give patches that average to \(4, 4\), got 1\.5"
    ):
        from_reference(RAM, "Retina", {"g": 4, "k": 2, "s": 1.5})
    phi, patch = from_reference(RAM, "Retina", {"g": 4, "k": 2, "s": 2.25})(
        torch.randn(1, 1, 32, 32), torch.zeros(1, 2)
    )
    close(phi[:, 16:], nn.functional.avg_pool2d(patch, 2).flatten(1), "a patch of 9, averaged by 2")


@pytest.mark.parametrize(("selector", "layers"), [(True, 3), (False, 1), (False, 2)])
def test_the_options_of_the_authors_captioning_code(selector, layers):
    repository, name = "kelvinxu/arctic-captions", "lstm_cond_layer._step (deterministic, selector)"
    arguments = {"ctx_dim": 5, "dim": 4, "selector": selector, "n_layers_att": layers}
    module = randomised(from_reference(repository, name, arguments))
    state = {theirs: module.state_dict()[ours] for ours, theirs in reference_names(module, repository).items()}
    assert ("W_sel" in state) == selector
    assert {key for key in state if key.startswith("W_att")} == {f"W_att_{i}" for i in range(1, layers)}
    context, h = torch.randn(2, 9, 5), torch.randn(2, 4)
    p = context @ state["Wc_att"] + state["b_att"]
    for i in range(1, layers):
        p = torch.tanh(p @ state[f"W_att_{i}"] + state[f"b_att_{i}"])
    e = torch.tanh(p + (h @ state["Wd_att"])[:, None]) @ state["U_att"] + state["c_tt"]
    z = (torch.softmax(e, 1) * context).sum(1)
    out = from_reference(repository, name, arguments, state)(context, h)
    if selector:
        close(out[1], torch.sigmoid(h @ state["W_sel"] + state["b_sel"]) * z, "selected")
    close(out[0] if selector else out, z, "context")
    with pytest.raises(
        ValueError, match=r"^from_reference: lstm_cond_layer: n_layers_att must be at least 1, got 0\.$"
    ):
        from_reference(repository, name, {**arguments, "n_layers_att": 0})


def test_the_tutorials_decoder_drops_out_and_starts_small():
    arguments = {"attention_dim": 5, "embed_dim": 4, "decoder_dim": 6, "vocab_size": 11}
    decoder = from_reference(TUTORIAL, "DecoderWithAttention", arguments)
    assert decoder.dropout.p == 0.5
    assert decoder.attention.from_features.in_features == 2048
    assert decoder.embedding.weight.abs().max() <= 0.1
    assert decoder.out.weight.abs().max() <= 0.1
    assert (decoder.out.bias == 0).all()
    assert isinstance(decoder.attention, VisualAttention)
