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

    def rows(self, grid: Sequence[int]) -> list[int] | None:
        """The rows of a pairwise map over this grid of queries that all who listen ask for; None: the whole map.

        A module that can leave out the other rows hands these to `forward`, together with their numbers.

        Raises:
            InputError: If somebody asks for a position outside the grid.
        """
        asked = [hook.rows(grid) if isinstance(hook, _Listener) else None for hook in self._forward_hooks.values()]
        wanted = [rows for rows in asked if rows is not None]
        if len(wanted) < len(asked) or not asked:
            return None
        return sorted({row for rows in wanted for row in rows})

    def forward(
        self,
        attention: Tensor,
        grid: Sequence[int] | None = None,
        key_grid: Sequence[int] | None = None,
        rows: Sequence[int] | None = None,
    ) -> Tensor:
        """Give the map back as it is.

        Args:
            attention: The map.
            grid: Where it lies when its shape does not tell (pairwise: the grid of the queries).
            key_grid: For pairwise maps whose keys lie on another grid than the queries: that grid.
            rows: Numbers of the rows that a pairwise map consists of, as `rows` gave them; None when it is whole.
        """
        return attention


@dataclass
class AttentionMap:
    """What one `Tap` saw while `record` listened.

    ``calls`` holds the map of every call in order, ``kind`` says how to read it, ``grid`` is the spatial size on which
    the last one lies (None for channels; of pairwise maps the grid of the queries, and ``key_grid`` that of the keys).
    """

    kind: str
    calls: list[Tensor] = field(default_factory=list)
    grid: tuple[int, ...] | None = None
    key_grid: tuple[int, ...] | None = None

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
        queries: Positions (index tuples on the map's grid) whose rows of pairwise maps are kept, in this order; None
            for whole maps. Modules with a fused path build no other rows.

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
                listener = _Listener(maps, name.replace("_orig_mod.", ""), queries)
                handle = module.register_forward_hook(listener, with_kwargs=True)
                stack.callback(handle.remove)
        yield maps


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


class _Listener:
    """The hook of one `record` on one `Tap`: keeps what passes, or the rows of it that were asked for."""

    def __init__(self, maps: dict[str, AttentionMap], name: str, queries: Sequence[Sequence[int]] | None) -> None:
        self.maps, self.name, self.queries = maps, name, queries

    def rows(self, grid: Sequence[int] | None) -> list[int] | None:
        """The numbers of the rows asked for on this grid; None for the whole map."""
        if self.queries is None:
            return None
        return [_row(self.name, _tuple(grid), query) for query in self.queries]

    def __call__(self, tap: Tap, args: tuple[Any, ...], kwargs: dict[str, Any], attention: Tensor) -> None:
        given = {**dict(zip(("attention", "grid", "key_grid", "rows"), args, strict=False)), **kwargs}
        grid, key_grid, there = given.get("grid"), given.get("key_grid"), given.get("rows")
        if tap.kind == "pairwise":
            wanted = self.rows(grid)
            if wanted is not None:
                held = wanted if there is None else [list(there).index(row) for row in wanted]
                attention = attention[..., held, :]
        elif tap.kind == "spatial" and grid is None:
            grid = attention.shape[2:]
        seen = self.maps.setdefault(self.name, AttentionMap(tap.kind))
        seen.grid = _tuple(grid)
        seen.key_grid = seen.grid if key_grid is None and tap.kind == "pairwise" else _tuple(key_grid)
        seen.calls.append(attention)


def _tuple(grid: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if grid is None else tuple(grid)


def _row(name: str, grid: tuple[int, ...] | None, query: Sequence[int]) -> int:
    if grid is None:
        raise InputError(f"record: queries need a map that tells its grid, '{name}' does not. Record without queries.")
    if len(query) != len(grid) or any(not 0 <= q < n for q, n in zip(query, grid, strict=False)):
        raise InputError(f"record: a query must lie inside the grid {grid} of '{name}', got {tuple(query)}.")
    row = 0
    for q, n in zip(query, grid, strict=True):
        row = row * n + q
    return row
