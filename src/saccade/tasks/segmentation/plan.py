"""Decisions taken from the data: voxel size, patch size, intensity preparation, pooling. All end in config.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.data.layouts import Case, Dataset, load_case
from saccade.data.orient import to_canonical
from saccade.errors import InputError

LOOKED_AT = 40  # cases whose voxels are looked at; medians hardly move beyond that
VOXELS_PER_CASE = 20_000
AIR_HU = -500  # only CT has large parts below this
ANISOTROPIC = 3.0  # a slice thickness beyond this multiple of the in-plane voxel is kept, not evened out
FEWEST_PATCH_VOXELS, MOST_PATCH_VOXELS = 2**17, 2**20  # what a CPU gets through, and holds in memory
PATCH_PART = 64  # a quarter of a large volume along each axis
MULTIPLE = 8  # patch sizes that three poolings divide waste nothing
WINDOW_SPREADS = 5.0  # a CT window holds each organ's values up to so many standard deviations from its median


@dataclass(frozen=True)
class Fingerprint:
    """What a data set looks like.

    Attributes:
        spacing_mm: Median voxel size along right, anterior, superior.
        shape: Median size in voxels of that spacing.
        modality: ``CT`` or anything else.
        window: Lowest and highest value that matter inside labelled voxels.
        mean, std: Of the values inside labelled voxels, clipped to the window.
        values: Label values found.
        channels: Images per case.
    """

    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    modality: str
    window: tuple[float, float]
    mean: float
    std: float
    values: tuple[int, ...]
    channels: int


def take_fingerprint(dataset: Dataset, cases: Sequence[Case]) -> Fingerprint:
    """Look at (at most 40 of) the training cases.

    Raises:
        InputError: If no case has a label, or the labels are all background.
    """
    if not cases:
        raise InputError(f"{dataset.root}: must have labelled cases to train on, found none.")
    step = max(1, len(cases) // LOOKED_AT)
    generator = np.random.default_rng(0)
    spacings, extents, air, channels = [], [], [], set[int]()
    samples: list[np.ndarray] = []
    sampled_labels: list[np.ndarray] = []
    values: set[int] = set()
    for case in cases[::step][:LOOKED_AT]:
        image, label = load_case(case)
        assert label is not None
        canonical = to_canonical(image)
        spacings.append(canonical.spacing_mm)
        extents.append([n * s for n, s in zip(canonical.shape, canonical.spacing_mm, strict=True)])
        array = np.asarray(image.array, dtype=np.float32).reshape(*image.shape, -1)
        labels = np.asarray(label.array)
        inside = np.flatnonzero(labels)
        chosen = generator.choice(inside, min(VOXELS_PER_CASE, len(inside)), replace=False) if len(inside) else inside
        samples.append(array.reshape(labels.size, -1)[chosen])
        sampled_labels.append(labels.ravel()[chosen])
        air.append(float((array < AIR_HU).mean()))
        values |= {int(value) for value in np.unique(labels)}
        channels.add(image.channels)
    if not values - {0}:
        raise InputError(f"{dataset.root}: labels must hold something beside background (0), found none.")
    if len(channels) > 1:
        raise InputError(f"{dataset.root}: all cases must have equally many channels, found {sorted(channels)}.")
    foreground = np.concatenate(samples)
    spacing = _common_spacing(np.array(spacings))
    low, high = value_window(foreground, np.concatenate(sampled_labels))
    return Fingerprint(
        spacing_mm=_triple(spacing, float),
        shape=_triple(np.maximum(1, np.round(np.median(extents, axis=0) / spacing)), int),
        modality=dataset.modality or ("CT" if np.median(air) > 0.02 else "MR"),
        window=(low, high),
        mean=float(np.clip(foreground, low, high).mean()),
        std=float(max(np.clip(foreground, low, high).std(), 1e-6)),
        values=tuple(sorted(values - {0})),
        channels=channels.pop(),
    )


def plan_data(
    dataset: Dataset,
    fingerprint: Fingerprint,
    *,
    patch_voxels: int | None = None,
    volume_voxels: int | None = None,
    slices: bool = False,
) -> dict[str, Any]:
    """The `data` part of a configuration.

    Args:
        dataset: The data set.
        fingerprint: What it looks like.
        patch_voxels: How many voxels a patch may have (None: a 64th of the volume, but 2^17 to 2^20).
        volume_voxels: Voxels a whole volume may have after resampling (None: keep the median spacing). A coarser
            spacing lets a small network on a small machine see enough of the body.
        slices: Whether patches are axial slices, for networks in two dimensions.
    """
    spacing, shape = np.array(fingerprint.spacing_mm), np.array(fingerprint.shape)
    if volume_voxels is not None and shape.prod() > volume_voxels:
        target = (np.prod(shape * spacing) / volume_voxels) ** (1 / 3)
        coarser = np.maximum(spacing, target)
        for _ in range(8):  # axes that are coarse already stay; the others share what is left
            ratio = (np.prod(shape * spacing / coarser) / volume_voxels) ** (1 / 2)
            coarser = np.where(coarser > spacing, np.maximum(spacing, coarser * ratio), coarser)
        shape, spacing = np.maximum(1, np.round(shape * spacing / coarser)), coarser
    if slices:
        shape[2] = 1
    if patch_voxels is None:
        patch_voxels = int(np.clip(shape.prod() // PATCH_PART, FEWEST_PATCH_VOXELS, MOST_PATCH_VOXELS))
    names = dataset.label_names or {value: f"label {value}" for value in fingerprint.values}
    return {
        "root": str(dataset.root.resolve()),
        "label_names": dict(names),
        "channels": fingerprint.channels,
        "spacing_mm": [round(float(value), 4) for value in spacing],
        "patch_size": list(plan_patch(tuple(int(n) for n in shape), patch_voxels)),
        "intensity": _plan_intensity(fingerprint),
    }


def plan_patch(shape: tuple[int, ...], voxels: int, multiple: int = MULTIPLE) -> tuple[int, ...]:
    """The largest patch within a number of voxels that lies inside the volume, each axis a multiple of ``multiple``.

    The axis of which the patch covers most is shortened first, so that the patch keeps the volume's shape. An axis
    shorter than the multiple (a slice, a slab) keeps its size.
    """
    patch = [n if n < multiple else n // multiple * multiple for n in shape]
    while np.prod(patch) > voxels:
        long = [axis for axis, width in enumerate(patch) if width > multiple]
        if not long:
            break
        patch[max(long, key=lambda axis: (patch[axis] / shape[axis], patch[axis]))] -= multiple
    return tuple(patch)


def plan_pooling(patch: tuple[int, ...], spacing_mm: tuple[float, ...], levels: int) -> list[list[int]]:
    """Pooling per level: axes are halved while they are fine and long enough, so that voxels become even.

    An axis pauses while its voxel is more than twice the finest one's, or when it has fewer than 8 voxels left.
    """
    size, spacing, pooling = np.array(patch, float), np.array(spacing_mm, float), []
    for _ in range(levels):
        pool = (size >= 8) & (spacing <= 2 * spacing[size >= 8].min(initial=np.inf))
        factor = np.where(pool, 2, 1)
        if (factor == 1).all():
            break
        size, spacing = np.ceil(size / factor), spacing * factor
        pooling.append([int(value) for value in factor])
    return pooling


def value_window(values: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The range that holds every structure's usual values, whatever a few of its voxels are.

    Within the 0.5th to 99.5th percentile of all (nnU-Net's rule, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z),
    and within five standard deviations, estimated from the median absolute deviation, of some structure's median: gas
    in a stomach or a clip in a vessel would else take up most of the range and leave the soft tissues little contrast.

    Args:
        values: (voxel, channel), inside labelled voxels.
        labels: (voxel,), which structure each belongs to.
    """
    low, high = np.percentile(values, [0.5, 99.5])
    ranges = []
    for value in np.unique(labels):
        own = values[labels == value]
        middle = float(np.median(own))
        spread = WINDOW_SPREADS * 1.4826 * float(np.median(np.abs(own - middle)))
        ranges.append((middle - spread, middle + spread))
    lower, upper = max(low, min(a for a, _ in ranges)), min(high, max(b for _, b in ranges))
    return (float(lower), float(upper)) if lower < upper else (float(low), float(high))


def _common_spacing(spacings: np.ndarray) -> np.ndarray:
    median = np.median(spacings, axis=0)
    thick = int(median.argmax())
    if median[thick] > ANISOTROPIC * median.min():
        median[thick] = np.percentile(spacings[:, thick], 10)
    return median


def _plan_intensity(fingerprint: Fingerprint) -> dict[str, Any]:
    if fingerprint.modality.upper() != "CT":
        return {"kind": "z_score"}
    low, high = fingerprint.window
    mean, std = fingerprint.mean, fingerprint.std
    return {
        "kind": "ct_window",
        "low": round(low, 1),
        "high": round(high, 1),
        "mean": round(mean, 2),
        "std": round(std, 2),
    }


def _triple(values: np.ndarray, kind: type) -> Any:
    return tuple(kind(value) for value in values)
