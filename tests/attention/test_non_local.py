import sys
from pathlib import Path

import pytest
import torch
from fast_ways import fast_ways
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from mechanisms import randomised

from saccade.attention import NonLocal, record
from saccade.attention.non_local import PAIRWISE
from saccade.attention.pairwise import Additive

SPACES = [(11,), (7, 11), (3, 7, 5)]


def built(pairwise, dims=2, channels=6, **options):
    return randomised(NonLocal(channels, pairwise=pairwise, spatial_dims=dims, **options))


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("batch_norm", [True, False], ids=["norm", "no norm"])
def test_a_new_block_gives_back_its_input_and_learns(space, pairwise, batch_norm):
    block, x = NonLocal(6, pairwise=pairwise, spatial_dims=len(space), batch_norm=batch_norm), torch.randn(2, 6, *space)
    assert torch.equal(block(x), x)
    assert torch.equal(block.eval()(x), x)
    block.train()(x).square().sum().backward()
    assert block.transform[-1].weight.grad.abs().max() > 0


def test_hand_worked_values():
    # One channel, theta = x, phi = 2 x, g = x + 1, W = 10, x = (1, 2): theta = (1, 2), phi = (2, 4), g = (2, 3).
    x = torch.tensor([[[1.0, 2.0]]]).double()
    weights = {"theta": (1.0, 0.0), "phi": (2.0, 0.0), "g": (1.0, 1.0), "transform.0": (10.0, 0.0)}
    e = torch.tensor(2.0).double().exp()
    wanted = {
        # f = ((2, 4), (4, 8)), divided by 2 keys: y = ((2*2 + 4*3) / 2, (4*2 + 8*3) / 2) = (8, 16)
        "dot_product": torch.tensor([8.0, 16.0]).double(),
        # w_f = (-3, 1): f = relu(-3 theta_i + phi_j) = ((0, 1), (0, 0)): y = ((0*2 + 1*3) / 2, 0)
        "concatenation": torch.tensor([1.5, 0.0]).double(),
        # softmax of (2, 4) and (4, 8): the weight of the second key is e^2 / (1 + e^2) and e^4 / (1 + e^4)
        "embedded_gaussian": torch.stack([2 + e / (1 + e), 2 + e**2 / (1 + e**2)]),
        # x_i x_j = ((1, 2), (2, 4)): e / (1 + e) and e^2 / (1 + e^2)
        "gaussian": torch.stack([2 + e.sqrt() / (1 + e.sqrt()), 2 + e / (1 + e)]),
    }
    for pairwise, y in wanted.items():
        block = NonLocal(1, pairwise=pairwise, inner_channels=1, batch_norm=False, spatial_dims=1).double()
        state = block.state_dict()
        for name, (weight, bias) in weights.items():
            if f"{name}.weight" in state:
                state[f"{name}.weight"].fill_(weight)
                state[f"{name}.bias"].fill_(bias)
        if pairwise == "concatenation":
            state["pairwise.project.weight"].copy_(torch.tensor([-3.0, 1.0]).reshape(1, 2, 1, 1))
        for fast in (False, True):
            with fast_ways() if fast else torch.enable_grad():
                torch.testing.assert_close(block(x), 10 * y[None, None] + x)


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("subsample", [False, 2], ids=["all keys", "pooled keys"])
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_the_recorded_map_is_the_one_that_is_used_and_the_fast_way_agrees(space, pairwise, subsample):
    block, x = built(pairwise, len(space), subsample=subsample).double(), torch.randn(2, 6, *space).double()
    with record(block) as maps:
        z = block(x)
    seen, (_, phi, g) = maps["map"], block.embed(x)
    assert seen.tensor.shape == (2, 1, x[0, 0].numel(), phi[0, 0].numel())
    assert (seen.kind, seen.grid, seen.key_grid) == ("pairwise", space, tuple(phi.shape[2:]))
    assert torch.equal(seen.tensor, block.weights(x))
    y = torch.einsum("bij,bcj->bci", seen.tensor[:, 0], g.flatten(2)).reshape(2, 3, *space)
    torch.testing.assert_close(z, block.transform(y) + x)
    with fast_ways():
        torch.testing.assert_close(block(x), z, rtol=1e-12, atol=1e-12)
    if "gaussian" in pairwise:
        torch.testing.assert_close(seen.tensor.sum(3), torch.ones(seen.tensor.shape[:3]).double())


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_rows_of_chosen_queries_are_built_alone_and_equal_those_of_the_map(pairwise, monkeypatch):
    block, x = built(pairwise, 2, subsample=2), torch.randn(2, 6, 7, 10)
    with record(block) as whole:
        block(x)
    plain, built_rows = block(x), []
    weights = type(block.pairwise).weights
    monkeypatch.setattr(
        type(block.pairwise),
        "weights",
        lambda self, theta, phi, rows=None: built_rows.append(rows) or weights(self, theta, phi, rows),
    )
    with fast_ways():
        unheard = block(x)
        with record(block, queries=[(6, 9), (0, 3), (6, 9)]) as maps:
            heard = block(x)
    # Position (i, j) is row 10 i + j: rows 69 and 3, each built once; kept in the order of the queries.
    assert built_rows == [[3, 69]]
    assert torch.equal(heard, unheard)
    torch.testing.assert_close(heard, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(maps["map"].tensor, whole["map"].tensor[:, :, [69, 3, 69]])
    assert (maps["map"].grid, maps["map"].key_grid) == ((7, 10), (3, 5))


def test_positions_may_be_reordered():
    x, order = torch.randn(1, 6, 40), torch.randperm(40)
    for pairwise in PAIRWISE:
        block = built(pairwise, 1)
        torch.testing.assert_close(block(x[:, :, order]), block(x)[:, :, order], rtol=1e-4, atol=1e-5)


def test_channels_inside():
    assert NonLocal(7).g.weight.shape == (3, 7, 1, 1)
    assert NonLocal(1).g.weight.shape == (1, 1, 1, 1)
    wide = NonLocal(4, pairwise="concatenation", inner_channels=9)
    assert [wide.theta.out_channels, wide.phi.out_channels, wide.g.out_channels] == [9, 9, 9]
    assert wide.pairwise.project.weight.shape == (1, 18, 1, 1)
    assert not any(name.startswith(("theta", "phi")) for name in NonLocal(4, pairwise="gaussian").state_dict())


@pytest.mark.parametrize(
    ("subsample", "space", "keys"),
    [
        (True, (11,), (5,)),
        (True, (7, 11), (3, 5)),
        (True, (3, 7, 11), (3, 3, 5)),  # the first of three axes is the paper's time
        (2, (5, 7, 11), (2, 3, 5)),
        ((1, 3, 4), (5, 7, 11), (5, 2, 2)),
        (4, (3, 8), (1, 2)),  # an axis shorter than its number
    ],
)
def test_keys_are_pooled(subsample, space, keys):
    block, x = built("dot_product", len(space), subsample=subsample), torch.randn(1, 6, *space)
    theta, phi, g = block.embed(x)
    assert (theta.shape[2:], phi.shape[2:], g.shape[2:]) == (space, keys, keys)
    assert block(x).shape == x.shape
    if space == (7, 11):
        torch.testing.assert_close(phi, F.max_pool2d(block.phi(x), 2))
        torch.testing.assert_close(g, F.max_pool2d(block.g(x), 2))


def test_pool_first_pools_the_input_as_the_authors_code_does():
    block, x = built("embedded_gaussian", subsample=2, pool_first=True), torch.randn(1, 6, 6, 8)
    theta, phi, g = block.embed(x)
    torch.testing.assert_close(theta, block.theta(x))
    torch.testing.assert_close(phi, block.phi(F.max_pool2d(x, 2)))
    torch.testing.assert_close(g, block.g(F.max_pool2d(x, 2)))
    assert not torch.equal(phi, F.max_pool2d(block.phi(x), 2))


@pytest.mark.parametrize(("pairwise", "width"), [("embedded_gaussian", 2), ("gaussian", 6)])
def test_scale_divides_by_the_root_of_the_channels(pairwise, width):
    x = torch.randn(1, 6, 4, 5)
    block = built(pairwise, inner_channels=2, scale=True)
    theta, phi, _ = block.embed(x)
    wanted = (theta.flatten(2).mT @ phi.flatten(2) / width**0.5).softmax(2)
    torch.testing.assert_close(block.weights(x)[:, 0], wanted)


def test_a_form_of_one_s_own_and_numbers_that_are_saved():
    block = randomised(NonLocal(6, pairwise=Additive(3), inner_channels=3)).double()
    x = torch.randn(2, 6, 5, 7).double()
    other = NonLocal(6, pairwise=Additive(3), inner_channels=3).double().eval()
    other.load_state_dict(block.state_dict())
    with fast_ways():
        torch.testing.assert_close(other(x), block(x), rtol=1e-12, atol=1e-12)


def test_batch_norm_follows_or_not():
    assert [type(part).__name__ for part in NonLocal(4, spatial_dims=3).transform] == ["Conv3d", "BatchNorm3d"]
    assert [type(part).__name__ for part in NonLocal(4, batch_norm=False).transform] == ["Conv2d"]


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_an_exported_block_takes_any_size(pairwise):
    block = built(pairwise, 2)
    free = {2: torch.export.Dim("height", min=2), 3: torch.export.Dim("width", min=2)}
    program = torch.export.export(block, (torch.randn(2, 6, 7, 11),), dynamic_shapes=({**free},))
    x = torch.randn(2, 6, 9, 5)
    torch.testing.assert_close(program.module()(x), block(x), rtol=1e-5, atol=1e-5)
