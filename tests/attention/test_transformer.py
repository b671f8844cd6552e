import torch
from torch import nn
from torch.nn import functional as F

from saccade.attention import FeedForward, TransformerDecoderLayer, TransformerEncoderLayer

SMALL = {"heads": 3, "hidden_channels": 20}


def randomised(module, seed=3):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 3
    return module.eval()


def tokens(n=6, seed=0):
    return torch.randn(2, n, 12, generator=torch.Generator().manual_seed(seed))


def test_hand_worked_feed_forward():
    layer = FeedForward(1, 2)
    layer.load_state_dict(
        {
            "grow.weight": torch.tensor([[2.0], [-1.0]]),
            "grow.bias": torch.tensor([1.0, 0.0]),
            "shrink.weight": torch.tensor([[3.0, 5.0]]),
            "shrink.bias": torch.tensor([0.5]),
        }
    )
    # x = 2: hidden relu(5), relu(-2) = 5, 0 -> 15.5; x = -2: relu(-3), relu(2) = 0, 2 -> 10.5.
    torch.testing.assert_close(layer(torch.tensor([[[2.0], [-2.0]]])), torch.tensor([[[15.5], [10.5]]]))


def test_the_norm_comes_after_the_sum_as_in_the_paper_or_before_the_part():
    x = tokens()
    after, before = (randomised(TransformerEncoderLayer(12, **SMALL, norm_first=first)) for first in (False, True))
    one = after.attention_norm(x + after.attention(x))
    torch.testing.assert_close(after(x), after.feed_forward_norm(one + after.feed_forward(one)))
    one = x + before.attention(before.attention_norm(x))
    torch.testing.assert_close(before(x), one + before.feed_forward(before.feed_forward_norm(one)))


def test_the_decoder_looks_at_itself_then_at_the_memory():
    x, memory = tokens(), tokens(5, seed=1)
    layer = randomised(TransformerDecoderLayer(12, **SMALL))
    one = layer.attention_norm(x + layer.attention(x, causal=True))
    two = layer.memory_norm(one + layer.memory_attention(one, memory))
    torch.testing.assert_close(layer(x, memory), layer.feed_forward_norm(two + layer.feed_forward(two)))


def test_the_future_does_not_change_the_past_but_the_memory_does():
    x, memory, changed = tokens(), tokens(5, seed=1), tokens()
    changed[:, 3:] += 1
    layer = randomised(TransformerDecoderLayer(12, **SMALL))
    assert torch.equal(layer(x, memory)[:, :3], layer(changed, memory)[:, :3])
    assert (layer(x, memory)[:, 3:] - layer(changed, memory)[:, 3:]).abs().max() > 1e-3
    assert not torch.equal(layer(x, memory, causal=False)[:, :3], layer(changed, memory, causal=False)[:, :3])
    assert (layer(x, memory)[:, 0] - layer(x, memory + 1)[:, 0]).abs().max() > 1e-3


def test_masks_and_padding_reach_their_attention():
    x, memory = tokens(), tokens(5, seed=1)
    layer, encoder = (randomised(kind(12, **SMALL)) for kind in (TransformerDecoderLayer, TransformerEncoderLayer))
    padding, other = torch.arange(6).expand(2, 6) < 4, torch.arange(5).expand(2, 5) < 3
    torch.testing.assert_close(encoder(x, padding=padding)[:, :4], encoder(x[:, :4]))
    torch.testing.assert_close(encoder(x, mask=padding[0]), encoder(x, padding=padding))
    torch.testing.assert_close(encoder(x, causal=True), encoder(x, mask=torch.ones(6, 6, dtype=torch.bool).tril()))
    torch.testing.assert_close(layer(x, memory, memory_padding=other), layer(x, memory[:, :3]))
    torch.testing.assert_close(layer(x, memory, memory_mask=other[0]), layer(x, memory[:, :3]))
    few = layer(x, memory, padding=padding, causal=False)
    torch.testing.assert_close(few[:, :4], layer(x[:, :4], memory, causal=False))
    torch.testing.assert_close(layer(x, memory, mask=padding[0], causal=False), few)


def test_dropout_is_where_it_is_asked_for_and_only_in_training():
    x = torch.ones(1, 500, 12)
    layer = randomised(TransformerEncoderLayer(12, **SMALL, dropout=0.5)).train()
    assert (layer.attention.dropout, layer.feed_forward.dropout.p) == (0.0, 0.0)
    part = layer.dropout(layer.attention(x))
    assert 0.45 < (part == 0).float().mean() < 0.55
    inner = TransformerEncoderLayer(12, **SMALL, dropout=0.0, inner_dropout=0.5)
    assert (inner.attention.dropout, inner.feed_forward.dropout.p, inner.dropout.p) == (0.5, 0.5, 0.0)


def test_a_layer_without_biases_has_none():
    layer = TransformerDecoderLayer(12, **SMALL, bias=False, activation=F.gelu)
    assert not [name for name, _ in layer.named_parameters() if "bias" in name]
    assert isinstance(layer.memory_norm, nn.LayerNorm)
    x = torch.tensor([[[-1.0]]])
    assert FeedForward(1, 1, activation=F.gelu, bias=False).activation(x).item() < 0
