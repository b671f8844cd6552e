"""What can be told of simulated lungs without seeing their texture: it must be little."""

from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from saccade.data.classification.table import read_rows
from saccade.data.volume import read_volume
from saccade.errors import InputError

PENALTIES = np.logspace(-2, 5, 15)
HU_EDGES = np.arange(-1024.0, -500.0, 25.0)
BLOCK = 8  # voxels of the coarse image
TEXTURE = "texture by hand"


def lung_shortcuts(train: Path | str, test: Path | str) -> dict[str, dict[str, float]]:
    """How well linear regressions on simple features tell the diseased part of unseen lungs.

    "volume and density": the lungs' volume, mean and deviation; "histogram": the share of voxels in steps of 25 HU;
    "coarse image": means over blocks of 8 voxels. They are given the true lungs, which networks are not. The last,
    "texture by hand", is no shortcut but the answer: how alike neighbouring voxels are, for one who knows the
    simulation.

    Args:
        train: A folder that `saccade.data.synthetic.lungs.make` has written.
        test: Another, of another seed.

    Returns:
        Features -> ``r2`` of the extent and ``auroc`` of the disease on the test cases.

    Raises:
        InputError: If a folder holds no such set, or one has too few cases.
    """
    (fitted, extents), (unseen, truth) = _read(Path(train)), _read(Path(test))
    found = {}
    for name, table in fitted.items():
        model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(table, extents)
        said = model.predict(unseen[name])
        found[name] = {"r2": float(r2_score(truth, said)), "auroc": float(roc_auc_score(truth > 0, said))}
    return found


def _read(root: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Features by name, a row for each case, and the extents."""
    rows = read_rows(root / "lungs.csv")[1]
    extents = np.array([float(row["target_extent"]) for row in rows])
    if len(np.unique(extents > 0)) < 2:
        raise InputError(f"{root}: shortcuts need healthy and diseased lungs, make more --cases.")
    tables: dict[str, list[np.ndarray]] = {}
    for row in rows:
        image = read_volume(root / "images" / row["image"]).array.astype(np.float32)
        lungs = read_volume(root / "truth" / row["image"]).array > 0
        for name, values in _features(image, lungs).items():
            tables.setdefault(name, []).append(values)
    return {name: np.stack(values) for name, values in tables.items()}, extents


def _features(image: np.ndarray, lungs: np.ndarray) -> dict[str, np.ndarray]:
    values = image[lungs]
    blocks = image.reshape(*(part for n in image.shape for part in (n // BLOCK, BLOCK))).mean((1, 3, 5))
    return {
        "volume and density": np.array([lungs.sum(), values.mean(), values.std()]),
        "histogram": np.histogram(values, HU_EDGES)[0] / values.size,
        "coarse image": blocks.ravel(),
        TEXTURE: np.array([_neighbours(image, lungs)]),
    }


def _neighbours(image: np.ndarray, lungs: np.ndarray) -> float:
    """Correlation of voxels of the lungs with their neighbours along the first axis."""
    both = lungs[1:] & lungs[:-1]
    return float(np.corrcoef(image[1:][both], image[:-1][both])[0, 1])
