"""Overlap losses for segmentation, from class scores (logits) and integer labels.

All of them take ``logits`` (b, classes, *space) of any floating type and ``target`` (b, *space) with labels from 0 to
classes - 1, compute in float32 or finer, and never build a one-hot copy of the labels. ``labelled`` (b, classes) tells
which classes were labelled in each item, where not all were: the others then count as background together with it
(see `saccade.losses.marginal`), and means go over the labelled classes alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from saccade.errors import InputError
from saccade.losses.marginal import Labelled, mean_over_labelled, merge_unlabelled

Logits = Float[Tensor, "b classes *space"]
Labels = Integer[Tensor, "b *space"]


@dataclass(frozen=True)
class Overlap:
    """Sums over the voxels of each item, for each class, and the log-probability of each voxel's own label.

    ``both`` is the probability on the class's own voxels, ``extent`` all of it (or all of its squares), ``true`` the
    number of voxels: all (b, classes). ``log_likelihood`` is (b, voxels).
    """

    both: Tensor
    extent: Tensor
    true: Tensor
    log_likelihood: Tensor


def overlap(logits: Tensor, target: Tensor, *, squares: bool = False) -> Overlap:
    """The sums that every Dice needs, in one pass; ``squares`` for the extent of squared probabilities.

    Raises:
        InputError: If the target's shape is not that of the logits without their classes.
    """
    check_shapes(logits, target)
    # classes last: no copy where the network keeps its channels next to each other in memory
    log_p = torch.log_softmax(_wide(logits).movedim(1, -1).flatten(1, -2), -1)
    labels = target.flatten(1).long()
    own = log_p.gather(-1, labels[..., None])[..., 0]
    p = log_p.exp()
    nothing = torch.zeros(logits.shape[:2], dtype=p.dtype, device=p.device)
    return Overlap(
        both=nothing.scatter_add(1, labels, own.exp()),
        extent=(p.square() if squares else p).sum(1),
        true=nothing.scatter_add(1, labels, torch.ones_like(own)),
        log_likelihood=own,
    )


def check_shapes(logits: Tensor, target: Tensor) -> None:
    """Raise an InputError if the target's shape is not that of the logits without their classes."""
    wanted = (logits.shape[0], *logits.shape[2:])
    if tuple(target.shape) != wanted:
        raise InputError(
            f"losses: target must be (b, *space) = {wanted} for logits of shape {tuple(logits.shape)}, "
            f"got {tuple(target.shape)}."
        )


def dice_loss(
    logits: Logits,
    target: Labels,
    *,
    squared: bool = True,
    smooth: float = 1e-5,
    include_background: bool = True,
    over_batch: bool = False,
    labelled: Labelled | None = None,
) -> Float[Tensor, ""]:
    """One minus the soft Dice of each class, averaged over classes and items.

    ``1 - mean of (2 sum(p g) + s) / (sum(p^2) + sum(g^2) + s)``: the Sorensen-Dice loss of Milletari et al., 2016,
    https://arxiv.org/abs/1606.04797, which Attention U-Net trains with.

    Args:
        logits: Scores before the softmax.
        target: Labels.
        squared: Squares in the denominator (the paper); False for plain sums.
        smooth: The s of the formula. A class that is neither there nor predicted then counts as a perfect 1.
        include_background: Whether class 0 counts.
        over_batch: Whether sums run over all items of the batch together, so that an item without a class is no
            special case, or over each item (default).
        labelled: Which classes were labelled in each item; default all.

    Returns:
        A number from 0 (all right) to 1.
    """
    logits, target = _merged(logits, target, labelled)
    sums = overlap(logits, target, squares=squared)
    return 1 - _mean_dice(sums.both, sums.extent + sums.true, smooth, include_background, over_batch, labelled)


def published_dice_loss(
    logits: Logits, target: Labels, *, class_ids: Sequence[int] | None = None, labelled: Labelled | None = None
) -> Float[Tensor, ""]:
    """The soft Dice loss of the code published with Attention U-Net (models/layers/loss.py).

    ``1 - mean of 2 (sum(p g) + 0.01) / (sum p + sum g + 0.01)`` over classes (background too) and items. The 0.01
    stands inside the factor 2 above and below it, so the loss can fall a little under 0.

    Args:
        logits: Scores before the softmax.
        target: Labels.
        class_ids: Only these classes take part, in the softmax too (the code's CustomSoftDiceLoss). The mean still
            divides by the number of all classes, as there, so the best possible loss is 1 - len(class_ids) / classes.
        labelled: Which classes were labelled in each item; default all. Not together with ``class_ids``.

    Returns:
        The loss.

    Raises:
        InputError: If the target's shape does not fit, or both ``class_ids`` and ``labelled`` are given.
    """
    if class_ids is not None and labelled is not None:
        raise InputError("published_dice_loss: class_ids and labelled must not be given together.")
    logits, target = _merged(logits, target, labelled)
    classes = logits.shape[1]
    if class_ids is None:
        sums = overlap(logits, target)
        both, predicted, true = sums.both, sums.extent, sums.true
    else:
        check_shapes(logits, target)
        p = torch.softmax(_wide(logits[:, list(class_ids)]), 1)
        own = [target == label for label in class_ids]
        both = torch.stack([(p[:, i] * mine).flatten(1).sum(1) for i, mine in enumerate(own)], 1)
        predicted = p.flatten(2).sum(2)
        true = torch.stack([mine.flatten(1).sum(1) for mine in own], 1)
    scores = 2 * (both + 0.01) / (predicted + true + 0.01)
    if labelled is not None:
        return 1 - mean_over_labelled(scores, labelled)
    return 1 - scores.sum() / (len(logits) * classes)


