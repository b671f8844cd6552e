import pytest
import torch
from torch import nn

from saccade.attention import AttentionGate, Tap, record


class Rows(nn.Module):
    """Pairwise attention over the positions of an image, in its smallest form."""

    def __init__(self):
        super().__init__()
        self.map = Tap("pairwise")

    def forward(self, x):
        n = x.shape[2] * x.shape[3]
        weights = torch.arange(float(n * n)).reshape(1, 1, n, n)
        return self.map(weights, grid=x.shape[2:])


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(ValueError, match=r"^Tap: unknown kind 'spacial'\. Did you mean 'spatial'\? Known: spatial, "):
        Tap("spacial")


def test_a_tap_hands_on_the_very_tensor_and_is_heard_only_while_recorded():
    tap, x = Tap("channel"), torch.randn(2, 3)
    assert tap(x) is x
    assert not tap.heard
    with record(tap) as maps:
        assert tap.heard
        assert tap(x) is x
    assert not tap.heard
    assert maps[""].tensor is x
    assert (maps[""].kind, maps[""].grid) == ("channel", None)


def test_every_call_is_kept_and_the_tensor_is_the_last():
    tap = Tap("spatial")
    first, last = torch.randn(1, 1, 5, 7), torch.randn(1, 1, 3, 2)
    with record(nn.Sequential(tap)) as maps:
        tap(first)
        tap(last)
    assert [call.shape for call in maps["0"].calls] == [first.shape, last.shape]
    assert maps["0"].tensor is last
    assert maps["0"].grid == (3, 2)


def test_nothing_is_recorded_outside_the_block_and_nothing_is_left_behind_when_it_raises():
    tap = Tap("spatial")
    with pytest.raises(ZeroDivisionError), record(tap):
        raise ZeroDivisionError
    assert not tap.heard
    with record(tap) as maps:
        pass
    tap(torch.zeros(1, 1, 2))
    assert not maps


def test_two_recordings_at_once_both_hear():
    tap = Tap("channel")
    with record(tap) as outer:
        with record(tap) as inner:
            tap(torch.zeros(1, 2))
        tap(torch.ones(1, 2))
    assert (len(outer[""].calls), len(inner[""].calls)) == (2, 1)


def test_gradients_flow_through_the_recorded_map():
    gate = AttentionGate(3, 2, spatial_dims=1)
    with record(gate) as maps:
        y = gate(torch.randn(2, 3, 10), torch.randn(2, 2, 5))
    (gradient,) = torch.autograd.grad(y.square().sum(), maps["map"].tensor)
    assert gradient.abs().max() > 0


def test_queries_keep_only_the_rows_of_these_positions():
    rows, x = Rows(), torch.zeros(1, 1, 2, 3)
    with record(rows, queries=[(1, 2), (0, 1)]) as maps:
        rows(x)
    # Position (1, 2) of a 2 x 3 grid is row 1 * 3 + 2 = 5, (0, 1) is row 1; row r of 6 starts at 6 r.
    assert maps["map"].tensor[0, 0, :, 0].tolist() == [30.0, 6.0]
    assert maps["map"].grid == (2, 3)


def test_queries_leave_other_kinds_alone():
    tap, x = Tap("spatial"), torch.randn(1, 1, 5)
    with record(tap, queries=[(0,)]) as maps:
        tap(x)
    assert maps[""].tensor is x


@pytest.mark.parametrize("query", [(2, 0), (0, -1), (1,)])
def test_a_query_outside_the_grid_is_named(query):
    rows = Rows()
    with (
        pytest.raises(ValueError, match=r"record: a query must lie inside the grid \(2, 3\) of 'map', got \(.*\)\."),
        record(rows, queries=[query]),
    ):
        rows(torch.zeros(1, 1, 2, 3))


def test_a_map_without_a_grid_cannot_be_queried():
    tap = Tap("pairwise")
    with (
        pytest.raises(
            ValueError, match=r"record: queries need a map that tells its grid, '' does not\. Record without"
        ),
        record(tap, queries=[(0,)]),
    ):
        tap(torch.zeros(1, 1, 2, 2))


class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = Tap("spatial")
        self.eager_calls = 0

    def forward(self, x):
        if not torch.compiler.is_compiling():
            self.eager_calls += 1
        return x * self.map(torch.sigmoid(x))


@pytest.mark.parametrize("in_place", [False, True], ids=["torch.compile", "module.compile"])
def test_recording_a_compiled_network_runs_the_module_that_was_compiled(in_place, monkeypatch):
    # The run-time shape checks that the tests install cannot be traced.
    monkeypatch.setattr(Tap, "forward", lambda self, attention, grid=None: attention)
    network, x = Doubled(), torch.randn(2, 3, 11)
    if in_place:
        network.compile(backend="eager")
        compiled = network
    else:
        compiled = torch.compile(network, backend="eager")
    before = compiled(x)
    assert network.eager_calls == 0
    with record(compiled) as maps:
        during = compiled(x)
    assert network.eager_calls == 1
    after = compiled(x)
    assert network.eager_calls == 1
    assert list(maps) == ["map"]
    assert len(maps["map"].calls) == 1
    torch.testing.assert_close(maps["map"].tensor, torch.sigmoid(x))
    torch.testing.assert_close(during, before)
    torch.testing.assert_close(after, before)


def test_a_tap_tells_which_rows_all_who_listen_ask_for():
    tap = Tap("pairwise")
    with record(tap, queries=[(1, 2), (0, 1)]):
        # Position (1, 2) of a 2 x 3 grid is row 1 * 3 + 2 = 5, (0, 1) is row 1.
        assert tap.rows((2, 3)) == [1, 5]
        with record(tap, queries=[(0, 0), (0, 1)]):
            assert tap.rows((2, 3)) == [0, 1, 5]
        with record(tap):
            assert tap.rows((2, 3)) is None
        handle = tap.register_forward_hook(lambda *_: None)  # a hook of one's own sees whole maps
        assert tap.rows((2, 3)) is None
        handle.remove()
    assert tap.rows((2, 3)) is None


def test_listeners_find_their_own_rows_among_those_that_were_built():
    tap, weights = Tap("pairwise"), torch.arange(36.0).reshape(1, 1, 6, 6)
    with record(tap, queries=[(1, 2), (0, 1)]) as one, record(tap, queries=[(0, 1), (0, 0)]) as other:
        rows = tap.rows((2, 3))
        tap(weights[:, :, rows], grid=(2, 3), key_grid=(6,), rows=rows)
    assert one[""].tensor[0, 0, :, 0].tolist() == [30.0, 6.0]
    assert other[""].tensor[0, 0, :, 0].tolist() == [6.0, 0.0]
    assert (one[""].grid, one[""].key_grid) == ((2, 3), (6,))


def test_a_query_outside_the_grid_is_named_before_anything_is_built():
    tap = Tap("pairwise")
    message = r"^record: a query must lie inside the grid \(2, 3\) of '', got \(2, 0\)\.$"
    with pytest.raises(ValueError, match=message), record(tap, queries=[(2, 0)]):
        tap.rows((2, 3))
