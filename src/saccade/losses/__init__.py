"""Losses as plain functions of scores and labels."""

from saccade.losses.detection import (
    DetectionLoss,
    Objects,
    focal_detection_loss,
    lecture_loss,
    multibox_loss,
)
from saccade.losses.dice import (
    cross_entropy_loss,
    dice_cross_entropy_loss,
    dice_loss,
    homework_dice_loss,
    published_dice_loss,
)
from saccade.losses.focal import focal_loss, focal_loss_star
from saccade.losses.heads import heads_cross_entropy
from saccade.losses.hybrid import hybrid_loss
from saccade.losses.marginal import mean_over_labelled, merge_unlabelled
from saccade.losses.subject import attention_spread, subject_loss

__all__ = [
    "DetectionLoss",
    "Objects",
    "attention_spread",
    "cross_entropy_loss",
    "dice_cross_entropy_loss",
    "dice_loss",
    "focal_detection_loss",
    "focal_loss",
    "focal_loss_star",
    "heads_cross_entropy",
    "homework_dice_loss",
    "hybrid_loss",
    "lecture_loss",
    "mean_over_labelled",
    "merge_unlabelled",
    "multibox_loss",
    "published_dice_loss",
    "subject_loss",
]
