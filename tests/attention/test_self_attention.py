import sys
from pathlib import Path

import pytest
import torch
from fast_ways import fast_ways
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from mechanisms import randomised

from saccade.attention import SelfAttention, record

SPACES = [(11,), (7, 11), (3, 7, 5)]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_new_block_gives_back_its_input_and_learns_gamma_first(space):
    block, x = SelfAttention(16, spatial_dims=len(space)), torch.randn(2, 16, *space)
    y = block(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert block.gamma.grad.abs() > 0
    assert not block.query.weight.grad.any()


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("options", [{}, {"value_channels": 5}, {"subsample": 2}], ids=str)
def test_output_is_the_formula_and_the_map_the_one_that_was_used(space, options):
    block = randomised(SelfAttention(16, spatial_dims=len(space), **options)).double()
    x = torch.randn(2, 16, *space).double()
    with record(block) as maps:
        y = block(x)
    seen, (query, key, value) = maps["map"], block.embed(x)
    beta = torch.einsum("bci,bcj->bij", query.flatten(2), key.flatten(2)).softmax(2)  # eq. 1: no factor
    torch.testing.assert_close(seen.tensor[:, 0], beta)
    assert (seen.kind, seen.grid, seen.key_grid) == ("pairwise", space, tuple(key.shape[2:]))
    assert torch.equal(seen.tensor, block.weights(x))
    o = torch.einsum("bij,bcj->bci", beta, value.flatten(2)).reshape(2, -1, *space)
    torch.testing.assert_close(y, block.gamma * block.transform(o) + x)
    with fast_ways():
        torch.testing.assert_close(block(x), y, rtol=1e-12, atol=1e-12)
        with record(block, queries=[(1,) * len(space)]) as rows:
            torch.testing.assert_close(block(x), y, rtol=1e-12, atol=1e-12)
    number = sum(torch.tensor(space[i + 1 :]).prod().item() for i in range(len(space)))  # row of position (1, 1, ...)
    torch.testing.assert_close(rows["map"].tensor, seen.tensor[:, :, [int(number)]])


def test_widths():
    block = SelfAttention(17)
    assert [part.out_channels for part in (block.query, block.key, block.value)] == [2, 2, 17]
    assert SelfAttention(3).query.out_channels == 1
    block = SelfAttention(16, inner_channels=3, value_channels=5, bias=False)
    assert {name: tuple(p.shape) for name, p in block.named_parameters()} == {
        "gamma": (),
        "query.weight": (3, 16, 1, 1),
        "key.weight": (3, 16, 1, 1),
        "value.weight": (5, 16, 1, 1),
        "transform.weight": (16, 5, 1, 1),
    }


def test_keys_and_values_are_pooled_after_their_convolutions():
    block, x = randomised(SelfAttention(16, subsample=True)), torch.randn(1, 16, 6, 8)
    query, key, value = block.embed(x)
    torch.testing.assert_close(query, block.query(x))
    torch.testing.assert_close(key, F.max_pool2d(block.key(x), 2))
    torch.testing.assert_close(value, F.max_pool2d(block.value(x), 2))


def test_spectral_norm_makes_the_largest_singular_value_one():
    torch.manual_seed(0)  # how fast power iterations converge depends on the weights
    block = SelfAttention(16, value_channels=8, spectral_norm=True)
    for _ in range(30):  # every step in training mode is one more power iteration
        block(torch.randn(1, 16, 3, 3))
    for part in (block.query, block.key, block.value, block.transform):
        assert torch.linalg.matrix_norm(part.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)
    assert torch.linalg.matrix_norm(SelfAttention(16).query.weight.flatten(1), 2).item() != pytest.approx(1, abs=1e-3)