def cross_entropy_loss(
    logits: Logits,
    target: Labels,
    *,
    class_weights: Float[Tensor, "classes"] | None = None,
    mean: bool = True,
    labelled: Labelled | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy as the code published with Attention U-Net has it.

    Args:
        logits: Scores before the softmax.
        target: Labels.
        class_weights: Factor of each class. The mean still divides by the number of voxels, not by the weights' sum.
        mean: Whether the sum over voxels is divided by their number.
        labelled: Which classes were labelled in each item; default all.

    Returns:
        The loss in nats.
    """
    check_shapes(logits, target)
    logits, target = _merged(logits, target, labelled)
    total = F.cross_entropy(_wide(logits), target.long(), weight=class_weights, reduction="sum")
    return total / target.numel() if mean else total


def dice_cross_entropy_loss(
    logits: Logits,
    target: Labels,
    *,
    dice_weight: float = 1.0,
    cross_entropy_weight: float = 1.0,
    labelled: Labelled | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy plus Dice of the foreground over the whole batch, the loss of nnU-Net.

    Isensee et al., 2021, https://doi.org/10.1038/s41592-020-01008-z.

    Args:
        logits: Scores before the softmax.
        target: Labels.
        dice_weight: Factor of ``1 - Dice`` (plain sums, without background, smooth 1e-5).
        cross_entropy_weight: Factor of the mean cross-entropy in nats.
        labelled: Which classes were labelled in each item; default all. A class's Dice is taken over those items.

    Returns:
        The weighted sum; nnU-Net's own number is lower by ``dice_weight`` as it adds ``-Dice``.
    """
    logits, target = _merged(logits, target, labelled)
    sums = overlap(logits, target)
    dice = _mean_dice(sums.both, sums.extent + sums.true, 1e-5, False, True, labelled)
    return dice_weight * (1 - dice) - cross_entropy_weight * sums.log_likelihood.mean()


def homework_dice_loss(
    logits: Logits, target: Labels, *, logit_scale: float = 100.0, labelled: Labelled | None = None
) -> Float[Tensor, ""]:
    """Minus the mean foreground Dice of nearly hard assignments, the loss of the homework's training step.

    ``-mean of 2 sum(p g) / (sum(p^2) + sum(g^2) + 1e-7)`` with ``p = softmax(logit_scale * logits)``.

    Args:
        logits: Scores before the softmax.
        target: Labels.
        logit_scale: Inverse temperature. Default 100, the homework's; it is not a weight of the loss.
        labelled: Which classes were labelled in each item; default all.

    Returns:
        A number from -1 (all right) to 0; an absent class counts as 0.
    """
    scaled, target = _merged(_wide(logits) * logit_scale, target, labelled)  # q is of the probabilities that count
    sums = overlap(scaled, target, squares=True)
    dice = 2 * sums.both / (sums.extent + sums.true + 1e-7)
    return -(dice[:, 1:].mean() if labelled is None else mean_over_labelled(dice[:, 1:], labelled[:, 1:]))


def _merged(logits: Tensor, target: Tensor, labelled: Tensor | None) -> tuple[Tensor, Tensor]:
    if labelled is None:
        return logits, target
    check_shapes(logits, target)
    return merge_unlabelled(logits, target, labelled)


def _mean_dice(
    both: Tensor,
    extent: Tensor,
    smooth: float,
    include_background: bool,
    over_batch: bool,
    labelled: Tensor | None,
) -> Tensor:
    if over_batch:
        both, extent = both.sum(0, keepdim=True), extent.sum(0, keepdim=True)
        labelled = None if labelled is None else labelled.any(0, keepdim=True)
    first = 0 if include_background or both.shape[1] == 1 else 1
    if labelled is not None:
        extent = extent.masked_fill(~labelled, 1)  # no class of an item that lacks it divides 0 by 0
    dice = ((2 * both + smooth) / (extent + smooth))[:, first:]
    return dice.mean() if labelled is None else mean_over_labelled(dice, labelled[:, first:])


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
