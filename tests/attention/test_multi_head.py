import pytest
import torch
from torch import nn

from saccade.attention import MultiHeadAttention, record


def randomised(module, seed=3):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 2
    return module.eval()


@pytest.fixture
def x():
    return torch.randn(3, 7, 12, generator=torch.Generator().manual_seed(0))


def test_self_attention_without_positions_does_not_know_the_order(x):
    attention, order = randomised(MultiHeadAttention(12, heads=3)), torch.tensor([4, 0, 6, 1, 5, 3, 2])
    torch.testing.assert_close(attention(x[:, order]), attention(x)[:, order])
    with record(attention) as maps:
        attention(x)
        attention(x[:, order])
    plain, permuted = maps["map"].calls
    torch.testing.assert_close(permuted, plain[:, :, order][..., order])
    torch.testing.assert_close(plain.sum(-1), torch.ones(3, 3, 7))


def test_causal_attention_does_not_see_the_future(x):
    attention, changed = randomised(MultiHeadAttention(12, heads=3)), x.clone()
    changed[:, 4:] += 1
    before, after = attention(x, causal=True), attention(changed, causal=True)
    assert torch.equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().amin((0, 2)).min() > 1e-4
    assert not torch.equal(attention(x)[:, :4], attention(changed)[:, :4])
    torch.testing.assert_close(attention(x[:, :5], causal=True), before[:, :5])


def test_padding_is_as_if_the_tokens_were_not_there(x):
    attention = randomised(MultiHeadAttention(12, heads=3))
    padding = torch.arange(7) < torch.tensor([7, 5, 2])[:, None]
    with record(attention) as maps:
        whole = attention(x, padding=padding)
    for i, n in enumerate([7, 5, 2]):
        alone = attention(x[i : i + 1, :n])
        torch.testing.assert_close(whole[i : i + 1, :n], alone)
        torch.testing.assert_close(attention(x, padding=padding)[i : i + 1, :n], alone)
        assert (maps["map"].tensor[i, :, :, n:] == 0).all()


@pytest.mark.parametrize("extra", [{}, {"learned_token": True}, {"zero_token": True}], ids=str)
def test_masks_of_booleans_and_of_numbers_say_the_same(x, extra):
    attention = randomised(MultiHeadAttention(12, heads=3, **extra))
    padding = torch.arange(7) < torch.tensor([7, 5, 2])[:, None]
    mask = torch.rand(3, 3, 7, 7, generator=torch.Generator().manual_seed(1)) < 0.7
    mask[..., 0] = True
    added = torch.zeros(3, 3, 7, 7).masked_fill(~mask, -torch.inf)
    together = mask & padding[:, None, None] & torch.ones(7, 7, dtype=torch.bool).tril()
    want = attention(x, mask=together)
    for given in (mask, added):
        torch.testing.assert_close(attention(x, mask=given, padding=padding, causal=True), want)
    each = attention(x, mask=together[:, 0])
    torch.testing.assert_close(each[:1], attention(x[:1], mask=together[0, 0]))
    assert (each - want).abs().max() > 1e-3


def test_every_head_looks_by_itself_and_attend_gives_what_is_recorded(x):
    attention = randomised(MultiHeadAttention(12, heads=3))
    with record(attention) as maps:
        y, weights = attention.attend(x, causal=True)
    assert torch.equal(maps["map"].tensor, weights)
    torch.testing.assert_close(attention(x, causal=True), y)
    assert (weights[:, 0] - weights[:, 1]).abs().max() > 0.01
    q, k, v = attention.project(x, x, x)
    torch.testing.assert_close(
        weights @ v,
        (y - attention.out.bias).matmul(attention.out.weight.inverse().T).unflatten(2, (3, 4)).transpose(1, 2),
        rtol=1e-3,
        atol=1e-4,
    )
    assert q.shape == k.shape == (3, 3, 7, 4)


def test_one_input_equals_three_of_the_same(x):
    attention = randomised(MultiHeadAttention(12, heads=3))
    torch.testing.assert_close(attention(x), attention(x, x.clone(), x.clone()))
    torch.testing.assert_close(attention(x[:, :2], x), attention(x)[:, :2])


def test_a_zero_token_lets_a_query_look_at_nothing(x):
    attention = randomised(MultiHeadAttention(12, heads=3, zero_token=True))
    nothing = torch.zeros(3, 7, dtype=torch.bool)
    with record(attention) as maps:
        y = attention(x, padding=nothing)
    torch.testing.assert_close(y, attention.out.bias.expand_as(y))
    assert (maps["map"].tensor[..., 7] == 1).all()
    assert maps["map"].key_grid == (7,)


def test_the_grid_of_an_image_makes_its_queries_known(x):
    attention = randomised(MultiHeadAttention(12, heads=3))
    tokens = torch.randn(1, 6, 12)
    with record(attention, queries=[(1, 2)]) as maps:
        attention(tokens, grid=(2, 3))
    with record(attention) as whole:
        attention(tokens, grid=(2, 3))
    torch.testing.assert_close(maps["map"].tensor[:, :, 0], whole["map"].tensor[:, :, 5])
    assert whole["map"].grid == (2, 3)


def test_dropout_is_on_in_training_alone(x):
    attention = MultiHeadAttention(12, heads=3, dropout=0.5)
    assert not torch.equal(attention(x), attention(x))
    attention.eval()
    assert torch.equal(attention(x), attention(x))


@pytest.mark.parametrize("extra", [{}, {"bias": False}, {"add_bias_kv": True, "add_zero_attn": True}], ids=str)
def test_equals_torch_with_every_option(x, extra):
    from saccade import from_reference

    theirs = randomised(nn.MultiheadAttention(12, 4, batch_first=True, **extra))
    arguments = {"embed_dim": 12, "num_heads": 4, "batch_first": True, **extra}
    ours = from_reference("pytorch/pytorch", "MultiheadAttention", arguments, theirs.state_dict()).eval()
    for got, want in zip(ours(x, x, x), theirs(x, x, x), strict=True):
        torch.testing.assert_close(got, want)
