import math

import pytest
import torch
from torch.nn import functional as F

from saccade.attention import Tap, record, scaled_dot_product_attention
from saccade.attention.scaled_dot_product import attention_weights


def draw(*sizes, seed=0, **options):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed), **options)


Q, K, V = draw(2, 3, 5, 4), draw(2, 3, 7, 4, seed=1), draw(2, 3, 7, 6, seed=2)
SEEN = draw(2, 1, 5, 7, seed=3) > -0.5
CASES = {
    "plain": {},
    "causal": {"causal": True},
    "booleans": {"mask": SEEN},
    "one mask for all": {"mask": SEEN[0, 0]},
    "numbers": {"mask": draw(2, 3, 5, 7, seed=4)},
    "numbers and causal": {"mask": draw(1, 1, 1, 7, seed=4), "causal": True},
    "booleans and causal": {"mask": SEEN, "causal": True},
    "scale": {"scale": 0.3},
}


def heard(*inputs, queries=None, **options):
    tap = Tap("pairwise")
    with record(tap, queries=queries) as maps:
        y = scaled_dot_product_attention(*inputs, tap=tap, **options)
    return y, maps[""]


def test_hand_worked_value():
    # Scores (1, 1) . (2, 0) = 2 and (1, 1) . (0, 0) = 0, halved by the scale: weights e / (e + 1) and 1 / (e + 1).
    q, k = torch.ones(1, 1, 2), torch.tensor([[[2.0, 0.0], [0.0, 0.0]]])
    v = torch.tensor([[[10.0], [20.0]]])
    want = (10 * math.e + 20) / (math.e + 1)
    assert scaled_dot_product_attention(q, k, v, scale=0.5).item() == pytest.approx(want)
    root = math.exp(math.sqrt(2))  # 1 / sqrt(d), d = 2
    assert scaled_dot_product_attention(q, k, v).item() == pytest.approx((10 * root + 20) / (root + 1))


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_the_fused_and_the_heard_path_agree_and_the_map_is_what_was_applied(options):
    plain = scaled_dot_product_attention(Q, K, V, **options)
    y, seen = heard(Q, K, V, **options)
    torch.testing.assert_close(y, plain, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(seen.tensor @ V, y, rtol=0, atol=0)
    assert (seen.kind, seen.grid, seen.key_grid) == ("pairwise", (5,), (7,))
    sums = seen.tensor.sum(-1)
    assert (((sums - 1).abs() < 1e-6) | (sums == 0)).all()


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_rows_that_were_asked_for_are_those_of_the_whole_map(options):
    y, seen = heard(Q, K, V, queries=[(3,), (0,)], **options)
    whole, everything = heard(Q, K, V, **options)
    torch.testing.assert_close(y, whole)
    torch.testing.assert_close(seen.tensor, everything.tensor[:, :, [3, 0]])


def test_gradients_flow_through_the_rows_that_were_asked_for():
    tap, q = Tap("pairwise"), Q.clone().requires_grad_()
    with record(tap, queries=[(1,)]) as maps:
        y = scaled_dot_product_attention(q, K, V, tap=tap)
    assert torch.equal(y[:, :, 1:2], maps[""].tensor @ V)
    (ours,) = torch.autograd.grad(y.square().sum(), q)
    (theirs,) = torch.autograd.grad(F.scaled_dot_product_attention(q, K, V).square().sum(), q)
    torch.testing.assert_close(ours, theirs)


def test_a_query_that_may_look_nowhere_gets_zeros_and_a_gradient_of_zero():
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[2] = False
    for wanted in (mask, torch.zeros(5, 7).masked_fill(~mask, -torch.inf)):
        for listen in (False, True):
            q = Q.clone().requires_grad_()
            y = heard(q, K, V, mask=wanted)[0] if listen else scaled_dot_product_attention(q, K, V, mask=wanted)
            assert (y[:, :, 2] == 0).all()
            (gradient,) = torch.autograd.grad(y.square().sum(), q)
            assert gradient.isfinite().all()
            assert (gradient[:, :, 2] == 0).all()
            assert (gradient[:, :, 1] != 0).all()


def test_a_masked_key_does_not_matter():
    mask = torch.ones(7, dtype=torch.bool)
    mask[4] = False
    other_k, other_v = K.clone(), V.clone()
    other_k[:, :, 4], other_v[:, :, 4] = 9.0, -9.0
    y = scaled_dot_product_attention(Q, K, V, mask=mask)
    torch.testing.assert_close(scaled_dot_product_attention(Q, other_k, other_v, mask=mask), y)
    assert (scaled_dot_product_attention(Q, other_k, other_v) - y).abs().max() > 0.1


def test_dropout_drops_its_share_of_the_weights_on_both_paths():
    torch.manual_seed(0)
    _, seen = heard(
        Q.expand(40, 2, 3, 5, 4).flatten(0, 1), *(x.expand(40, *x.shape).flatten(0, 1) for x in (K, V)), dropout=0.3
    )
    assert (seen.tensor == 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    weights = attention_weights(Q, K).expand(40, 2, 3, 5, 7).flatten(0, 1)
    kept = seen.tensor != 0
    torch.testing.assert_close(seen.tensor[kept], weights[kept] / 0.7)
    assert not torch.equal(*(scaled_dot_product_attention(Q, K, V, dropout=0.3) for _ in range(2)))


def test_gradient():
    q, k, v = (x[:1, :2].double().requires_grad_() for x in (Q, K, V))
    mask = draw(5, 7, dtype=torch.double, seed=8).requires_grad_()

    def call(q, k, v, mask):
        return heard(q, k, v, mask=mask)[0]

    assert torch.autograd.gradcheck(call, (q, k, v, mask), fast_mode=True)


def test_a_mask_of_the_wrong_size_is_named():
    message = r"^scaled_dot_product_attention: mask must broadcast to the scores \(2, 3, 5, 7\), got \(7, 5\)\.$"
    for call in (scaled_dot_product_attention, heard):
        with pytest.raises(ValueError, match=message):
            call(Q, K, V, mask=torch.zeros(7, 5))
