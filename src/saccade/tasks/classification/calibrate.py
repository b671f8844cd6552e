"""One number that makes probabilities mean what they say: the temperature that the scores are divided by.

Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 4.2.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from saccade.errors import InputError
from saccade.files import read_json, write_json
from saccade.losses.classification import multi_label_loss, ordinal_loss
from saccade.tasks.classification.config import Data

FILE = "calibration.json"
RANGE = (0.05, 20.0)  # of temperatures
FEWEST = 10  # held-out cases


@dataclass(frozen=True)
class Calibration:
    """What ``calibration.json`` holds.

    Attributes:
        temperature: That scores are divided by; above 1 where the network was too sure.
        cases: Held-out cases that it was fitted to.
        loss_before, loss_after: Their mean negative log-likelihood without and with it.
    """

    temperature: float
    cases: int
    loss_before: float
    loss_after: float

    def write(self, run: Path) -> None:
        """Write it into a run's folder."""
        write_json(run / FILE, asdict(self))


def fit_temperature(logits: Float[Tensor, "n k"], targets: Tensor, data: Data) -> Calibration | None:
    """The temperature with the least negative log-likelihood; None for a regression or fewer than ten cases.

    The order of scores, and so every decision, stays as it is.
    """
    if data.kind == "regression" or len(logits) < FEWEST:
        return None
    logits = logits.double()
    targets = targets.double() if data.kind == "multi_label" else targets

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if data.kind == "multi_label":
            return float(multi_label_loss(scaled, targets).mean())
        if data.kind == "ordinal":
            return float(ordinal_loss(scaled, targets).mean())
        return float(F.cross_entropy(scaled, targets))

    found = minimize_scalar(loss, bounds=tuple(np.log(RANGE)), method="bounded")
    return Calibration(round(float(np.exp(found.x)), 4), len(logits), loss(0.0), float(found.fun))


def read_temperature(run: Path) -> float:
    """A run's temperature; 1 where it was not calibrated.

    Raises:
        InputError: If its calibration.json is damaged.
    """
    path = run / FILE
    if not path.is_file():
        return 1.0
    content: Any = read_json(path)
    value = content.get("temperature") if isinstance(content, dict) else None
    if not isinstance(value, int | float) or not RANGE[0] / 2 <= value <= RANGE[1] * 2:
        raise InputError(f"{path}: must hold a temperature from {RANGE[0]} to {RANGE[1]}, got {value!r}. Remove it.")
    return float(value)
