"""Arrows from queries to their strongest keys, and matrices of weights between tokens."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

import saccade
from saccade.attention import AdditiveAttention, AttentionMap, MultiHeadAttention, NonLocal
from saccade.errors import InputError
from saccade.explain import Picture, draw
from saccade.explain.draw_pairs import strongest_keys

GRID = (5, 7)


def arrows(axes) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Start and end of every arrow in a panel."""
    found = [note for note in axes.texts if hasattr(note, "arrow_patch") and note.arrow_patch is not None]
    return [(tuple(map(float, note.xyann)), tuple(map(float, note.xy))) for note in found]


def dots(axes) -> list[tuple[float, float]]:
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines]


def pairs(rows: np.ndarray, grid=GRID, key_grid=GRID) -> AttentionMap:
    """A map of one item and one head."""
    return AttentionMap("pairwise", [torch.tensor(rows)[None, None]], grid, key_grid)


def test_the_strongest_keys_are_the_largest_in_absolute_value() -> None:
    assert strongest_keys(np.array([0.1, -0.5, 0.0, 0.3, np.nan]), 3).tolist() == [1, 3, 0]
    assert len(strongest_keys(np.arange(50.0))) == 20


def test_arrows_go_from_the_query_to_its_strongest_keys() -> None:
    """Of query (1, 2) the keys (4, 6) and (0, 3) count: on a 10 x 21 image pixels are 2 high and 3 wide."""
    weights = np.zeros((35, 35))
    weights[1 * 7 + 2, 4 * 7 + 6] = 0.6
    weights[1 * 7 + 2, 0 * 7 + 3] = 0.4
    weights[2 * 7 + 1] = 1  # a row that nobody asked for
    figure = draw(pairs(weights), np.zeros((10, 21)), queries=[(1, 2)])
    (axes,) = figure.axes
    assert arrows(axes) == [((7.5, 3), (19.5, 9)), ((7.5, 3), (10.5, 1))]
    assert dots(axes) == [(7.5, 3)]
    widths = [note.arrow_patch.get_linewidth() for note in axes.texts]
    assert widths[0] > widths[1]


def test_there_are_twenty_arrows_and_a_ring_where_the_query_is_its_own_key() -> None:
    weights = np.random.default_rng(1).random((35, 35))
    weights[17, 17] = 2
    figure = draw(pairs(weights), np.zeros(GRID), queries=[(2, 3)])
    ends = {end for _, end in arrows(figure.axes[0])}
    expected = {divmod(int(key), 7) for key in np.argsort(-weights[17])[:20] if key != 17}
    assert ends == {(x + 0.5, y + 0.5) for y, x in expected}
    assert dots(figure.axes[0]) == [(3.5, 2.5)] * 2


def test_each_query_has_a_colour_and_recorded_rows_keep_their_order() -> None:
    rows = np.zeros((2, 35))
    rows[0, 34], rows[1, 0] = 1, -1
    figure = draw(pairs(rows), np.zeros(GRID), queries=[(0, 1), (4, 2)])
    (axes,) = figure.axes
    assert arrows(axes) == [((1.5, 0.5), (6.5, 4.5)), ((2.5, 4.5), (0.5, 0.5))]
    patches = [note.arrow_patch for note in axes.texts]
    assert patches[0].get_edgecolor()[:3] != patches[1].get_edgecolor()[:3]
    assert [patch.get_linestyle() for patch in patches] == ["-", "--"]  # the second weight is negative
    assert axes.lines[0].get_color() == "#4dd0ff"
    assert patches[0].get_edgecolor()[:3] == to_rgba("#4dd0ff")[:3]


def test_keys_may_lie_on_a_coarser_grid() -> None:
    rows = np.zeros((1, 6))
    rows[0, 5] = 1
    figure = draw(pairs(rows, (6, 4), (3, 2)), np.zeros((12, 8)), queries=[(0, 0)])
    assert arrows(figure.axes[0]) == [((1, 1), (6, 10))]


def test_in_a_volume_arrows_are_projected_onto_the_planes_through_the_query() -> None:
    """Query (1, 2, 0) and key (4, 0, 1) of 5 x 3 x 2, voxels of 1 x 2 x 3 mm: 5 x 6 x 6 mm, seen from the front."""
    rows = np.zeros((2, 30))
    rows[0, (4 * 3 + 0) * 2 + 1] = 1
    rows[1, 0] = 1
    volume = np.random.default_rng(2).random((5, 3, 2))
    figure = draw(pairs(rows, (5, 3, 2), (5, 3, 2)), Picture(volume, (1, 2, 3)), queries=[(1, 2, 0), (3, 1, 1)])
    # leftwards the first axis, upwards the second one: (5 - 1.5, 6 - 2.5 * 2) and so on
    assert [arrows(axes) for axes in figure.axes[:3]] == [
        [((3.5, 1.0), (0.5, 5.0))],
        [((3.5, 4.5), (0.5, 1.5))],
        [((1.0, 4.5), (5.0, 1.5))],
    ]
    assert [text.get_text() for text in figure.texts] == ["query (1, 2, 0)", "query (3, 1, 1)"]
    assert len(figure.axes) == 6
    window = np.percentile(volume, [0.5, 99.5])
    grey = np.clip((volume - window[0]) / (window[1] - window[0]), 0, 1)
    np.testing.assert_allclose(figure.axes[3].images[0].get_array()[..., 0], np.flip(grey[:, :, 1]).T)


