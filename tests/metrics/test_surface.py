"""Surface distances: brute force, the values of google-deepmind/surface-distance, MONAI, laws, errors."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice
from safetensors.numpy import load_file

from saccade.errors import InputError
from saccade.metrics import hausdorff, hausdorff95, surface_dice, surface_distance, surface_distances

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "surface_distance").glob("*.safetensors"))
SPACINGS = st.floats(0.3, 5.0).map(lambda x: round(x, 2))


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Two masks that are not empty, in 2D or 3D, and a spacing."""
    shape = draw(array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7))
    mask = arrays(bool, shape, elements=st.booleans()).filter(lambda m: bool(m.any()))
    return draw(mask), draw(mask), draw(st.tuples(*[SPACINGS] * len(shape)))


def brute_surface(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Positions in mm of the voxels that have a face neighbour outside, voxel by voxel."""
    inside = {tuple(map(int, index)) for index in np.argwhere(mask)}
    steps = [tuple(sign * int(axis == k) for k in range(mask.ndim)) for axis in range(mask.ndim) for sign in (-1, 1)]
    surface = [p for p in sorted(inside) if any(tuple(np.add(p, s)) not in inside for s in steps)]
    return np.array(surface) * np.array(spacing)


def brute_distances(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    points_a, points_b = brute_surface(a, spacing), brute_surface(b, spacing)
    table = np.sqrt(((points_a[:, None] - points_b[None]) ** 2).sum(-1))
    return table.min(1), table.min(0)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_equals_brute_force(case):
    a, b, spacing = case
    to_b, to_a = brute_distances(a, b, spacing)
    pooled = np.concatenate([to_b, to_a])
    assert surface_distance(a, b, spacing) == pytest.approx(pooled.mean(), abs=1e-9)
    assert hausdorff95(a, b, spacing) == pytest.approx(max(np.percentile(to_b, 95), np.percentile(to_a, 95)), abs=1e-9)
    assert hausdorff(a, b, spacing) == pytest.approx(pooled.max(), abs=1e-9)
    for tolerance in (0.0, 1.0, 2.5):
        share = np.mean(pooled <= tolerance + 1e-9)
        assert surface_dice(a, b, spacing, tolerance_mm=tolerance) == pytest.approx(share, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(cases(), st.sampled_from(["voxel", "area"]))
def test_laws(case, definition):
    """Symmetric; the same in any order of axes and after flips; equal masks are perfect; scaled with the spacing."""
    a, b, spacing = case
    for score in (surface_distance, hausdorff95, surface_dice):
        value = score(a, b, spacing, definition=definition)
        assert score(b, a, spacing, definition=definition) == pytest.approx(value, abs=1e-9)
        turned = score(a.T[::-1], b.T[::-1], spacing[::-1], definition=definition)
        assert turned == pytest.approx(value, abs=1e-9)
        assert score(a, a, spacing, definition=definition) == (1 if score is surface_dice else 0)
    double = tuple(2 * s for s in spacing)
    value = surface_distance(a, b, spacing, definition=definition)
    assert surface_distance(a, b, double, definition=definition) == pytest.approx(2 * value, abs=1e-9)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_area_equals_published_code(path):
    golden = load_file(path)
    truth, prediction = golden["input.gt"], golden["input.pred"]
    spacing = tuple(map(float, golden["input.spacing"]))
    found = surface_distances(prediction, truth, spacing, definition="area")
    for distances, sizes, direction, name in (
        (found.to_prediction, found.truth_sizes, "gt_to_pred", "gt"),
        (found.to_truth, found.prediction_sizes, "pred_to_gt", "pred"),
    ):
        ours = sorted(zip(distances.round(9), sizes.round(9), strict=True))
        published = golden[f"output.distances_{direction}"], golden[f"output.surfel_areas_{name}"]
        theirs = sorted(zip(*(values.round(9) for values in published), strict=True))
        assert np.allclose(np.array(ours), np.array(theirs), atol=1e-8)
    if not prediction.any():
        return
    means = golden["output.average_surface_distance"]
    areas = found.truth_sizes.sum(), found.prediction_sizes.sum()
    pooled = surface_distance(prediction, truth, spacing, definition="area")
    assert pooled == pytest.approx(np.average(means, weights=areas), abs=1e-9)
    for percent in (50, 90, 95, 100):
        value = hausdorff(prediction, truth, spacing, percent=percent, definition="area")
        assert value == pytest.approx(golden[f"output.robust_hausdorff_{percent}"], abs=1e-9)
    for tolerance in (0.0, 0.5, 1.0, 2.0, 3.0):
        value = surface_dice(prediction, truth, spacing, tolerance_mm=tolerance, definition="area")
        assert value == pytest.approx(golden[f"output.surface_dice_{tolerance}"], abs=1e-9)


def test_goldens_are_there():
    assert len(GOLDEN) == 11


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_voxel_equals_monai():
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.random((2, 11, 7, 5)) < 0.3
        spacing = tuple(map(float, rng.uniform(0.5, 4, 3)))
        theirs = [torch.from_numpy(np.stack([~mask, mask])[None].astype(np.float32)) for mask in (a, b)]
        distance = compute_average_surface_distance(*theirs, symmetric=True, spacing=spacing)
        hd95 = compute_hausdorff_distance(*theirs, percentile=95, spacing=spacing)
        dice = compute_surface_dice(*theirs, class_thresholds=[1.0], spacing=spacing)
        assert surface_distance(a, b, spacing) == pytest.approx(float(distance), abs=1e-5)
        assert hausdorff95(a, b, spacing) == pytest.approx(float(hd95), abs=1e-5)
        assert surface_dice(a, b, spacing) == pytest.approx(float(dice), abs=1e-6)


def test_worked_by_hand():
    """Two rows of 3 pixels, two apart in steps of 1.5 mm and shifted by one pixel of 2 mm."""
    a, b = np.zeros((5, 7), bool), np.zeros((5, 7), bool)
    a[0, 0:3] = True
    b[2, 1:4] = True
    # columns 1 and 2 face each other at 3 mm; columns 0 and 3 see the nearest end, 3 down and 2 aside
    far = math.hypot(3, 2)
    assert surface_distance(a, b, (1.5, 2)) == pytest.approx((4 * 3 + 2 * far) / 6)
    # 95th percentile of (3, 3, far): nine tenths of the way from the second to the third
    assert hausdorff95(a, b, (1.5, 2)) == pytest.approx(3 + 0.9 * (far - 3))
    assert surface_dice(a, b, (1.5, 2), tolerance_mm=3) == pytest.approx(4 / 6)


def test_tolerance_holds_what_lies_on_it():
    """3 * 0.1 is 0.30000000000000004 in floating point."""
    a, b = np.zeros((7, 1), bool), np.zeros((7, 1), bool)
    a[0], b[3] = True, True
    assert surface_dice(a, b, (0.1, 1.0), tolerance_mm=0.3) == 1


@pytest.mark.parametrize("definition", ["voxel", "area"])
def test_empty_masks(definition):
    mask, nothing = np.zeros((5, 7, 11), bool), np.zeros((5, 7, 11), bool)
    mask[0, 0, 0] = True
    spacing = (2.0, 1.0, 0.5)
    diagonal = math.sqrt(10**2 + 7**2 + 5.5**2)
    for a, b in ((mask, nothing), (nothing, mask)):
        assert surface_distance(a, b, spacing, definition=definition) == pytest.approx(diagonal)
        assert hausdorff95(a, b, spacing, definition=definition) == pytest.approx(diagonal)
        assert surface_dice(a, b, spacing, definition=definition) == 0
    for score in (surface_distance, hausdorff95, surface_dice):
        assert math.isnan(score(nothing, nothing, spacing, definition=definition))
    found = surface_distances(mask, nothing, spacing, definition=definition)
    assert np.isinf(found.to_truth).all()
    assert found.to_prediction.size == 0


@pytest.mark.parametrize("definition", ["voxel", "area"])
def test_no_distance_reaches_the_diagonal(definition):
    a, b = np.zeros((5, 7, 11), bool), np.zeros((5, 7, 11), bool)
    a[0, 0, 0], b[-1, -1, -1] = True, True
    worst = surface_distance(a, np.zeros_like(a), (2.0, 1.0, 0.5), definition=definition)
    assert hausdorff(a, b, (2.0, 1.0, 0.5), definition=definition) < worst


def test_errors_in_full():
    a = np.ones((2, 3), bool)
    volume = np.ones((2, 3, 5, 7), bool)
    wrong = {
        "surface_distance: prediction and truth must have one shape, got (2, 3) and (3, 2).": lambda: surface_distance(
            a, a.T, (1, 1)
        ),
        "hausdorff: spacing_mm must be 2 positive numbers, one per axis, got (1, 1, 1).": lambda: hausdorff95(
            a, a, (1, 1, 1)
        ),
        "hausdorff: percent must lie in 0..100, got 101.": lambda: hausdorff(a, a, (1, 1), percent=101),
        "surface_dice: tolerance_mm must be 0 or more, got -1.": lambda: surface_dice(a, a, (1, 1), tolerance_mm=-1),
        "surface_distances: unknown definition 'vowel'. Did you mean 'voxel'? Known: voxel, area.": (
            lambda: surface_distance(a, a, (1, 1), definition="vowel")
        ),
        "surface_distances: definition='area' must have arrays of 2 or 3 axes, got 4.": lambda: surface_distances(
            volume, volume, (1, 1, 1, 1), definition="area"
        ),
    }
    for message, call in wrong.items():
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == message
