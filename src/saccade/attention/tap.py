"""The place where an attention map can be seen while it is used."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from saccade.errors import InputError, unknown_name

KINDS = ("spatial", "channel", "pairwise", "alignment", "glimpse", "transform")


class Tap(nn.Module):
    """Identity that every attention map passes through on its way to being applied.

    What `record` hands out is therefore the very tensor that the network used, and gradients flow through it.

    Args:
        kind: How the map is to be read: ``spatial`` (b, maps, *space), ``channel`` (b, c), ``pairwise``
            (b, heads, queries, keys), ``alignment`` (b, steps, positions), ``glimpse`` or ``transform``.

    Raises:
        InputError: For a kind that is not known.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind not in KINDS:
            raise unknown_name("Tap", "kind", kind, list(KINDS))
        self.kind = kind

    @property
    def heard(self) -> bool:
        """Whether anybody listens; a module with a fused path takes the explicit one only then."""
        return bool(self._forward_hooks)

    def forward(self, attention: Tensor, grid: Sequence[int] | None = None) -> Tensor:
        """Give the map back as it is; ``grid`` tells listeners where it lies when its shape does not (pairwise)."""
        return attention


@dataclass
class AttentionMap:
    """What one `Tap` saw while `record` listened.

    ``calls`` holds the map of every call in order, ``kind`` says how to read it, ``grid`` is the spatial size on which
    the last one lies (None for channels).
    """

    kind: str
    calls: list[Tensor] = field(default_factory=list)
    grid: tuple[int, ...] | None = None

    @property
    def tensor(self) -> Tensor:
        """The map of the last call."""
        return self.calls[-1]


@contextmanager
def record(network: nn.Module, queries: Sequence[Sequence[int]] | None = None) -> Iterator[Mapping[str, AttentionMap]]:
    """Collect the attention maps of every forward pass inside the ``with`` block, by the module's name.

    The network is as it was afterwards, also when the block raises. Inside the block a compiled network runs the
    module that was compiled, because compiled code has no place to listen at.

    Args:
        network: Any module; names are those of ``network.named_modules()``, without the compiler's own prefix.
        queries: Positions (index tuples on the map's grid) whose rows of pairwise maps are kept; None for whole maps.

    Raises:
        InputError: Inside the block, if a query lies outside a map's grid or the map does not tell its grid.

    >>> import torch
    >>> from saccade.attention import AttentionGate
    >>> gate = AttentionGate(8, 16, spatial_dims=2)
    >>> with record(gate) as maps:
    ...     y = gate(torch.randn(1, 8, 10, 6), torch.randn(1, 16, 5, 3))
    >>> maps["map"].tensor.shape, maps["map"].kind, maps["map"].grid
    (torch.Size([1, 1, 10, 6]), 'spatial', (10, 6))
    """
    maps: dict[str, AttentionMap] = {}
    with ExitStack() as stack:
        if any(_is_compiled(module) for module in network.modules()):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        for name, module in getattr(network, "_orig_mod", network).named_modules():
            if isinstance(module, Tap):
                handle = module.register_forward_hook(
                    _listener(maps, name.replace("_orig_mod.", ""), queries), with_kwargs=True
                )
                stack.callback(handle.remove)
        yield maps


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def _listener(maps: dict[str, AttentionMap], name: str, queries: Sequence[Sequence[int]] | None) -> Any:
    def listen(tap: Tap, args: tuple[Any, ...], kwargs: dict[str, Any], attention: Tensor) -> None:
        grid = kwargs.get("grid", args[1] if len(args) > 1 else None)
        if grid is None and tap.kind == "spatial":
            grid = attention.shape[2:]
        seen = maps.setdefault(name, AttentionMap(tap.kind))
        seen.grid = None if grid is None else tuple(grid)
        if queries is not None and tap.kind == "pairwise":
            attention = attention[..., [_row(name, seen.grid, query) for query in queries], :]
        seen.calls.append(attention)

    return listen


def _row(name: str, grid: tuple[int, ...] | None, query: Sequence[int]) -> int:
    if grid is None:
        raise InputError(f"record: queries need a map that tells its grid, '{name}' does not. Record without queries.")
    if len(query) != len(grid) or any(not 0 <= q < n for q, n in zip(query, grid, strict=False)):
        raise InputError(f"record: a query must lie inside the grid {grid} of '{name}', got {tuple(query)}.")
    row = 0
    for q, n in zip(query, grid, strict=True):
        row = row * n + q
    return row
