import pytest
import torch

from saccade.attention import MovingBaseline, VisualAttention, doubly_stochastic_penalty, record, score_function_loss

FEATURES = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0))
STATE = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))


def made(seed=3, **options):
    attention, generator = VisualAttention(5, 4, **options), torch.Generator().manual_seed(seed)
    for parameter in attention.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return attention.eval()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_soft_attention_averages_and_a_scalar_gates():
    attention = made()
    with record(attention) as maps:
        glance = attention.attend(FEATURES, STATE, grid=(3, 3))
    alpha = attention.weights(FEATURES, STATE)
    torch.testing.assert_close(alpha.sum(-1), torch.ones(2))
    torch.testing.assert_close(maps["map"].tensor, alpha[:, None])
    assert (maps["map"].kind, maps["map"].grid) == ("alignment", (3, 3))
    torch.testing.assert_close(glance.ungated, (alpha[..., None] * FEATURES).sum(1))
    beta = torch.sigmoid(STATE @ attention.gate.weight.T + attention.gate.bias)
    assert beta.shape == (2, 1)
    torch.testing.assert_close(glance.context, beta * glance.ungated)
    torch.testing.assert_close(attention(FEATURES, STATE), glance.context)
    assert (glance.log_probability == 0).all()
    assert (glance.entropy == 0).all()


def test_the_gate_may_be_a_vector_or_missing():
    vector, none = made(gate="vector"), made(gate=None)
    assert vector.attend(FEATURES, STATE).beta.shape == (2, 5)
    glance = none.attend(FEATURES, STATE)
    assert glance.beta is None
    torch.testing.assert_close(glance.context, glance.ungated)


def test_hard_attention_takes_one_place_the_likeliest_in_eval_mode():
    attention = made(mode="hard", gate=None)
    best = attention.weights(FEATURES, STATE).argmax(-1)
    torch.testing.assert_close(attention(FEATURES, STATE), FEATURES[torch.arange(2), best])
    attention.train()
    attention.soft_share = 0.0
    with record(attention) as maps:
        y = attention(FEATURES, STATE, generator=seeded())
    place = maps["map"].tensor[:, 0]
    assert ((place == 0) | (place == 1)).all()
    assert (place.sum(-1) == 1).all()
    torch.testing.assert_close(y, FEATURES[torch.arange(2), place.argmax(-1)])
    torch.testing.assert_close(attention(FEATURES, STATE, generator=seeded()), y)
    torch.manual_seed(5)
    first = attention(FEATURES, STATE)
    torch.manual_seed(5)
    torch.testing.assert_close(attention(FEATURES, STATE), first)


def test_places_are_drawn_as_often_as_alpha_says_and_half_of_the_items_stay_soft():
    attention = made(mode="hard").train()
    many = 20000
    features, state = FEATURES[:1].expand(many, -1, -1), STATE[:1].expand(many, -1)
    alpha = attention.weights(FEATURES, STATE)[0]
    glance = attention.attend(features, state, generator=seeded())
    hard = glance.log_probability != 0
    assert hard.float().mean().item() == pytest.approx(0.5, abs=0.015)  # 4 standard errors
    drawn = glance.weights[hard]
    torch.testing.assert_close(drawn.mean(0), alpha, rtol=0, atol=0.02)
    torch.testing.assert_close(glance.weights[~hard], alpha.expand(int((~hard).sum()), -1))
    places = drawn.argmax(-1)
    torch.testing.assert_close(glance.log_probability[hard], alpha.log()[places])
    torch.testing.assert_close(glance.entropy[hard], -(alpha * alpha.log()).sum().expand(int(hard.sum())))
    assert (glance.entropy[~hard] == 0).all()


def test_the_score_function_gradient_is_the_exact_one_on_average():
    """On four places: d/dparameters of sum_s p(s|a) (-log p(y|s, a)), and its estimate from 200,000 draws."""
    attention = VisualAttention(5, 4, mode="hard", soft_share=0.0, gate=None)
    for parameter in attention.parameters():
        parameter.data = torch.randn(parameter.shape, generator=seeded(7)) / 2
    features, state, classify = FEATURES[:1, :4], STATE[:1], torch.randn(5, 3, generator=seeded(8))
    parameters = [attention.from_state.weight, attention.score.weight]

    def loss(context):
        return -torch.log_softmax(context @ classify, -1)[:, 1]

    alpha = attention.weights(features, state)[0]
    exact = torch.autograd.grad((alpha * loss(features[0])).sum(), parameters)
    many = 200_000
    glance = attention.attend(features.expand(many, -1, -1), state.expand(many, -1), generator=seeded())
    nll = loss(glance.context)
    expected = -nll.detach().mean()
    variances = []
    for baseline in (0.0, expected):
        surrogate = score_function_loss(
            nll, glance.log_probability, glance.entropy, baseline=baseline, reward_weight=1.0, entropy_weight=0.0
        )
        estimate = torch.autograd.grad(surrogate, parameters, retain_graph=True)
        for got, want in zip(estimate, exact, strict=True):
            assert (got - want).abs().max() < 0.03 * want.abs().max()  # stated tolerance: 3 % of the largest entry
        variances.append(((-nll.detach() - baseline) ** 2).mean())
    assert variances[1] < variances[0]  # what the baseline is for


def test_hand_worked_score_function_loss():
    # reward -2 against baseline -3 is an advantage of 1: 2 - 0.5 * 1 * (-4) - 0.1 * 7 = 3.3
    got = score_function_loss(
        torch.tensor([2.0]),
        torch.tensor([-4.0]),
        torch.tensor([7.0]),
        baseline=-3.0,
        reward_weight=0.5,
        entropy_weight=0.1,
    )
    assert got.item() == pytest.approx(3.3)
    nll = torch.tensor([2.0], requires_grad=True)
    score_function_loss(nll, torch.tensor([-4.0]), torch.tensor([7.0]), reward_weight=1.0).backward()
    assert nll.grad.item() == 1.0  # the reward is a constant


def test_the_moving_baseline_follows_the_reward():
    baseline = MovingBaseline(0.5)
    for reward, want in [(4.0, 2.0), (4.0, 3.0), (0.0, 1.5)]:
        baseline.update(torch.tensor([reward - 1, reward + 1]))
        assert baseline.value.item() == want
    with pytest.raises(ValueError, match=r"^MovingBaseline: decay must be at least 0 and below 1, got 1\.0\.$"):
        MovingBaseline(1.0)


def test_the_doubly_stochastic_penalty_counts_every_place_once():
    alphas = torch.tensor([[[0.5, 0.5, 0.0], [0.25, 0.0, 0.75]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    # Sums (0.75, 0.5, 0.75) and (1, 1, 0): squares of the rest 1/16 + 1/4 + 1/16 = 0.375 and 1; mean 0.6875.
    assert doubly_stochastic_penalty(alphas).item() == pytest.approx(0.6875)
    mask = torch.tensor([[True, True], [True, False]])  # the second caption has one word: 0 + 1 + 1
    assert doubly_stochastic_penalty(alphas, mask=mask).item() == pytest.approx((0.375 + 2) / 2)
    assert doubly_stochastic_penalty(alphas[1:], target=0.5).item() == pytest.approx(0.75)
    uniform = torch.full((1, 3, 3), 1 / 3)
    assert doubly_stochastic_penalty(uniform).item() == pytest.approx(0.0, abs=1e-12)