def test_the_mean_of_the_heads_or_one_of_them() -> None:
    heads = np.zeros((1, 2, 35, 35))
    heads[0, 0, 0, 8], heads[0, 1, 0, 34] = 1, 0.5
    seen = AttentionMap("pairwise", [torch.tensor(heads)], GRID, GRID)
    both = draw(seen, np.zeros(GRID), queries=[(0, 0)])
    assert [end for _, end in arrows(both.axes[0])] == [(1.5, 1.5), (6.5, 4.5)]
    second = draw(seen, np.zeros(GRID), queries=[(0, 0)], index=1)
    assert [end for _, end in arrows(second.axes[0])] == [(6.5, 4.5)]


def test_a_non_local_block_recorded_with_queries_is_drawn() -> None:
    block, x, queries = NonLocal(8, subsample=True).eval(), torch.randn(2, 8, 12, 10), [(3, 4), (11, 9)]
    with saccade.record(block, queries=queries) as maps:
        block(x)
    figure = draw(maps["map"], torch.rand(2, 1, 24, 20), item=1, queries=queries)
    found = arrows(figure.axes[0])
    assert len(found) == 40
    assert [found[0][0], found[20][0]] == [(9.0, 7.0), (19.0, 23.0)]
    row = maps["map"].tensor[1, 0, 0].detach().numpy()
    best = np.unravel_index(row.argmax(), (6, 5))
    assert found[0][1] == (4 * best[1] + 2.0, 4 * best[0] + 2.0)


def test_weights_between_tokens_are_a_matrix_for_each_head() -> None:
    attention = MultiHeadAttention(8, heads=2)
    with saccade.record(attention) as maps:
        attention(torch.randn(1, 3, 8), torch.randn(1, 5, 8))
    figure = draw(maps["map"], labels=list("abc"), key_labels=list("vwxyz"))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["head 0", "head 1"]
    for head, axes in enumerate(figure.axes[:2]):
        weights = maps["map"].tensor[0, head].detach().numpy()
        np.testing.assert_allclose(axes.images[0].get_array(), weights, rtol=1e-6)
        assert [label.get_text() for label in axes.get_xticklabels()] == list("vwxyz")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list("abc")
    top, bottom = figure.axes[0].get_ylim()[::-1]
    assert top < bottom  # the first row is at the top
    (one, _bar) = draw(maps["map"], index=1).axes
    assert one.get_title() == "head 1"


def test_an_alignment_has_a_row_for_every_step_of_every_call() -> None:
    attention = AdditiveAttention(4, 6)
    source = torch.randn(2, 7, 6)
    with saccade.record(attention) as maps:
        for _ in range(3):
            attention(torch.randn(2, 4), source)
    (axes, _bar) = draw(maps["map"], item=1, labels=["le", "chat", "noir"]).axes
    expected = torch.cat([call[1] for call in maps["map"].calls]).detach().numpy()
    np.testing.assert_allclose(axes.images[0].get_array(), expected, rtol=1e-6)
    assert axes.images[0].get_clim() == pytest.approx((0, expected.max()))


def test_long_sequences_name_only_what_can_be_read() -> None:
    seen = AttentionMap("alignment", [torch.rand(1, 4, 100)])
    (axes, _bar) = draw(seen, key_labels=[str(n) for n in range(100)]).axes
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert shown == [str(n) for n in range(0, 100, 3)]
    assert axes.get_xticks().tolist() == list(range(0, 100, 3))


def test_a_matrix_with_negative_weights_has_two_colours() -> None:
    seen = AttentionMap("pairwise", [torch.tensor([[[[0.5, -2.0]]]])])
    assert draw(seen).axes[0].images[0].get_clim() == (-2, 2)


WHOLE = pairs(np.ones((35, 35)))


@pytest.mark.parametrize(
    ("seen", "settings", "says"),
    [
        (WHOLE, {}, "draw: a pairwise map on the grid (5, 7) needs queries, such as queries=[(2, 3)]."),
        (WHOLE, {"queries": [(5, 0)]}, "draw: a query must lie inside the map's grid (5, 7), got (5, 0)."),
        (WHOLE, {"queries": [(0, 0, 0)]}, "draw: a query must lie inside the map's grid (5, 7), got (0, 0, 0)."),
        (WHOLE, {"queries": [(0, 0)], "index": 1}, "draw: index must be in 0..0, one of the heads, got 1."),
        (WHOLE, {"queries": [(0, 0)], "labels": ["a"]},
         "draw: labels are for tokens; this pairwise map lies on the grid (5, 7). Leave them out."),
        (pairs(np.ones((2, 35))), {"queries": [(0, 0)]},
         "draw: queries must be the 2 that were recorded, in their order, got 1."),
        (pairs(np.ones((35, 35)), GRID, (2, 3)), {"queries": [(0, 0)]},
         "draw: a map to keys on the grid (2, 3) must have 6 columns, got 35."),
        (AttentionMap("pairwise", [torch.ones(1, 1, 3, 3)]), {},
         "draw: the pairwise map does not tell where on an image it lies. Call its module with grid=."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(seen, settings, says) -> None:
    with pytest.raises(InputError) as caught:
        draw(seen, np.zeros(GRID), **settings)
    assert str(caught.value) == says


def test_an_image_is_missed_and_queries_of_tokens_are_refused() -> None:
    with pytest.raises(InputError, match=r"^draw: a pairwise map is drawn over its image, got none. Give image=.$"):
        draw(WHOLE, queries=[(0, 0)])
    with pytest.raises(InputError, match=r"^draw: queries are for maps over an image; this one lies on tokens. Leave"):
        draw(AttentionMap("pairwise", [torch.ones(1, 1, 3, 3)]), queries=[(0,)])
