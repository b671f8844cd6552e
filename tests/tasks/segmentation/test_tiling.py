"""Windows cover a volume, pieces divide it, and what is finished is never touched again."""

import itertools
import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.tasks.segmentation.tiling import Piece, Tiling, axis_pieces, window_starts

SIZES = st.tuples(*[st.integers(1, 13)] * 3)
PATCHES = st.tuples(*[st.integers(1, 7)] * 3)
OVERLAPS = st.sampled_from([0.0, 0.25, 0.5, 0.6, 0.75])


def test_windows_of_one_axis_by_hand() -> None:
    # 11 voxels in windows of 4 that share a half: steps of at most 2 over 7 voxels of room: 5 windows, 7/4 apart
    assert [start[0] for start in window_starts([11], [4], 0.5)] == [0, 2, 4, 5, 7]
    assert window_starts([3, 5], [4, 5], 0.5) == [(0, 0)]
    assert window_starts([8], [4], 0.0) == [(0,), (4,)]


@settings(max_examples=60, deadline=None)
@given(SIZES, PATCHES, OVERLAPS)
def test_windows_lie_inside_cover_all_and_overlap_enough(size, patch, overlap) -> None:
    seen = torch.zeros(size)
    starts = window_starts(size, patch, overlap)
    for start in starts:
        assert all(s >= 0 and (s + w <= n or w > n) for s, w, n in zip(start, patch, size, strict=True))
        seen[tuple(slice(s, s + w) for s, w in zip(start, patch, strict=True))] += 1
    assert seen.min() >= 1
    for axis, width in enumerate(patch):
        along = sorted({start[axis] for start in starts})
        steps = [b - a for a, b in itertools.pairwise(along)]
        assert all(width - step >= min(width - 1, math.ceil(width * overlap)) for step in steps)


def test_pieces_of_one_axis_by_hand() -> None:
    # windows at 0, 4, 8 of 16 voxels: the last one finishes 8 to 16, of which its neighbour has begun 8 to 12
    assert axis_pieces([0, 4, 8], 16, 8) == [Piece(0, 4, 0), Piece(4, 8, 1), Piece(8, 12, 2), Piece(12, 16, 2)]
    assert axis_pieces([0], 5, 5) == [Piece(0, 5, 0)]
    # steps of one voxel in windows of 32: pieces are an eighth of a window
    pieces = axis_pieces(list(range(33)), 64, 32)
    assert [(piece.stop - piece.start) for piece in pieces] == [4] * 16
    assert [piece.last for piece in pieces[:3]] == [3, 7, 11]


@settings(max_examples=60, deadline=None)
@given(SIZES, PATCHES, OVERLAPS)
def test_every_voxel_is_finished_once_in_order_and_never_touched_again(size, patch, overlap) -> None:
    tiling = Tiling(size, patch, overlap)
    assert sorted(tuple(part.start for part in tiling.place(w)) for w in tiling.windows()) == sorted(
        window_starts(tiling.shape, patch, overlap)
    )
    touched, done = torch.zeros(tiling.shape), torch.zeros(tiling.shape)
    furthest: dict[tuple, int] = {}
    begun: set = set()
    open_now = most = 0
    for window in tiling.windows():
        place = tiling.place(window)
        assert done[place].sum() == 0
        touched[place] += 1
        volume = 0
        for piece, in_piece, in_window in tiling.touched(window):
            box = tiling.box(piece)
            from_piece = [(b.start + part.start, b.start + part.stop) for b, part in zip(box, in_piece, strict=True)]
            from_window = [
                (p.start + part.start, p.start + part.stop) for p, part in zip(place, in_window, strict=True)
            ]
            assert from_piece == from_window
            volume += math.prod(stop - start for start, stop in from_piece)
            if piece not in begun:
                begun.add(piece)
                open_now += math.prod(part.stop - part.start for part in box)
        assert volume == math.prod(patch)
        most = max(most, open_now)
        for piece in tiling.finished(window):
            box = tiling.box(piece)
            done[box] += 1
            assert touched[box].min() > 0
            open_now -= math.prod(part.stop - part.start for part in box)
            for axis in range(3):
                line = (axis, *(box[a].start for a in range(3) if a != axis))
                assert box[axis].start == furthest.get(line, 0)
                furthest[line] = box[axis].stop
    assert done.min() == done.max() == 1
    assert tiling.open_voxels() == most


def test_the_axis_with_the_most_windows_goes_slowest_and_little_is_open() -> None:
    tiling = Tiling((96, 192, 384), (48, 48, 48), 0.5)
    assert tiling.order == [2, 1, 0]
    assert [window[2] for window in tiling.windows()] == sorted(window[2] for window in tiling.windows())
    # one step along the longest axis, one more step of one row, and some: far from the volume's 7 077 888
    assert tiling.open_voxels() <= 1.4 * 96 * 192 * 24
    assert Tiling((192, 192, 192), (96, 96, 96), 0.5).open_voxels() == 22 * 48**3
