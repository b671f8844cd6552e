"""Maps brought back to the scan's voxels piece by piece: a whole volume's interpolation without its memory."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Place = tuple[slice, ...]
CHUNK_BYTES = 8 * 2**20  # planes are interpolated together until their result has this size


class BlockRestorer:
    """Trilinear interpolation of a volume that arrives in blocks.

    The result is that of ``torch.nn.functional.interpolate(mode="trilinear", align_corners=False)``, bit for bit where
    the processor multiplies and adds in one step, because the axes are taken in the same order with the same roundings.
    Between blocks, only the last plane of each is kept.

    Args:
        shape: Voxels of the volume that arrives.
        wanted: Voxels of the result.

    Example:
        >>> restorer = BlockRestorer((1, 1, 2), (1, 1, 4))
        >>> halves = [(slice(n, n + 1), torch.tensor([[[[8.0 * n]]]])) for n in (0, 1)]
        >>> one = slice(0, 1)
        >>> [(place[2], out.tolist()) for part, x in halves for place, out in restorer.push((one, one, part), x)]
        [(slice(0, 4, None), [[[[0.0, 2.0, 6.0, 8.0]]]])]
    """

    def __init__(self, shape: Sequence[int], wanted: Sequence[int]) -> None:
        sizes = list(zip(shape, wanted, strict=True))
        # last axis first, as torch nests them
        self._stages = [_Stage(axis, *sizes[axis]) for axis in (2, 1, 0) if sizes[axis][0] != sizes[axis][1]]
        self._growth = 1.0
        for size, target in sizes:
            self._growth *= target / size
        self._planes = 0

    def push(self, place: Place, values: Float[Tensor, "c a b d"]) -> Iterator[tuple[Place, Tensor]]:
        """What a further block allows to finish.

        Args:
            place: Its voxels. Blocks lie on a grid, and along each axis (the others fixed) they come in order.
            values: Its values; not changed.

        Yields:
            (voxels of the result, their values): every voxel of the result once, some planes at a time.
        """
        if not self._planes:
            plane = values[:, 0].numel() * values.element_size() * self._growth
            # the same for all blocks: a neighbour's carried plane must fit
            self._planes = max(1, int(CHUNK_BYTES / max(plane, 1)))
        for first in range(0, values.shape[1], self._planes):
            chunk = values[:, first : first + self._planes]
            begin = place[0].start + first
            found = self._through((slice(begin, begin + chunk.shape[1]), *place[1:]), chunk)
            if found is not None:
                yield found

    def _through(self, place: Place, values: Tensor) -> tuple[Place, Tensor] | None:
        for stage in self._stages:
            found = stage(place, values)
            if found is None:
                return None
            place, values = found
        return place, values


class _Stage:
    """Linear interpolation along one axis."""

    def __init__(self, axis: int, size: int, wanted: int) -> None:
        self.axis, self.size, self.wanted = axis, size, wanted
        # torch computes positions in float32 with one rounding: scale * (n + 1/2) - 1/2 is exact in float64
        scale = (torch.tensor(float(size)) / torch.tensor(float(wanted))).double()
        position = (scale * (torch.arange(wanted) + 0.5).double() - 0.5).float().clamp_min(0)
        self.lower = position.floor().long().clamp_max(size - 1)
        self.upper = (self.lower + 1).clamp_max(size - 1)
        self.share = (position - self.lower).clamp(0, 1)
        self.carried: dict[tuple[tuple[int, int], ...], Tensor] = {}

    def __call__(self, place: Place, values: Tensor) -> tuple[Place, Tensor] | None:
        axis, here = self.axis + 1, place[self.axis]
        others = tuple((part.start, part.stop) for a, part in enumerate(place) if a != self.axis)
        before = self.carried.pop(others, None)
        if here.stop < self.size:
            self.carried[others] = values.narrow(axis, values.shape[axis] - 1, 1).clone()
        # A voxel can be computed when the upper one of its two neighbours has come.
        first, stop = (int(torch.searchsorted(self.upper, edge)) for edge in (here.start, here.stop))
        if first == stop:
            return None
        offset = here.start
        if before is not None:
            values = torch.cat([before, values], axis)
            offset -= 1
        column = [-1 if a == axis else 1 for a in range(values.ndim)]
        share = self.share[first:stop].reshape(column)
        low = values.index_select(axis, self.lower[first:stop] - offset)
        high = values.index_select(axis, self.upper[first:stop] - offset)
        target = list(place)
        target[self.axis] = slice(first, stop)
        return tuple(target), high.mul_(share).addcmul_(low, 1 - share)
