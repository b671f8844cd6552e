import math

import pytest
import torch

from saccade.attention import LearnedPositions, SinusoidalPositions


def test_sinusoids_of_the_paper_by_hand():
    table = SinusoidalPositions().table((6,), 6)
    for pos in range(6):
        for i in range(3):
            angle = pos / 10000 ** (2 * i / 6)
            assert table[pos, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[pos, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_sinusoids_of_the_authors_code_by_hand():
    table = SinusoidalPositions(style="tensor2tensor").table((6,), 6)
    for pos in range(6):
        for i in range(3):
            angle = pos / 10000 ** (i / 2)  # d / 2 - 1 = 2
            assert table[pos, i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[pos, 3 + i].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_every_axis_of_a_volume_has_its_own_channels():
    positions = SinusoidalPositions()
    table = positions.table((3, 5, 7), 13)
    assert table.shape == (3, 5, 7, 13)
    for axis, n in enumerate((3, 5, 7)):
        alone = positions.table((n,), 4).reshape([n if a == axis else 1 for a in range(3)] + [4])
        torch.testing.assert_close(table[..., 4 * axis : 4 * axis + 4], alone.expand(3, 5, 7, 4))
    assert (table[..., 12] == 0).all()
    assert len(table.flatten(0, 2).unique(dim=0)) == 3 * 5 * 7


def test_a_shift_is_the_same_rotation_everywhere():
    # The paper's reason for sinusoids: PE(pos + k) is a linear function of PE(pos).
    table = SinusoidalPositions().table((50,), 8)
    shift = torch.linalg.lstsq(table[:40], table[7:47]).solution
    torch.testing.assert_close(table[:43] @ shift, table[7:], rtol=0, atol=1e-3)


def test_too_few_channels_are_named():
    message = (
        r"^SinusoidalPositions: tokens must have at least 2 channels for each axis \(4\), got the shape "
        r"\(1, 2, 3, 3\)\.$"
    )
    with pytest.raises(ValueError, match=message):
        SinusoidalPositions()(torch.zeros(1, 2, 3, 3))


def test_a_smaller_grid_takes_the_first_of_the_learned_positions():
    positions = LearnedPositions(5, (4, 6))
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(positions(x) - x, positions.table[:3, :5].expand(2, 3, 5, 5))


def test_learned_positions_can_be_interpolated():
    positions = LearnedPositions(2, (4,), interpolate=True)
    positions.table.data = torch.tensor([[0.0, 8.0], [1.0, 6.0], [2.0, 4.0], [3.0, 2.0]])
    # Half the grid: every new position lies in the middle of two old ones.
    want = torch.tensor([[0.5, 7.0], [2.5, 3.0]])
    torch.testing.assert_close(positions(torch.zeros(1, 2, 2))[0], want)
    torch.testing.assert_close(positions(torch.zeros(1, 4, 2))[0], positions.table.data)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 5, 4, 5),
            r"the grid must be at most \(4, 6\), got \(5, 4\)\. Build it larger, or with interpolate=True\.$",
        ),
        ((1, 4, 4, 6), r"tokens must have 2 axes of positions, then 5 channels, got the shape \(1, 4, 4, 6\)\.$"),
        ((1, 4, 5), r"tokens must have 2 axes of positions, then 5 channels, got the shape \(1, 4, 5\)\.$"),
    ],
)
def test_tokens_that_do_not_fit_are_named(shape, message):
    with pytest.raises(ValueError, match=r"^LearnedPositions: " + message):
        LearnedPositions(5, (4, 6))(torch.zeros(*shape))
