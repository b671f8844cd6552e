"""Losses of partially labelled items: a class that was not labelled may be anywhere in what is called background."""

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from saccade.errors import InputError

Labelled = Bool[Tensor, "_ _"]  # (b, classes), which the functions check themselves


def merge_unlabelled(
    logits: Float[Tensor, "b classes *space"], target: Integer[Tensor, "b *space"], labelled: Labelled
) -> tuple[Float[Tensor, "b classes *space"], Integer[Tensor, "b *space"]]:
    """Logits and labels in which the classes that were not labelled in an item are one with its background.

    The softmax of what comes out is ``q_0 = p_0 + sum of p_u`` over the unlabelled classes u, ``q_u = 0`` and ``q_c =
    p_c`` for all others, with p the softmax of what goes in: the marginal probability of Shi et al., 2021,
    https://doi.org/10.1016/j.media.2021.101979, and the target adaptive loss of Fang and Yan, 2020 (PIPO-FAN),
    https://doi.org/10.1109/TMI.2020.3001036. How a network shares q_0 among background and unlabelled
    classes then changes no loss. Differs from the papers: none; an item with all classes labelled stays as it is.

    Args:
        logits: Scores before the softmax; float32 or finer comes out.
        target: Labels from 0 to classes - 1. Voxels of unlabelled classes become background.
        labelled: Which classes were labelled in each item; background (0) always is.

    Returns:
        Logits, -inf where a class was not labelled, and labels.

    Raises:
        InputError: If ``labelled`` does not name each class of each item, or leaves out the background.
    """
    if tuple(labelled.shape) != tuple(logits.shape[:2]):
        raise InputError(
            f"losses: labelled must be (b, classes) = {tuple(logits.shape[:2])}, got {tuple(labelled.shape)}."
        )
    if not bool(labelled[:, 0].all()):
        raise InputError("losses: labelled must be true of the background (class 0) in every item.")
    wide = logits if logits.dtype == torch.float64 else logits.float()
    hidden = (~labelled).reshape(*labelled.shape, *[1] * (logits.ndim - 2))
    merged = hidden.clone()
    merged[:, 0] = True
    background = wide.masked_fill(~merged, -torch.inf).logsumexp(1, keepdim=True)
    wide = torch.cat([background, wide[:, 1:].masked_fill(hidden[:, 1:], -torch.inf)], 1)
    known = labelled.gather(1, target.flatten(1).long()).reshape(target.shape)
    return wide, target.masked_fill(~known, 0)


def mean_over_labelled(values: Float[Tensor, "b classes"], labelled: Labelled) -> Float[Tensor, ""]:
    """The mean over each item's labelled classes, then over the items; items without any do not count.

    So an item counts as much as if its labelled classes were all there are.

    Args:
        values: Of each class of each item.
        labelled: Which of them count.

    Returns:
        The mean; 0 where nothing is labelled.
    """
    counts = labelled.sum(1)
    means = values.masked_fill(~labelled, 0).sum(1) / counts.clamp_min(1)
    return means.sum() / (counts > 0).sum().clamp_min(1)
