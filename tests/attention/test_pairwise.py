import pytest
import torch
from fast_ways import fast_ways
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.attention.pairwise import Additive, Concatenation, DotProduct, Softmax
from saccade.attention.pairwise.base import Pairwise, apply_weights
from saccade.attention.pairwise.hinge import _pieces, hinge_sum

FORMS = {
    "softmax": lambda channels: Softmax(0.5),
    "dot_product": lambda channels: DotProduct(),
    "concatenation": Concatenation,
    "additive": Additive,
}
RELATIVE = {torch.float64: 1e-12, torch.float32: 1e-5}


def draw(seed, *sizes, dtype=torch.float64):
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def outputs_and_gradients(function, inputs, parameters=()):
    """The result, and the gradients of its product with fixed numbers."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    y = function(*leaves)
    wanted = [*leaves, *parameters]
    found = torch.autograd.grad((y * draw(99, *y.shape, dtype=y.dtype)).sum(), wanted, allow_unused=True)
    return [y.detach(), *(torch.zeros_like(x) if g is None else g for g, x in zip(found, wanted, strict=True))]


def near(found, wanted, relative):
    """Equal up to so much of the largest number of all tensors.

    Not of each tensor: some gradients of a softmax are zero by the formula, and what is there is rounding.
    """
    assert len(found) == len(wanted)
    largest = max(b.abs().max().item() for b in wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0, atol=relative * largest)


def plane_sum(a, b, g):
    """What `hinge_sum` says it computes, over the plane of all pairs."""
    return g @ torch.relu(a[:, :, None] + b[:, None]).mT


@pytest.mark.parametrize("dtype", RELATIVE, ids=str)
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 3), st.integers(1, 23), st.integers(1, 23), st.integers(1, 5), st.integers(1, 7)]),
    seed=st.integers(0, 1000),
)
def test_the_fast_way_equals_the_map_times_the_values(form, dtype, sizes, seed):
    batch, n, m, c, d = sizes
    torch.manual_seed(seed)
    module = FORMS[form](c).to(dtype)
    inputs = [draw(seed + i, batch, *size, dtype=dtype) for i, size in enumerate([(c, n), (c, m), (d, m)])]

    def plain(theta, phi, g):
        return apply_weights(module.weights(theta, phi), g)

    with fast_ways():
        found = outputs_and_gradients(module, inputs, list(module.parameters()))
    wanted = outputs_and_gradients(plain, inputs, list(module.parameters()))
    if form == "additive":  # the softmax takes no notice of psi's bias, whose gradient is rounding alone
        found, wanted = found[:-1], wanted[:-1]
    near(found, wanted, RELATIVE[dtype])


@pytest.mark.parametrize("dtype", RELATIVE, ids=str)
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 40),
    seed=st.integers(0, 1000),
    shift=st.sampled_from([0.0, 3.0, -3.0, 1e3]),
    away=st.sampled_from([0.0, 1e3, -1e3]),
    ties=st.booleans(),
)
def test_hinge_sums_equal_the_plane_of_pairs_with_ties_and_far_from_zero(dtype, n, m, seed, shift, away, ties):
    a, b = draw(seed, 2, n), draw(seed + 1, 2, m)
    if ties:  # whole numbers: many b alike, and many sums a + b exactly at the kink
        a, b = a.round(), b.round()
    inputs = [x.to(dtype) for x in (a + away + shift, b - away, draw(seed + 2, 2, 3, m))]
    with fast_ways():
        found = outputs_and_gradients(hinge_sum, inputs)
    near(found, outputs_and_gradients(plane_sum, inputs), RELATIVE[dtype])
    near(outputs_and_gradients(lambda *x: _pieces(*x)[0], inputs), found, 10 * RELATIVE[dtype])


def test_nothing_cancels_where_queries_and_keys_are_large_and_opposite():
    # a S_0 + S_1 from two running sums would leave an error of about 1e8 * 1e-16 = 1e-8 here.
    a, b, g = draw(1, 1, 500) + 1e8, draw(2, 1, 500) - 1e8, draw(3, 1, 2, 500)
    near([hinge_sum(a, b, g)], [plane_sum(a, b, g)], 1e-13)


def test_long_sums_in_float32_are_as_good_as_in_float64():
    inputs = [draw(1, 1, 4096), draw(2, 1, 4096), draw(3, 1, 2, 4096)]
    found = outputs_and_gradients(hinge_sum, [x.float() for x in inputs])
    near([x.double() for x in found], outputs_and_gradients(plane_sum, [x.float().double() for x in inputs]), 1e-6)


def test_no_active_pair_gives_zero_and_all_active_pairs_give_the_sum():
    a, b, g = draw(1, 2, 90).abs() + 1, draw(2, 2, 80).abs() + 1, draw(3, 2, 3, 80)
    assert all(not x.any() for x in outputs_and_gradients(hinge_sum, [-a, -b, g]))
    # sum_j (a_i + b_j) g_j = a_i sum_j g_j + sum_j b_j g_j
    wanted = a[:, None] * g.sum(2, keepdim=True) + (b[:, None] * g).sum(2, keepdim=True)
    near([hinge_sum(a, b, g)], [wanted], 1e-13)


def test_one_far_key_does_not_spoil_the_others():
    a, b, g = draw(1, 1, 80), draw(2, 1, 80), draw(3, 1, 2, 80)
    b[0, 7] = -1e12  # never active
    near([hinge_sum(a, b, g)], [plane_sum(a, b, g)], 1e-13)


def test_gradients_of_hinge_sums_and_their_gradients():
    # No two of these numbers are so near to opposite that a finite difference crosses a kink.
    a, b = torch.tensor([[0.3, -1.2, 2.1]]).double(), torch.tensor([[0.9, -0.7, 1.5, -2.6]]).double()
    inputs = [a.requires_grad_(), b.requires_grad_(), draw(3, 1, 2, 4).requires_grad_()]
    with fast_ways():
        assert torch.autograd.gradcheck(hinge_sum, inputs)
        assert torch.autograd.gradgradcheck(hinge_sum, inputs)


@pytest.mark.parametrize("sizes", [(3, 2), (2, 3)], ids=["narrow values", "wide values"])
def test_the_fused_kernel_is_right_for_any_widths_and_for_logits_of_any_size(sizes):
    c, d = sizes
    inputs = [10 * draw(1, 2, c, 17), 10 * draw(2, 2, c, 13), draw(3, 2, d, 13)]
    module = Softmax()
    with fast_ways():
        found = outputs_and_gradients(module, inputs)
    near(found, outputs_and_gradients(lambda t, p, g: apply_weights(module.weights(t, p), g), inputs), 1e-11)


def test_sizes_decide_between_the_kernel_and_the_map(monkeypatch):
    ways = []
    monkeypatch.setattr("saccade.attention.pairwise.softmax.fused", lambda *x: ways.append("fused") or x[0])
    monkeypatch.setattr("saccade.attention.pairwise.softmax.apply_weights", lambda *x: ways.append("map") or x[1])
    monkeypatch.setattr(Softmax, "weights", lambda self, theta, phi: theta)
    for channels, positions in [(2, 2048), (2, 4096), (256, 4096), (256, 8192)]:
        x = torch.zeros(1, channels, 1).expand(-1, -1, positions)
        Softmax()(x, x, x)
    assert ways == ["map", "fused", "map", "fused"]


@pytest.mark.parametrize("form", ["dot_product", "concatenation"])
def test_maps_are_not_built_where_they_would_not_fit(form):
    # The map of 200,000 positions would take 160 GB.
    positions = 200_000
    module = FORMS[form](2)
    x = torch.randn(1, 2, positions, requires_grad=True)
    module(x, x, x).sum().backward()
    assert x.grad.isfinite().all()
    assert module.weights(x, x, rows=[5, positions - 1]).shape == (1, 1, 2, positions)


@pytest.mark.parametrize("form", FORMS)
def test_chosen_rows_are_rows_of_the_map(form):
    torch.manual_seed(0)
    module, theta, phi = FORMS[form](3).double(), draw(1, 2, 3, 11), draw(2, 2, 3, 7)
    whole = module.weights(theta, phi)
    assert whole.shape == (2, 1, 11, 7)
    near([module.weights(theta, phi, rows=[10, 0, 4])], [whole[:, :, [10, 0, 4]]], 1e-15)


def test_few_positions_with_many_channels_are_summed_through_the_map(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "saccade.attention.pairwise.dot_product.apply_weights",
        lambda w, g: calls.append(w.shape) or apply_weights(w, g),
    )
    wide, long = draw(1, 1, 20, 3), draw(2, 1, 3, 20)
    for x in (wide, long):
        near([DotProduct()(x, x, x)], [x @ (x.mT @ x).mT / x.shape[2]], 1e-14)
    assert calls == [(1, 1, 3, 3)]


@pytest.mark.parametrize("form", FORMS)
def test_bfloat16_comes_near(form):
    torch.manual_seed(0)
    module, inputs = FORMS[form](4), [draw(i, 1, 4, 50, dtype=torch.float32) for i in range(3)]
    wanted = module(*inputs)
    with fast_ways():
        found = module.bfloat16()(*[x.bfloat16() for x in inputs])
    assert found.dtype == torch.bfloat16
    near([found.float()], [wanted], 0.05)


def test_a_form_of_one_s_own_needs_its_weights_alone():
    class Nearest(Pairwise):
        def weights(self, theta, phi, rows=None):
            rows = range(theta.shape[2]) if rows is None else rows
            return -torch.cdist(theta[:, :, list(rows)].mT, phi.mT)[:, None]

    x = draw(1, 1, 2, 5)
    near([Nearest()(x, x, x)], [x @ -torch.cdist(x.mT, x.mT)], 1e-14)
    with pytest.raises(TypeError, match="weights"):
        Pairwise()
