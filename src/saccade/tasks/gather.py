"""What several training processes know, brought together; with a single process nothing happens."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, distributed


def whole_batch(
    logits: Float[Tensor, "b k *space"], labels: Int[Tensor, "b *space"], classes: int
) -> tuple[Float[Tensor, "n k *space"], Int[Tensor, "n *space"]]:
    """Logits and labels of the whole batch, each process holding a part of it.

    A Dice over a batch is not the mean of the Dice of its parts; so every process computes the loss of the whole. The
    gradient that reaches the process's own part is multiplied by the number of processes, because theirs is averaged
    afterwards: the result is the gradient that a single process would have.

    Args:
        logits: Of this process, n / processes items.
        labels: Of this process.
        classes: At most 256; labels travel in 8 bits.
    """
    if _processes() == 1:
        return logits, labels
    size, rank = _processes(), distributed.get_rank()
    own = logits.float().contiguous()
    small = labels.to(torch.uint8 if classes <= 256 else torch.int64).contiguous()
    parts = [torch.empty_like(own) for _ in range(size)]
    truths = [torch.empty_like(small) for _ in range(size)]
    distributed.all_gather(parts, own.detach())
    distributed.all_gather(truths, small)
    if own.requires_grad:
        own = own.view_as(own)
        own.register_hook(lambda gradient: gradient * size)
    parts[rank] = own
    return torch.cat(parts), torch.cat(truths).to(labels.dtype)


def flags_of_whole_batch(flags: Bool[Tensor, "b k"]) -> Bool[Tensor, "n k"]:
    """Flags of the whole batch, each process holding those of a part of it, in the order of `whole_batch`."""
    if _processes() == 1:
        return flags
    own = flags.to(torch.uint8).contiguous()
    parts = [torch.empty_like(own) for _ in range(_processes())]
    distributed.all_gather(parts, own)
    return torch.cat(parts).bool()


def of_all_processes(mine: dict[Any, Any]) -> dict[Any, Any]:
    """One mapping out of those of all processes."""
    if _processes() == 1:
        return mine
    all_of_them: list[dict[Any, Any]] = [{} for _ in range(_processes())]
    distributed.all_gather_object(all_of_them, mine)
    return {key: value for part in all_of_them for key, value in part.items()}


def _processes() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
