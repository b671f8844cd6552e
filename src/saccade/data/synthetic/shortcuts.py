"""What trivial methods score on a data set: nobody should mistake an easy phantom for a good method."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from saccade.data.layout_labels import read_label_names
from saccade.data.orient import to_canonical
from saccade.data.volume import read_volume
from saccade.errors import InputError

BODY_HU = -300.0  # above it is the body, below it the air around
HU_EDGES = np.arange(-200.0, 405.0, 10.0)  # candidates for the ends of a window
SMOOTH_VOXELS = 0.7  # denoises before the threshold, which makes that shortcut better
PRIOR_SHAPE = (64, 64, 64)  # grid of the position prior over the body's box
PRIOR_SMOOTH = 1.3
LEVELS = np.linspace(0.1, 0.8, 8)  # candidates for the prior's threshold


@dataclass(frozen=True)
class _Scan:
    """Voxels in a row.

    Attributes:
        window: Into which interval between candidate ends the HU falls; 0 is below the first.
        label: The organ's number.
        place: Flat index into the prior's grid.
    """

    window: np.ndarray
    label: np.ndarray
    place: np.ndarray


def shortcut_scores(root: Path | str) -> dict[str, dict[str, float]]:
    """Mean Dice of three shortcuts, fitted on the first half of the cases and scored on the others.

    "threshold": the best HU window; "position": where the organ was in the other bodies, in coordinates of the body's
    box; "both": inside a window and where the position is likely.

    Args:
        root: A folder that `make_abdomen` has written, with at least 2 cases.

    Returns:
        Shortcut -> organ -> mean Dice over the held-out cases that have the organ (NaN where none has it).

    Raises:
        InputError: If there are fewer than 2 cases, or a label map is missing.
    """
    root = Path(root)
    names = read_label_names(root / "labels.json")
    scans = [_read(image) for image in sorted((root / "Training" / "img").glob("img*.nii.gz"))]
    if len(scans) < 2:
        raise InputError(f"{root}: shortcuts need at least 2 cases in Training/img, found {len(scans)}.")
    scores: dict[str, dict[str, float]] = {"threshold": {}, "position": {}, "both": {}}
    for number, name in names.items():
        prior = _prior(scans[: len(scans) // 2], number)
        tables = [_counts(scan, number, prior) for scan in scans]
        scores["threshold"][name] = _held_out([_dice(table[:1]) for table in tables])
        scores["position"][name] = _held_out([_dice(table[1:, :, [0, -1]]) for table in tables])
        scores["both"][name] = _held_out([_dice(table[1:]) for table in tables])
    return scores


def _read(image: Path) -> _Scan:
    labels = read_volume(image.parents[1] / "label" / image.name.replace("img", "label", 1))
    hu = to_canonical(read_volume(image)).array.astype(np.float32)
    body = hu > BODY_HU
    places = []
    for axis, cells in enumerate(PRIOR_SHAPE):
        others = tuple(other for other in range(3) if other != axis)
        inside = np.flatnonzero(body.mean(axis=others) > 0.01)
        first, last = (inside[0], inside[-1]) if len(inside) else (0, hu.shape[axis] - 1)
        place = (np.arange(hu.shape[axis]) - first) / max(1, last - first) * (cells - 1)
        places.append(np.clip(np.rint(place).astype(int), 0, cells - 1))
    flat = np.ravel_multi_index(np.ix_(*places), PRIOR_SHAPE)
    window = np.searchsorted(HU_EDGES, gaussian_filter(hu, SMOOTH_VOXELS).ravel(), side="right")
    return _Scan(window, to_canonical(labels).array.ravel(), np.broadcast_to(flat, hu.shape).ravel())


def _prior(scans: list[_Scan], number: int) -> np.ndarray:
    """How often each place of the body's box held the organ, 0 to 1, in a row."""
    cells = int(np.prod(PRIOR_SHAPE))
    organ = sum(np.bincount(scan.place[scan.label == number], minlength=cells) for scan in scans)
    seen = sum(np.bincount(scan.place, minlength=cells) for scan in scans)
    organ, seen = (
        gaussian_filter(np.reshape(count, PRIOR_SHAPE).astype(float), PRIOR_SMOOTH, mode="constant")
        for count in (organ, seen)
    )
    return (organ / np.maximum(seen, 1e-6)).ravel()


def _counts(scan: _Scan, number: int, prior: np.ndarray) -> np.ndarray:
    """Marked voxels and hits below each HU edge, for no prior and for each of its levels: (1 + levels, 2, 2 + edges).

    The last entry along the edges counts all; the organ's own size stands, as hits without a prior, in every row.
    """
    likely = prior[scan.place]
    organ = scan.label == number
    rows = []
    for level in (-np.inf, *LEVELS):
        chosen = likely >= level
        count = [np.bincount(scan.window[mask], minlength=len(HU_EDGES) + 1) for mask in (chosen, chosen & organ)]
        rows.append(np.cumsum(np.pad(count, ((0, 0), (1, 0))), axis=1))
    return np.concatenate([np.stack(rows), np.full((len(rows), 1, len(HU_EDGES) + 2), organ.sum())], axis=1)


def _dice(counts: np.ndarray) -> np.ndarray:
    """Dice for each row and each pair of window ends: (rows, ends, ends); NaN for a scan without the organ."""
    marked, hit, size = (counts[:, which] for which in range(3))
    both = (hit[:, None, :] - hit[:, :, None]).clip(0)
    total = (marked[:, None, :] - marked[:, :, None]).clip(0) + size[:, :1, None]
    if not size.any():
        return np.full(both.shape, np.nan)
    return 2 * both / total


def _held_out(tables: list[np.ndarray]) -> float:
    """Mean over the second half of the scans, of the choice that is best on the first half."""
    half = len(tables) // 2
    fitted = [table for table in tables[:half] if not np.isnan(table).any()]
    others = [table for table in tables[half:] if not np.isnan(table).any()]
    if not fitted or not others:
        return float("nan")
    best = int(np.argmax(np.mean(fitted, axis=0)))
    return float(np.mean([table.ravel()[best] for table in others]))
