import math

import pytest
import torch

from saccade.attention import AdditiveAttention, MultiplicativeAttention, record

N = 7


def draw(*sizes, seed=0):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def randomised(module, seed=3):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return module.eval()


def makers():
    yield "additive", randomised(AdditiveAttention(4, 6))
    yield "general", randomised(MultiplicativeAttention(4, key_channels=6))
    yield "concat", randomised(MultiplicativeAttention(4, key_channels=6, score="concat", hidden_channels=5))


EACH = [pytest.param(module, id=name) for name, module in makers()]
QUERY, KEYS = draw(2, 3, 4), draw(2, N, 6, seed=1)


@pytest.mark.parametrize("attention", EACH)
def test_weights_sum_to_one_and_are_what_averages_the_source(attention):
    with record(attention) as maps:
        context = attention(QUERY, KEYS)
    alpha = maps["map"].tensor
    assert (alpha.shape, maps["map"].kind, maps["map"].grid) == ((2, 3, N), "alignment", None)
    torch.testing.assert_close(alpha.sum(-1), torch.ones(2, 3))
    torch.testing.assert_close(context[1, 2], sum(alpha[1, 2, j] * KEYS[1, j] for j in range(N)))
    torch.testing.assert_close(attention.weights(QUERY, KEYS), alpha)


@pytest.mark.parametrize("attention", EACH)
def test_one_state_is_a_step_of_many_and_tells_its_grid(attention):
    with record(attention) as maps:
        one = attention(QUERY[:, 1], KEYS, grid=(N,))
    torch.testing.assert_close(one, attention(QUERY, KEYS)[:, 1])
    assert (maps["map"].tensor.shape, maps["map"].grid) == ((2, 1, N), (N,))


@pytest.mark.parametrize("attention", EACH)
def test_padding_is_as_if_it_were_not_there(attention):
    mask = torch.arange(N) < torch.tensor([N, 4])[:, None]
    with record(attention) as maps:
        y = attention(QUERY, KEYS, mask=mask)
    torch.testing.assert_close(y[1:], attention(QUERY[1:], KEYS[1:, :4]))
    torch.testing.assert_close(y[:1], attention(QUERY[:1], KEYS[:1]))
    assert (maps["map"].tensor[1, :, 4:] == 0).all()
    torch.testing.assert_close(attention(QUERY, KEYS, mask=mask.float()), y)
    for nothing in (torch.zeros(2, N), torch.zeros(2, N, dtype=torch.bool)):
        assert (attention(QUERY, KEYS, mask=nothing) == 0).all()


@pytest.mark.parametrize("attention", EACH)
def test_the_order_of_the_source_does_not_matter(attention):
    order = torch.tensor([4, 0, 6, 1, 5, 3, 2])
    torch.testing.assert_close(attention(QUERY, KEYS[:, order]), attention(QUERY, KEYS))


def test_hand_worked_additive_weights():
    attention = AdditiveAttention(1, 1)
    for layer, value in [(attention.from_query, 1.0), (attention.from_key, 0.5), (attention.score, 2.0)]:
        torch.nn.init.constant_(layer.weight, value)
    # e = 2 tanh(1 + h / 2): h = -2 gives 0, h = 2 gives 2 tanh(2).
    e = math.exp(2 * math.tanh(2.0))
    got = attention.weights(torch.ones(1, 1), torch.tensor([[[-2.0], [2.0]]]))
    torch.testing.assert_close(got, torch.tensor([[[1 / (1 + e), e / (1 + e)]]]))


def test_the_start_is_the_papers_all_positions_weigh_the_same():
    attention = AdditiveAttention(200, 300, bias=True)
    torch.testing.assert_close(attention.weights(draw(1, 200), draw(1, 5, 300)), torch.full((1, 1, 5), 0.2))
    assert attention.from_query.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert attention.from_key.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert (attention.from_key.bias == 0).all()


def test_what_does_not_change_over_the_steps_can_be_prepared():
    attention = randomised(AdditiveAttention(4, 6, bias=True))
    prepared = attention.prepare(KEYS)
    torch.testing.assert_close(attention(QUERY, KEYS, prepared=prepared), attention(QUERY, KEYS))
    assert (attention(QUERY, KEYS, prepared=2 * prepared) - attention(QUERY, KEYS)).abs().max() > 1e-3


def test_factors_of_the_weights_work_as_in_the_published_formula_and_do_not_overflow():
    attention = randomised(AdditiveAttention(4, 6))
    factors = draw(2, N, seed=5).abs()
    energies = attention.weights(QUERY, KEYS).log()
    want = energies.exp() * factors[:, None]
    torch.testing.assert_close(attention.weights(QUERY, KEYS, mask=factors), want / want.sum(-1, keepdim=True))
    attention.score.weight.data *= 1e4  # energies in the tens of thousands: exp of one is no float
    factors[:, 0] = 0
    weights = attention.weights(QUERY, KEYS, mask=factors)
    assert weights.isfinite().all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3))
    assert (weights[..., 0] == 0).all()


def test_the_three_scores_of_luong_by_hand():
    h, s = torch.tensor([[1.0, 2.0]]), torch.tensor([[[3.0, -1.0], [0.0, 1.0]]])
    scores = {
        "dot": [1.0, 2.0],  # 3 - 2, 2
        "general": [2.0, 1.0],  # W = [[1, 1], [0, 0]]: W s = (2, 0), (1, 0)
        "concat": [2 * math.tanh(3.0 + 2.0), 2 * math.tanh(3.0 + 1.0)],  # v = 2, W = [1 1 1 1]: (1 + 2) + (3 - 1)
    }
    for name, want in scores.items():
        attention = MultiplicativeAttention(2, score=name, hidden_channels=1 if name == "concat" else None)
        if name == "general":
            attention.from_key.weight.data = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        if name == "concat":
            for layer, value in [(attention.from_query, 1.0), (attention.from_key, 1.0), (attention.vector, 2.0)]:
                torch.nn.init.constant_(layer.weight, value)
        torch.testing.assert_close(attention.weights(h, s)[0, 0], torch.tensor(want).softmax(0))
