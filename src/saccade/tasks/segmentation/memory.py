"""How much memory a prediction will need: counted before it begins, from sizes alone."""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from saccade.data.prepare import Grid
from saccade.data.restore import CHUNK_BYTES
from saccade.tasks.environment import peak_memory_bytes
from saccade.tasks.segmentation.tiling import Tiling

FLOAT = 4
CHUNKS = 6  # pieces of a volume in work: neighbours, products, probabilities, indices
KEPT = (
    400_000_000  # freed blocks that the allocator keeps for itself, and libraries' caches: 120 to 370 MB were measured
)
WORKSPACE = 1.25  # what convolutions take beside their tensors: 17 to 23 % were measured with oneDNN


@dataclass(frozen=True)
class Need:
    """Bytes by what they are for; ``held`` is what the process has before it begins, the scan as it was read with it.

    Attributes:
        held: Interpreter, libraries, weights, the scan.
        kept: What allocator and libraries do not give back while others need it.
        preparing: While the scan is turned and resampled; gone before the windows begin.
        image: The prepared scan.
        sums: Scores of the pieces that are not finished.
        results: Labels and the maps that were asked for.
        network: One batch of windows on its way through the network, on the processor.
        pieces: Finished pieces on their way to the scan's grid.
    """

    held: int
    kept: int
    preparing: int
    image: int
    sums: int
    results: int
    network: int
    pieces: int

    @property
    def peak(self) -> int:
        """The most at a time."""
        return (
            self.held
            + self.kept
            + max(self.preparing, self.image + self.sums + self.results + self.network + self.pieces)
        )


def prediction_need(
    grid: Grid,
    tiling: Tiling,
    shape: Sequence[int],
    *,
    channels: Sequence[int],
    results_bytes_per_voxel: int,
    network: int,
    sums: torch.dtype,
) -> Need:
    """The memory that a scan's prediction needs.

    Args:
        grid: The scan.
        tiling: Its windows.
        shape: Its voxels after preparation.
        channels: Channels of each output of the network.
        results_bytes_per_voxel: Of labels and maps together.
        network: Bytes of one batch of windows, from `window_bytes`.
        sums: Numbers in which open pieces are summed.
    """
    scan, wanted = grid.source, grid.canonical_shape
    raw, prepared = (FLOAT * scan.channels * int(np.prod(size)) for size in (scan.shape, shape))
    padded = FLOAT * scan.channels * int(np.prod(tiling.shape))
    resized = [axis for axis in range(3) if shape[axis] != wanted[axis]]
    planes = sum(int(np.prod([n for axis, n in enumerate(wanted) if axis != gone])) for gone in resized)
    carried = FLOAT * sum(channels) * planes
    largest = int(FLOAT * sum(channels) * tiling.largest_piece() * np.prod(wanted) / np.prod(shape))
    return Need(
        held=held_bytes(),
        kept=KEPT,
        preparing=scan.array.nbytes + raw + 2 * prepared,
        image=prepared + (padded if padded > prepared else 0),
        sums=tiling.open_voxels() * (sums.itemsize * sum(channels) + FLOAT),
        results=results_bytes_per_voxel * int(np.prod(scan.shape)),
        network=network,
        pieces=CHUNKS * min(CHUNK_BYTES, largest) + carried,
    )


def window_bytes(
    function: Callable[[Tensor], Sequence[Tensor]], window: Sequence[int], device: torch.device
) -> tuple[int, list[int]]:
    """What one window needs on its way through a function, and how many channels each output has.

    The function runs on tensors that have a size and no values, so nothing is computed and no memory used; one that
    must see values (for example because it asks for ``.item()``) gets a window of zeros.

    Args:
        function: Maps (1, c, *space) to outputs (1, k, *space).
        window: (c, *space).
        device: Where the network computes; on another device than the processor only what comes back counts.

    Returns:
        Bytes of the processor's memory, and channels.
    """
    with torch.inference_mode():
        try:
            with _Live(sizes_only=True) as live:
                outputs = function(torch.zeros(1, *window))
        except Exception:  # whatever a network of the user's own raises; its errors in earnest come up again below
            with _Live(sizes_only=False) as live:
                outputs = function(torch.zeros(1, *window))
    back = sum(output.nbytes for output in outputs)
    # from a device come the scores, and they stand three times while mirror images are added up
    return int(WORKSPACE * live.peak) if device.type == "cpu" else 3 * back, [output.shape[1] for output in outputs]


def held_bytes() -> int:
    """Memory that this process holds now; where the system does not tell, the most it has ever held."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return peak_memory_bytes()


def readable_bytes(count: int) -> str:
    """A number of bytes for people: ``1.30 GB`` or ``75 MB``."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive."""

    def __init__(self, *, sizes_only: bool) -> None:
        super().__init__()
        self.sizes_only = sizes_only
        self.now = self.peak = 0
        self._seen: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would import its compiler first, for two seconds and 80 MB

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.sizes_only:
            args, kwargs = _without_values((args, kwargs))
        if self.sizes_only and "batch_norm" in str(func):
            # its sizes alone: torch computes them in Python, and imports its compiler for that
            result: Any = torch.empty_like(args[0])
            more = len(func._schema.returns) - 1
            result = (result, *(result.new_empty(0) for _ in range(more))) if more else result
        else:
            result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        self.peak = max(self.peak, self.now)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._seen:
            self._seen.add(key)
            self.now += size
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def _without_values(arguments: Any) -> Any:
    """Arguments whose tensors have sizes on torch's meta device alone, and that device in place of any other.

    Autocast passes tensors without values over and casts their weights alone: all take the shorter type then.
    """
    tensors = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    shortest = min((tensor.dtype for tensor in tensors), key=lambda dtype: dtype.itemsize, default=None)

    def strip(value: Any) -> Any:
        if isinstance(value, Tensor):
            dtype = shortest if value.is_floating_point() else value.dtype
            same = value.is_meta and value.dtype == dtype
            return value if same else torch.empty_like(value, device="meta", dtype=dtype)
        return torch.device("meta") if isinstance(value, torch.device) else value

    return tree_map(strip, arguments)
