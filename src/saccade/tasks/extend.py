"""A run that is to go on for longer: its schedule planned anew, in so many words, in its config.yaml."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from saccade.errors import InputError
from saccade.tasks.config import Extension, RunConfig

EPOCHS_WITHIN_SECONDS = 1000  # a run that is extended by seconds is not to end by its epochs


Config = TypeVar("Config", bound=RunConfig)


def extend(config: Config, checkpoint: Mapping[str, Any], by: str | int) -> Config:
    """The configuration of a run that is to be trained for longer.

    The schedule is planned over all epochs, done and new: from the next epoch on, the learning rate is that of a run
    which had been planned as long from the start. What was done stays as it was: the earlier plan is written down, so
    that the new configuration, begun from nothing, gives the same run.

    Args:
        config: The run as it is.
        checkpoint: What its last.ckpt holds.
        by: Epochs more than have been done, or, with an ``s`` behind the number, seconds of training more.

    Raises:
        InputError: If ``by`` is neither.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s?)", str(by).strip())
    if not match or float(match[1]) <= 0 or (not match[2] and "." in match[1]):
        raise InputError(f"--extend: must be epochs, like 20, or seconds, like 600s, got '{by}'.")
    training = config.training
    done = int(checkpoint["epoch"]) + 1
    plan: dict[str, Any]
    if match[2]:
        spent = float(checkpoint["callbacks"]["TrainingClock"]["seconds"])
        epochs = max(training.epochs, done + EPOCHS_WITHIN_SECONDS)
        plan = {"epochs": epochs, "max_seconds": round(spent + float(match[1]), 2)}
    else:
        plan = {"epochs": done + int(match[1]), "max_seconds": None}
    before = Extension(until_epoch=done, epochs=training.epochs, max_seconds=training.max_seconds)
    # extended twice at one place, only the last word counts
    earlier = tuple(extension for extension in training.extensions if extension.until_epoch < done)
    was_extended = len(earlier) < len(training.extensions)
    plan["extensions"] = training.extensions if was_extended else (*earlier, before)
    return config.model_copy(update={"training": training.model_copy(update=plan)})
