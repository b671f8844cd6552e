"""Where windows lie in a volume, in which order they are looked at, and which voxels each of them finishes."""

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Index = tuple[int, ...]  # number of a window, or of a piece, along each axis
Place = tuple[slice, ...]
FINEST = 8  # a piece has at least an eighth of a window's width: finer ones cost more time than they save memory


def window_starts(shape: Sequence[int], patch: Sequence[int], overlap: float) -> list[tuple[int, ...]]:
    """First voxels of evenly spread windows that cover a volume; neighbours share at least ``overlap`` of a patch."""
    axes = (axis_starts(size, width, overlap) for size, width in zip(shape, patch, strict=True))
    return list(itertools.product(*axes))


def axis_starts(size: int, width: int, overlap: float) -> list[int]:
    """First voxels of the windows along one axis."""
    step = max(1, int(width * (1 - overlap)))
    count = max(1, -(-(size - width) // step) + 1)
    room = max(0, size - width)
    return [round(room * n / max(1, count - 1)) for n in range(count)]


@dataclass(frozen=True)
class Piece:
    """Voxels ``start`` to ``stop`` of one axis; window number ``last`` is the last one that touches them."""

    start: int
    stop: int
    last: int


def axis_pieces(starts: Sequence[int], size: int, width: int) -> list[Piece]:
    """One axis cut where windows begin, so that a window finishes all up to where the next one begins."""
    edges = [0]
    for start in starts[1:]:
        if start - edges[-1] >= max(1, width // FINEST):
            edges.append(start)
    if len(edges) > 1:
        # All behind the last window's first voxel is finished by that window, but begun by earlier ones: cut it too.
        begin, usual = edges[-1], edges[-1] - edges[-2]
        count = max(1, round((size - begin) / usual))
        edges += [begin + (size - begin) * n // count for n in range(1, count)]
    return [Piece(a, b, bisect_left(starts, b) - 1) for a, b in itertools.pairwise([*edges, size])]


class Tiling:
    """Windows over a volume, and the pieces in which it is finished.

    The axis with the most windows comes first: all windows at its first position, then all at its second, and so on.
    The other axes follow in the same way. Behind every window, the pieces that no later one touches are finished; along
    any axis they are finished in order. What is open at a time is then about one window's step along the first axis.

    Args:
        shape: Voxels of the volume; a side shorter than the patch counts as long as the patch.
        patch: Voxels of a window.
        overlap: Part of the patch shared by neighbours, 0 up to 1.

    Example:
        >>> tiling = Tiling((4, 12), (4, 4), 0.5)
        >>> [tiling.place(window)[1].start for window in tiling.windows()]
        [0, 2, 4, 6, 8]
        >>> [[tiling.box(piece)[1] for piece in tiling.finished(window)] for window in tiling.windows()][3:]
        [[slice(6, 8, None)], [slice(8, 10, None), slice(10, 12, None)]]
        >>> tiling.open_voxels()
        16
    """

    def __init__(self, shape: Sequence[int], patch: Sequence[int], overlap: float) -> None:
        self.patch = tuple(patch)
        self.shape = tuple(max(size, width) for size, width in zip(shape, patch, strict=True))
        sizes = list(zip(self.shape, self.patch, strict=True))
        self.starts = [axis_starts(size, width, overlap) for size, width in sizes]
        self.pieces = [
            axis_pieces(starts, size, width) for starts, (size, width) in zip(self.starts, sizes, strict=True)
        ]
        self.order = sorted(range(len(sizes)), key=lambda axis: -len(self.starts[axis]))
        self._touched = [
            [
                [n for n, piece in enumerate(pieces) if piece.start < start + width and start < piece.stop]
                for start in starts
            ]
            for starts, pieces, width in zip(self.starts, self.pieces, self.patch, strict=True)
        ]
        self._finished = [
            [[n for n, piece in enumerate(pieces) if piece.last == number] for number in range(len(starts))]
            for starts, pieces in zip(self.starts, self.pieces, strict=True)
        ]

    def windows(self) -> list[Index]:
        """The windows in the order in which they are to be looked at."""
        back = [self.order.index(axis) for axis in range(len(self.order))]
        ordered = itertools.product(*(range(len(self.starts[axis])) for axis in self.order))
        return [tuple(index[position] for position in back) for index in ordered]

    def place(self, window: Index) -> Place:
        """The voxels of a window."""
        starts = (axis[number] for axis, number in zip(self.starts, window, strict=True))
        return tuple(slice(start, start + width) for start, width in zip(starts, self.patch, strict=True))

    def box(self, piece: Index) -> Place:
        """The voxels of a piece."""
        along = (axis[number] for axis, number in zip(self.pieces, piece, strict=True))
        return tuple(slice(part.start, part.stop) for part in along)

    def touched(self, window: Index) -> Iterator[tuple[Index, Place, Place]]:
        """The pieces that a window touches, each with the common voxels counted in the piece and in the window."""
        place = self.place(window)
        for piece in itertools.product(*(axis[n] for axis, n in zip(self._touched, window, strict=True))):
            box = self.box(piece)
            common = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(place, box, strict=True)]
            in_piece, in_window = (
                tuple(slice(low - a.start, high - a.start) for (low, high), a in zip(common, within, strict=True))
                for within in (box, place)
            )
            yield piece, in_piece, in_window

    def finished(self, window: Index) -> list[Index]:
        """The pieces that no window behind this one touches, and that this one or those it passed did."""
        return list(itertools.product(*(axis[n] for axis, n in zip(self._finished, window, strict=True))))

    def open_voxels(self) -> int:
        """The most voxels that are begun and not finished at a time."""
        seen: set[Index] = set()
        now = most = 0
        for window in self.windows():
            for piece in itertools.product(*(axis[n] for axis, n in zip(self._touched, window, strict=True))):
                if piece not in seen:
                    seen.add(piece)
                    now += self._voxels(piece)
            most = max(most, now)
            now -= sum(self._voxels(piece) for piece in self.finished(window))
        return most

    def largest_piece(self) -> int:
        """Voxels of the largest piece."""
        return math.prod(max(piece.stop - piece.start for piece in axis) for axis in self.pieces)

    def _voxels(self, piece: Index) -> int:
        return math.prod(part.stop - part.start for part in self.box(piece))
