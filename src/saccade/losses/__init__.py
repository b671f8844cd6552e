"""Losses as plain functions of scores and labels."""

from saccade.losses.dice import (
    cross_entropy_loss,
    dice_cross_entropy_loss,
    dice_loss,
    homework_dice_loss,
    published_dice_loss,
)
from saccade.losses.heads import heads_cross_entropy
from saccade.losses.hybrid import hybrid_loss
from saccade.losses.marginal import mean_over_labelled, merge_unlabelled
from saccade.losses.subject import attention_spread, subject_loss

__all__ = [
    "attention_spread",
    "cross_entropy_loss",
    "dice_cross_entropy_loss",
    "dice_loss",
    "heads_cross_entropy",
    "homework_dice_loss",
    "hybrid_loss",
    "mean_over_labelled",
    "merge_unlabelled",
    "published_dice_loss",
    "subject_loss",
]
