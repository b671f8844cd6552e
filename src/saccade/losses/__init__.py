"""Losses as plain functions of scores and labels."""

from saccade.losses.dice import (
    cross_entropy_loss,
    dice_cross_entropy_loss,
    dice_loss,
    homework_dice_loss,
    published_dice_loss,
)
from saccade.losses.marginal import mean_over_labelled, merge_unlabelled

__all__ = [
    "cross_entropy_loss",
    "dice_cross_entropy_loss",
    "dice_loss",
    "homework_dice_loss",
    "mean_over_labelled",
    "merge_unlabelled",
    "published_dice_loss",
]
