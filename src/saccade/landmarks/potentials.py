"""What two landmarks cost together: how far their distance, direction and offset are from those that were seen.

Each energy is the negative logarithm of a density, up to a constant, so that 0 is the best:

    translation  1/2 (b - a - m)^T S^-1 (b - a - m)     Gaussian
    distance     1/2 ((|b - a| - r) / s)^2              Gaussian
    angle        k (1 - u . (b - a) / |b - a|)          von Mises, in space von Mises-Fisher
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from saccade.errors import InputError, unknown_name

POTENTIALS = ("translation", "distance", "angle")
MOST_CONCENTRATED = 1e4  # directions that never differed by more than half a degree are taken to differ by that


@dataclass(frozen=True)
class PairStatistics:
    """What is known of two landmarks from the cases that have both.

    Attributes:
        mean: m, the mean offset from the first to the second.
        covariance: S.
        distance: r, the mean distance.
        distance_std: s.
        direction: u, the mean direction, of length 1.
        concentration: k of the von Mises(-Fisher) distribution.
    """

    mean: Float[np.ndarray, "d"]
    covariance: Float[np.ndarray, "d d"]
    distance: float
    distance_std: float
    direction: Float[np.ndarray, "d"]
    concentration: float

    @property
    def looseness(self) -> float:
        """log det S: how little the place of one says of the other's."""
        return float(np.linalg.slogdet(self.covariance)[1])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PairStatistics":
        """The reverse of `as_dict`."""
        given: dict[str, Any] = {
            name: np.array(value, float) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**given)


def fit_pair(
    first: Float[np.ndarray, "m d"], second: Float[np.ndarray, "m d"], *, least_std: float = 1.0
) -> PairStatistics:
    """Statistics of two landmarks.

    Args:
        first: Places of one, of m cases.
        second: Places of the other in the same cases.
        least_std: Standard deviation of annotation, in the units of the places: no spread is taken to be smaller, as
            few cases may agree by chance. Its square is added to the covariance.

    Raises:
        InputError: With fewer than 2 cases.
    """
    if len(first) < 2 or first.shape != second.shape:
        raise InputError(f"fit_pair: must have 2 cases or more with both landmarks, got {first.shape}, {second.shape}.")
    offsets = second - first
    dims = offsets.shape[1]
    lengths = np.linalg.norm(offsets, axis=1)
    units = offsets / np.maximum(lengths, 1e-12)[:, None]
    resultant = units.mean(0)
    mean_length = float(np.linalg.norm(resultant))
    # Banerjee et al. 2005, eq. 4.4; the least standard deviation bounds the angle too
    bound = (float(lengths.mean()) / least_std) ** 2 if least_std > 0 else MOST_CONCENTRATED
    spread = max(1 - mean_length**2, 1e-12)
    concentration = min(mean_length * (dims - mean_length**2) / spread, max(bound, 1e-6), MOST_CONCENTRATED)
    covariance = np.atleast_2d(np.cov(offsets.T)) + least_std**2 * np.eye(dims)
    return PairStatistics(
        offsets.mean(0),
        covariance,
        float(lengths.mean()),
        float(np.hypot(lengths.std(ddof=1), least_std)),
        resultant / max(mean_length, 1e-12),
        float(concentration),
    )


def pair_energies(
    statistics: PairStatistics,
    kinds: Sequence[str],
    first: Float[np.ndarray, "*a d"],
    second: Float[np.ndarray, "*b d"],
) -> Float[np.ndarray, "p *ab"]:
    """Energies of pairs of places, one for each kind of potential.

    Args:
        statistics: Of the two landmarks.
        kinds: Out of `POTENTIALS`.
        first: Places of the first landmark.
        second: Places of the second; both are broadcast.

    Raises:
        InputError: For an unknown kind.
    """
    offsets = second - first
    found = []
    for kind in kinds:
        if kind == "translation":
            away = offsets - statistics.mean
            found.append(0.5 * np.einsum("...i,ij,...j->...", away, np.linalg.inv(statistics.covariance), away))
        elif kind == "distance":
            lengths = np.linalg.norm(offsets, axis=-1)
            found.append(0.5 * ((lengths - statistics.distance) / statistics.distance_std) ** 2)
        elif kind == "angle":
            lengths = np.maximum(np.linalg.norm(offsets, axis=-1), 1e-12)
            found.append(statistics.concentration * (1 - offsets @ statistics.direction / lengths))
        else:
            raise unknown_name("pair_energies", "potential", kind, list(POTENTIALS))
    return np.stack(found)
