"""Clean-up of label maps: stray pieces of an organ are removed, by rules tuned on a run's validation cases."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from scipy import ndimage

from saccade.data.layout_names import case_id, volumes_in
from saccade.data.partial import labelled_beside
from saccade.data.splits import file_hash
from saccade.data.volume import Volume, read_volume, same_grid
from saccade.errors import InputError, unknown_name
from saccade.files import read_json, write_json
from saccade.metrics.overlap import dice_of_counts, voxel_ml
from saccade.tasks.settings import Settings

FILE = "clean_up.json"
# Of the smallest piece that stays, ml. Steps of 1-2-5: finer ones would fit the few validation cases, not the organ.
MINIMA_ML = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
LEAST_GAIN = 1e-4  # in mean Dice; less is a voxel here or there
Neighbourhood = Literal[6, 26]


class Rule(Settings):
    """What stays of one organ; with both settings, the largest piece stays if it is large enough."""

    keep_largest: bool = Field(False, description="only the largest connected piece stays")
    minimum_ml: float = Field(0.0, ge=0, allow_inf_nan=False, description="pieces smaller than this are removed, ml")


class Tuning(Settings):
    """What the rules were chosen by."""

    weights_sha256: str = Field(description="of the model.safetensors whose predictions were looked at")
    cases: int = Field(ge=1, description="validation cases looked at")
    mean_dice: dict[str, tuple[float, float]] = Field(description="organ: mean Dice without and with its rule")


class CleanUp(Settings):
    """Rules by organ, as ``clean_up.json`` holds them; organs without one stay as they are."""

    version: Literal[1] = 1
    neighbourhood: Neighbourhood = Field(26, description="6: voxels are connected by faces; 26: also by edges, corners")
    organs: dict[str, Rule] = Field(description="organ: its rule")
    tuning: Tuning | None = Field(None, description="null where the rules were written by hand")


def clean_up(labels: Volume, rules: CleanUp, names: Mapping[int, str]) -> Volume:
    """A label map without the pieces that the rules remove; their voxels become background (0).

    Args:
        labels: (i, j, k) label values.
        rules: Organs that do not occur in the map do no harm.
        names: Label value -> organ.

    Returns:
        Another volume of the same dtype; the given one is left as it is.
    """
    array = labels.array.copy()
    each_ml = voxel_ml_of(labels)
    for value, organ in names.items():
        rule = rules.organs.get(organ)
        pieces = None if rule is None else find_pieces(array == value, rules.neighbourhood)
        if rule is None or pieces is None:
            continue
        removed = np.concatenate([[False], ~kept(rule, pieces.sizes * each_ml)])  # 0 is what is no piece
        array[pieces.box][removed[pieces.numbers]] = 0
    return labels.like(array)


def tune_clean_up(run: Path, names: Mapping[int, str]) -> CleanUp:
    """For each organ the rule that raises its mean Dice over the run's validation cases the most, if any does.

    Of rules that do equally well the mildest is taken. Only ``validation/`` is looked at, and in each case only the
    organs that were labelled in it.

    Args:
        run: Folder of a run with ``validation/<case>.nii.gz`` and ``validation/truth/<case>.nii.gz``.
        names: Label value -> organ.

    Raises:
        InputError: If there are no validation cases, or a prediction is missing or lies on another grid.
    """
    truths = volumes_in(run / "validation" / "truth")
    if not truths:
        raise InputError(
            f"{run}: has neither {FILE} for its present weights nor predictions in validation/ to make it from. "
            "Train with held-out cases, or give --clean-up a file."
        )
    labelled = labelled_beside(run / "validation" / "truth", [case_id(path) for path in truths], names)
    found: dict[int, list[_Case]] = {value: [] for value in names}
    for path in truths:
        prediction, truth = read_volume(path.parents[1] / path.name), read_volume(path)
        if not same_grid(prediction, truth):
            raise InputError(f"{path}: must lie on the grid of the prediction of that name in {path.parents[1]}.")
        for value in labelled.get(case_id(path), names):
            found[value].append(_case(prediction, truth.array == value, value))
    rules, dice = {}, {}
    for value, organ in names.items():
        rule, before, after = _best_rule(found[value])
        if rule != Rule():
            rules[organ], dice[organ] = rule, (round(before, 6), round(after, 6))
    tuning = Tuning(weights_sha256=file_hash(run / "model.safetensors"), cases=len(truths), mean_dice=dice)
    return CleanUp(neighbourhood=26, organs=rules, tuning=tuning)


def choose_clean_up(choice: str, run: Path, names: Mapping[int, str], say: Callable[[str], None]) -> CleanUp:
    """The rules that ``--clean-up`` asks for.

    Args:
        choice: A file, or ``"auto"``: ``clean_up.json`` of the run, which is made now if there is none or if it was
            tuned on the predictions of other weights than the run has now.
        run: Folder of the run.
        names: Label value -> organ.
        say: Gets a line when rules are made.

    Raises:
        InputError: If the file cannot be used, or there is nothing to make rules from.
    """
    if choice != "auto":
        return read_clean_up(Path(choice), names)
    path = run / FILE
    if path.is_file():
        rules = read_clean_up(path, names)
        if rules.tuning is None or rules.tuning.weights_sha256 == file_hash(run / "model.safetensors"):
            return rules
    rules = tune_clean_up(run, names)
    write_json(path, rules.model_dump(mode="json"))
    say(describe_tuning(rules))
    return rules


def read_clean_up(path: Path, names: Mapping[int, str]) -> CleanUp:
    """Rules from a file.

    Raises:
        InputError: If it cannot be read, holds something else, or names an organ that the run does not know.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold named values, got {type(content).__name__}.")
    rules = CleanUp.parse(content, str(path))
    for organ in rules.organs:
        if organ not in names.values():
            raise unknown_name(str(path), "organ", organ, list(names.values()))
    return rules


