"""Decisions taken from the images and their targets: kind, classes, size, values. All end in config.yaml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.data.classification.case import Case, ImageDataset
from saccade.data.classification.read import Image, read_image, with_channels
from saccade.data.classification.targets import as_number, class_order, kind_of
from saccade.errors import InputError

LOOKED_AT = 200  # images whose values are looked at
VALUES_PER_IMAGE = 5_000
MOST_PIXELS = {2: 224 * 224, 3: 96 * 96 * 96}  # what networks for pictures are made for, and what a machine holds
SMALLEST = 8
PROPORTIONS = 1.15  # images whose proportions differ by more than this are not stretched
AIR_HU = -500  # only CT has large parts below this


@dataclass(frozen=True)
class Fingerprint:
    """What images look like.

    Attributes:
        shape: Median size, axes scaled to equal spacing where the spacing is known.
        alike: Whether all have nearly the same proportions.
        channels: 1, or 3 where colours differ.
        low, high: Range in which all but one in 200 of the values lie.
        mean, std: Of each channel.
        scanned: Whether they are volumes, whose values have a unit of their own.
        hounsfield: Whether they are CT.
    """

    shape: tuple[float, ...]
    alike: bool
    channels: int
    low: float
    high: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scanned: bool
    hounsfield: bool


def plan_targets(dataset: ImageDataset, cases: Sequence[Case], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Kind and classes of the targets.

    Args:
        dataset: The data.
        cases: Those to learn from.
        asked: What the user says of it: ``kind``, ``classes``.

    Raises:
        InputError: If there is nothing to tell apart, or a target is no number where one is needed.
    """
    kind = asked.get("kind") or kind_of(dataset.columns, cases, str(dataset.root))
    found: dict[str, Any] = {"columns": list(dataset.columns), "kind": kind, "classes": []}
    if kind in ("classes", "ordinal"):
        values = [case.values[0] for case in cases]
        found["classes"] = list(asked.get("classes") or class_order(values))
        if len(set(values)) < 2:
            raise InputError(
                f"{dataset.root}: {dataset.columns[0]} must have at least two classes to tell apart, "
                f"the training cases are all '{values[0]}'."
            )
    elif kind == "multi_label":
        found["classes"] = list(dataset.columns)
    elif kind == "regression":
        table = np.array([[_number(case, text) for text in case.values] for case in cases])
        for column, numbers in zip(dataset.columns, table.T, strict=True):
            known = numbers[~np.isnan(numbers)]
            if known.size < 2 or np.ptp(known) == 0:
                raise InputError(f"{dataset.root}: {column} must differ between training cases, it is the same in all.")
        found["target_mean"] = [float(f"{value:.6g}") for value in np.nanmean(table, 0)]
        found["target_std"] = [float(f"{value:.6g}") for value in np.nanstd(table, 0)]
    return found


def take_fingerprint(cases: Sequence[Case]) -> Fingerprint:
    """Look at up to 200 of the images to learn from.

    Raises:
        InputError: If one cannot be read, or they have different numbers of axes.
    """
    step = max(1, len(cases) // LOOKED_AT)
    images = [read_image(case.source) for case in cases[::step][:LOOKED_AT]]
    axes = {len(image.space) for image in images}
    if len(axes) > 1:
        raise InputError(f"case {cases[0].id} and others: images must all be pictures or all volumes, found both.")
    extents = np.array([_extent(image) for image in images], float)
    ratios = extents[:, 1:] / extents[:, :1]
    channels = max(image.colours for image in images)
    samples = np.concatenate([_sample(image, channels) for image in images])
    low, high = (float(value) for value in np.percentile(samples, (0.5, 99.5)))
    scanned = images[0].spacing_mm is not None
    hounsfield = scanned and bool(np.mean(samples < AIR_HU) > 0.02)
    if hounsfield:
        samples = samples.clip(low, high)
    return Fingerprint(
        shape=tuple(float(value) for value in np.median(extents, 0)),
        alike=bool((ratios.max(0) / ratios.min(0) <= PROPORTIONS).all()),
        channels=channels,
        low=low,
        high=high,
        mean=tuple(float(value) for value in samples.mean(0)),
        std=tuple(float(max(value, 1e-6)) for value in samples.std(0)),
        scanned=scanned,
        hounsfield=hounsfield,
    )


def plan_images(fingerprint: Fingerprint, *, pixels: int | None = None) -> dict[str, Any]:
    """Channels, size, fit and intensity.

    Args:
        fingerprint: What the images look like.
        pixels: How many the network may see; None for 224 x 224 or 96 x 96 x 96.
    """
    shape = np.array(fingerprint.shape)
    most = pixels or MOST_PIXELS[len(shape)]
    shrink = min(1.0, (most / shape.prod()) ** (1 / len(shape)))
    size = [max(min(SMALLEST, round(float(n))), int(n * shrink + 1e-6)) for n in shape]
    intensity: dict[str, Any]
    if fingerprint.scanned and not fingerprint.hounsfield:
        intensity = {"kind": "z_score"}
    else:
        mean, std = ([round(value, 3) for value in values] for values in (fingerprint.mean, fingerprint.std))
        intensity = {"kind": "standardise", "mean": mean, "std": [max(value, 1e-3) for value in std]}
        if fingerprint.hounsfield:
            intensity |= {"low": round(fingerprint.low, 1), "high": round(fingerprint.high, 1)}
    return {
        "channels": fingerprint.channels,
        "size": [max(1, n) for n in size],
        "fit": "stretch" if fingerprint.alike else "pad",
        "intensity": intensity,
    }


def _number(case: Case, text: str) -> float:
    if not text:
        return float("nan")
    if (number := as_number(text)) is None:
        raise InputError(f"case {case.id}: a regression's target must be a number, got '{text}'.")
    return number


def _extent(image: Image) -> list[float]:
    """Pixels along each axis if they were as small as along the finest."""
    spacing = image.spacing_mm or (1.0,) * len(image.space)
    return [n * step / min(spacing) for n, step in zip(image.space, spacing, strict=True)]


def _sample(image: Image, channels: int) -> np.ndarray:
    values = with_channels(image, channels, "image").reshape(-1, channels)
    return values[:: max(1, len(values) // VALUES_PER_IMAGE)]
