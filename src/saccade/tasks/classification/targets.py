"""Targets as numbers, and what the network's scores say of them."""

from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.data.classification.case import Case
from saccade.data.classification.targets import as_number
from saccade.errors import InputError
from saccade.tasks.classification.config import Data


def encode(case: Case, data: Data) -> Tensor:
    """A case's target: the number of its class (), or a value for each column (t,), NaN where there is none.

    Raises:
        InputError: If it is no class of the run, or no number where one must be.
    """
    if data.kind in ("classes", "ordinal"):
        if case.values[0] not in data.classes:
            known = ", ".join(data.classes[:8]) + (", ..." if len(data.classes) > 8 else "")
            raise InputError(f"case {case.id}: {data.columns[0]} must be one of {known}, got '{case.values[0]}'.")
        return torch.tensor(data.classes.index(case.values[0]))
    numbers: list[float] = []
    for column, text in zip(data.columns, case.values, strict=True):
        number = as_number(text) if text else float("nan")
        if number is None or (data.kind == "multi_label" and number not in (0, 1) and text):
            expected = "a number" if data.kind == "regression" else "0 or 1"
            raise InputError(f"case {case.id}: {column} must be {expected}, got '{text}'.")
        numbers.append(number)
    return torch.tensor(numbers)


def balanced_weights(cases: Sequence[Case], data: Data) -> tuple[float, ...]:
    """Of each class n / (classes * n of the class), the mean over cases being 1; of a label the ratio of those without
    it to those with it."""
    if data.kind == "multi_label":
        table = torch.stack([encode(case, data) for case in cases])
        with_it, without = (table == 1).sum(0), (table == 0).sum(0)
        return tuple(round(float(a / max(1, int(b))) or 1.0, 4) for a, b in zip(without, with_it, strict=True))
    counts = Counter(case.values[0] for case in cases)
    return tuple(round(len(cases) / (len(data.classes) * max(1, counts[name])), 4) for name in data.classes)


def sampling_weights(cases: Sequence[Case]) -> list[float]:
    """How often each case is to be drawn so that classes come equally often."""
    counts = Counter(case.values[0] for case in cases)
    return [1 / counts[case.values[0]] for case in cases]


def probabilities(logits: Float[Tensor, "b k"], data: Data, temperature: float = 1.0) -> Float[Tensor, "b n"]:
    """What scores say: of classes and levels probabilities that sum to 1, of labels one each, of a regression values.

    Args:
        logits: Of the network.
        data: The run's targets.
        temperature: That the scores are divided by.
    """
    if data.kind == "regression":
        return logits * torch.tensor(data.target_std) + torch.tensor(data.target_mean)
    scaled = logits.double() / temperature
    if data.kind == "multi_label":
        return scaled.sigmoid()
    if data.kind == "classes":
        return scaled.softmax(1)
    # P(above level k) must not rise with k; each of these outputs was trained on its own
    above = scaled.sigmoid().cummin(1).values
    edge = torch.ones_like(above[:, :1])
    return torch.cat([edge, above], 1) - torch.cat([above, torch.zeros_like(edge)], 1)
