"""Seconds to score 13 organs in a 256 x 256 x 96 volume: Saccade, MONAI, google-deepmind/surface-distance.

    python benchmarks/metrics.py [--repeats 3] [--json FILE]

Saccade computes all its seven metrics; the others their surface metrics alone (mean distance, HD95, surface Dice).
All read the same two label maps. Where the definitions are the same, the script stops unless the results agree.
``pip install surface-distance`` adds the third column; without it the script says so and goes on.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import monai
import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

from saccade.metrics import hausdorff95, score_labels, surface_dice, surface_distances

try:
    import surface_distance as deepmind
    from surface_distance import metrics as deepmind_metrics
except ImportError:
    deepmind = None

SHAPE = (256, 256, 96)
SPACING_MM = (0.9, 0.9, 2.5)
ORGANS = 13
TOLERANCE_MM = 1.0

Result = dict[int, tuple[float, float, float]]


def organs(seed: int, shape: tuple[int, ...], misplaced_mm: float) -> np.ndarray:
    """Thirteen ellipsoids of the sizes of abdominal organs, each off by a random shift of this spread."""
    places = np.random.default_rng(7)
    errors = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    grid = np.ogrid[tuple(slice(size) for size in shape)]
    extent = np.array(shape) * SPACING_MM
    for label, radius_mm in zip(range(1, ORGANS + 1), np.geomspace(60, 8, ORGANS), strict=True):
        centre = places.uniform(0.3, 0.7, len(shape)) * extent + errors.normal(0, misplaced_mm, len(shape))
        radii = radius_mm * places.uniform(0.7, 1.0, len(shape)) * errors.normal(1, 0.03, len(shape))
        axes = zip(grid, SPACING_MM, centre, radii, strict=True)
        labels[sum(((g * step - c) / r) ** 2 for g, step, c, r in axes) <= 1] = label
    return labels


def run_saccade(prediction: np.ndarray, truth: np.ndarray) -> Result:
    scores = score_labels(prediction, truth, range(1, ORGANS + 1), SPACING_MM, tolerance_mm=TOLERANCE_MM)
    return {k: (s["surface_distance_mm"], s["hd95_mm"], s["surface_dice"]) for k, s in scores.items()}


def run_monai(prediction: np.ndarray, truth: np.ndarray) -> Result:
    a, b = (
        torch.nn.functional.one_hot(torch.from_numpy(m).long(), ORGANS + 1).movedim(-1, 0)[None]
        for m in (prediction, truth)
    )
    distance = compute_average_surface_distance(a, b, symmetric=True, spacing=SPACING_MM)[0]
    hd95 = compute_hausdorff_distance(a, b, percentile=95, spacing=SPACING_MM)[0]
    dice = compute_surface_dice(a, b, class_thresholds=[TOLERANCE_MM] * ORGANS, spacing=SPACING_MM)[0]
    return {k + 1: (float(distance[k]), float(hd95[k]), float(dice[k])) for k in range(ORGANS)}


def run_deepmind(prediction: np.ndarray, truth: np.ndarray) -> Result:
    result = {}
    for label in range(1, ORGANS + 1):
        found = deepmind.compute_surface_distances(truth == label, prediction == label, SPACING_MM)
        areas = found["surfel_areas_gt"].sum(), found["surfel_areas_pred"].sum()
        result[label] = (
            float(np.average(deepmind.compute_average_surface_distance(found), weights=areas)),
            float(deepmind.compute_robust_hausdorff(found, 95)),
            float(deepmind.compute_surface_dice_at_tolerance(found, TOLERANCE_MM)),
        )
    return result


def run_saccade_area(prediction: np.ndarray, truth: np.ndarray) -> Result:
    """The same numbers as `run_deepmind`, for the comparison of results."""
    result = {}
    for label in range(1, ORGANS + 1):
        a, b = prediction == label, truth == label
        result[label] = (
            surface_distances(a, b, SPACING_MM, definition="area").mean(),
            hausdorff95(a, b, SPACING_MM, definition="area"),
            surface_dice(a, b, SPACING_MM, tolerance_mm=TOLERANCE_MM, definition="area"),
        )
    return result


def seconds(
    run: Callable[[np.ndarray, np.ndarray], Result], case: tuple[np.ndarray, np.ndarray], repeats: int
) -> float:
    """Best of several runs: the others measure the machine's other work."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(*case)
        times.append(time.perf_counter() - start)
    return min(times)


def agree(a: Result, b: Result, tolerance: float) -> None:
    """Stop with the numbers unless two results are the same."""
    difference = max(abs(x - y) for label in a for x, y in zip(a[label], b[label], strict=True))
    if not difference <= tolerance:
        raise SystemExit(f"The results differ by {difference}:\n{a}\n{b}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, of which the fastest counts")
    parser.add_argument("--json", type=Path, help="write the seconds here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    case = organs(1, SHAPE, misplaced_mm=2.0), organs(2, SHAPE, misplaced_mm=0.0)

    agree(run_saccade(*case), run_monai(*case), 1e-4)  # MONAI computes in float32
    times = {"saccade, 7 metrics": seconds(run_saccade, case, options.repeats)}
    times[f"MONAI {monai.__version__}, 3 metrics"] = seconds(run_monai, case, options.repeats)
    if deepmind is None:
        print("surface-distance is not installed and left out; `pip install surface-distance` adds it.")
    else:
        # The release on the package index names np.Inf and np.NaN, which NumPy 2 no longer has.
        deepmind_metrics.np.Inf, deepmind_metrics.np.NaN = np.inf, np.nan
        agree(run_saccade_area(*case), run_deepmind(*case), 1e-6)
        times["surface-distance, 3 metrics"] = seconds(run_deepmind, case, options.repeats)

    ours = next(iter(times.values()))
    print(f"{ORGANS} organs in {SHAPE} at {SPACING_MM} mm; {os.cpu_count()} x {processor()}, Python, 1 thread")
    print(f"{'':32}{'seconds':>10}{'ratio':>10}")
    for name, value in times.items():
        print(f"{name:32}{value:10.3f}{value / ours:10.1f}")
    if options.json:
        options.json.write_text(json.dumps({"seconds": times, "machine": processor()}, indent=2) + "\n")


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