def describe_tuning(rules: CleanUp) -> str:
    """One line on what the tuning found."""
    assert rules.tuning is not None
    count = f"{rules.tuning.cases} validation case{'s' if rules.tuning.cases > 1 else ''}"
    if not rules.organs:
        return f"clean-up tuned on {count}: no rule raises their Dice, labels stay as they are"
    parts = []
    for organ, rule in rules.organs.items():
        what = ["largest piece only"] if rule.keep_largest else []
        what += [f"no piece below {rule.minimum_ml:g} ml"] if rule.minimum_ml else []
        before, after = rules.tuning.mean_dice[organ]
        parts.append(f"{organ} {' and '.join(what)} (mean Dice {before:.4f} -> {after:.4f})")
    return f"clean-up tuned on {count}: {'; '.join(parts)}"


@dataclass(frozen=True, eq=False)
class Pieces:
    """Connected pieces of a mask.

    Attributes:
        numbers: 1, 2, ... on the voxels of each piece, 0 elsewhere; of the box alone.
        box: Where in the mask.
        sizes: Voxels of each piece.
    """

    numbers: np.ndarray
    box: tuple[slice, ...]
    sizes: np.ndarray


def find_pieces(mask: np.ndarray, neighbourhood: Neighbourhood) -> Pieces | None:
    """The pieces of a 3D mask; None when it is empty."""
    extents = [np.flatnonzero(mask.any(axis=tuple(set(range(3)) - {axis}))) for axis in range(3)]
    if not len(extents[0]):
        return None
    box = tuple(slice(int(ends[0]), int(ends[-1]) + 1) for ends in extents)
    numbers, _ = ndimage.label(mask[box], ndimage.generate_binary_structure(3, 1 if neighbourhood == 6 else 3))
    return Pieces(numbers, box, np.bincount(numbers.ravel())[1:])


def kept(rule: Rule, sizes_ml: np.ndarray) -> np.ndarray:
    """Which pieces stay; of equally large ones the first is the largest."""
    stay = sizes_ml >= rule.minimum_ml * (1 - 1e-9)  # so that ten voxels of 0.05 ml make 0.5 ml
    if rule.keep_largest and len(sizes_ml):
        stay &= np.arange(len(sizes_ml)) == sizes_ml.argmax()
    return stay


def voxel_ml_of(volume: Volume) -> float:
    """Volume of a voxel, ml; also of a skewed grid."""
    return voxel_ml(np.array([abs(np.linalg.det(volume.affine[:3, :3]))]))


@dataclass(frozen=True, eq=False)
class _Case:
    """One organ of one case, in voxels: of each predicted piece its size and what of it is right, and of the truth."""

    sizes: np.ndarray
    right: np.ndarray
    true: int
    voxel_ml: float

    def dice(self, rule: Rule) -> float:
        stay = kept(rule, self.sizes * self.voxel_ml)
        return dice_of_counts(int(self.right[stay].sum()), int(self.sizes[stay].sum()), self.true)


def _case(prediction: Volume, truth: np.ndarray, value: int) -> _Case:
    pieces = find_pieces(prediction.array == value, 26)
    sizes = right = np.zeros(0, int)
    if pieces is not None:
        sizes = pieces.sizes
        right = np.bincount(pieces.numbers[truth[pieces.box]], minlength=len(sizes) + 1)[1:]
    return _Case(sizes, right, int(np.count_nonzero(truth)), voxel_ml_of(prediction))


def _best_rule(cases: list[_Case]) -> tuple[Rule, float, float]:
    """The rule, the mean Dice without it and the mean Dice with it."""
    candidates = [
        Rule(keep_largest=largest, minimum_ml=minimum) for largest in (False, True) for minimum in (0.0, *MINIMA_ML)
    ]
    means = [_mean([case.dice(rule) for case in cases]) for rule in candidates]
    before, after = means[0], max(means)
    if not after - before > LEAST_GAIN:
        return candidates[0], before, before
    best = next(n for n, mean in enumerate(means) if mean > after - 1e-9)  # the mildest come first
    return candidates[best], before, after


def _mean(scores: list[float]) -> float:
    """Over the cases that are scored: those where there is something to find or something was found."""
    scored = [score for score in scores if score == score]
    return float(np.mean(scored)) if scored else 0.0
