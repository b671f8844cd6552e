"""Seconds of `saccade evaluate` over many cases in one process and in several; the results must be equal.

    python benchmarks/evaluate.py [--cases 40] [--workers 2] [--json FILE]

Simulated label maps of 13 organs, 128 x 128 x 48 voxels, as gzipped NIfTI. The time is that of the whole work: reading,
scoring, intervals, and starting the processes. The script stops unless both ways give the same JSON.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from metrics import ORGANS, SPACING_MM, organs

from saccade.tasks.environment import machine
from saccade.tasks.segmentation.evaluate import evaluate_folders

SHAPE = (128, 128, 48)


def write_cases(root: Path, cases: int) -> None:
    """True label maps, and predicted ones in which each organ is off by some millimetres."""
    for name, first, misplaced_mm in (("truth", 0, 0.0), ("predicted", 10_000, 2.0)):
        (root / name).mkdir()
        for case in range(cases):
            labels = organs(first + case, SHAPE, misplaced_mm)
            nib.save(nib.Nifti1Image(labels, np.diag([*SPACING_MM, 1.0])), root / name / f"case{case:03d}.nii.gz")


def timed(root: Path, workers: int) -> tuple[float, str]:
    """Seconds, and the scores as text."""
    began = time.perf_counter()
    names = {label: f"organ {label}" for label in range(1, ORGANS + 1)}
    found = evaluate_folders(root / "predicted", root / "truth", label_names=names, workers=workers)
    return time.perf_counter() - began, json.dumps(found, sort_keys=True)


def main() -> None:
    """Score the same folders both ways and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2, help="processes that are held against one")
    parser.add_argument("--json", type=Path, help="write the seconds here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_cases(Path(folder), given.cases)
        (alone, expected), (several, found) = (timed(Path(folder), workers) for workers in (1, given.workers))
    if found != expected:
        raise SystemExit(f"The scores of {given.workers} processes differ from those of one.")
    print(f"{machine()}; {given.cases} cases of {ORGANS} organs in {SHAPE}")
    print(f"1 process {alone:.1f} s, {given.workers} processes {several:.1f} s: {several / alone:.2f} of the time")
    if given.json:
        result = {"seconds": {"1": alone, str(given.workers): several}, "ratio": several / alone, "cases": given.cases}
        given.json.write_text(json.dumps({"machine": machine(), **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
