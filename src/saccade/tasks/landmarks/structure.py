"""The CRF of a run: learned when its network has been trained, and kept beside the weights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from saccade.errors import InputError
from saccade.files import read_json, write_json
from saccade.landmarks.crf import LandmarkCRF
from saccade.landmarks.learning import Example, fit_crf
from saccade.tasks.landmarks.dataset import PreparedLandmarks
from saccade.tasks.landmarks.predictor import LandmarksPredictor

FILE = "crf.json"
FEWEST = 3  # tuning images below which weights stay as they begin


def learn_structure(
    predictor: LandmarksPredictor, known: Sequence[PreparedLandmarks], tuning: PreparedLandmarks
) -> LandmarkCRF:
    """A CRF from the places of landmarks in training images, and from the heat maps of those the network has not seen.

    Args:
        predictor: The trained network.
        known: Training images; only their landmarks are looked at.
        tuning: Images that the weights are learned on.
    """
    config = predictor.config
    positions = np.stack([_measured(part, index) for part in known for index in range(len(part))])
    examples = []
    if len(tuning) >= FEWEST:
        for index in range(len(tuning)):
            (maps,) = predictor.heat(tuning[index][0][None])
            heated = predictor.heated(maps, tuning.placements[index])
            examples.append(Example(heated.candidates(), _measured(tuning, index), heated.heat, heated.grid()))
    return fit_crf(
        config.data.names,
        positions,
        examples,
        tolerance=config.tolerance,
        kinds=config.training.potentials,
        refines=config.training.refine,
        misses=bool(config.training.missing),
        width=config.training.graph_width,
        l1=config.training.l1,
        floor=config.inference.floor,
    )


def describe_structure(crf: LandmarkCRF, examples: int) -> str:
    """What was learned, in a line."""
    labels = [name for name, there in (("refine", crf.refines), ("missing", crf.misses)) if there]
    told = f"labels {' and '.join(labels)}" if labels else "no further labels"
    learnt = f"weights learned on {examples} images" if examples >= FEWEST else "weights as they begin"
    return f"{len(crf.edges)} edges among {len(crf.names)} landmarks, {told}; {learnt}"


def write_crf(crf: LandmarkCRF, run: Path) -> None:
    """Keep a CRF in a run's folder."""
    write_json(run / FILE, crf.as_dict())


def read_crf(run: Path, names: Sequence[str]) -> LandmarkCRF | None:
    """The CRF of a run; None if it has none yet.

    Raises:
        InputError: If the file is damaged, or is of other landmarks.
    """
    path = run / FILE
    if not path.is_file():
        return None
    try:
        crf = LandmarkCRF.from_dict(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: must be a CRF as training wrote it, but is not ({error}). Train again.") from None
    if crf.names != tuple(names):
        raise InputError(f"{path}: must be of the run's landmarks, is of {', '.join(crf.names)}.")
    return crf


def _measured(prepared: PreparedLandmarks, index: int) -> np.ndarray:
    """The landmarks of a case in the units of the statistics, NaN where one is missing."""
    positions = prepared[index][1].double().numpy()
    found = np.full_like(positions, np.nan)
    there = np.isfinite(positions).all(1)
    found[there] = prepared.placements[index].measured(positions[there])
    return found
