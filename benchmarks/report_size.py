"""Size of the report of full-size CTs, and the pixels in which it shows them.

    python benchmarks/report_size.py [--cases 10] [--finer 2] [--json FILE]

Simulated abdomens of 256 x 256 x 118 voxels, each voxel parted into ``--finer`` in-plane (512 x 512), held out of a
training of one step: what the network knows does not matter here. The script stops unless the page stays below 80 MB.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from saccade.data.synthetic.abdomen import make_abdomen
from saccade.data.volume import Volume, read_volume, write_volume
from saccade.report import write_report
from saccade.runs import start_run
from saccade.tasks.begin import Split
from saccade.tasks.environment import machine

LIMIT_MB = 80.0
STEP = {"training": {"epochs": 1, "steps_per_epoch": 1}}


def make_finer(data: Path, times: int) -> None:
    """Part the voxels of all scans and label maps in-plane, noise and all."""
    for path in sorted((data / "Training").rglob("*.nii.gz")):
        volume = read_volume(path)
        across = int(np.argmin(volume.array.shape))
        scale = np.ones(4)
        for axis in {0, 1, 2} - {across}:
            volume = replace(volume, array=volume.array.repeat(times, axis))
            scale[axis] = 1 / times
        write_volume(Volume(volume.array, volume.affine @ np.diag(scale)), path)


def main() -> None:
    """Make the cases, train, write the page, print its size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--finer", type=int, default=2, help="parts of each voxel along each axis in-plane")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "data", Path(folder) / "run"
        make_abdomen(data, cases=given.cases + 1, seed=0, size="full")
        make_finer(data, given.finer)
        names = sorted(path.name.removesuffix(".nii.gz") for path in (data / "Training" / "img").iterdir())
        split = Split((names[0],), tuple(names[1:]))
        start_run("attention-unet", data, run, preset="tiny", split=split, resume=False, overrides=STEP, say=print)
        shape = read_volume(data / "Training" / "img" / f"{names[-1]}.nii.gz").array.shape
        began = time.perf_counter()
        page = write_report(run)
        seconds, megabytes = time.perf_counter() - began, page.stat().st_size / 1e6
    print(f"{machine()}; {given.cases} scans of {' x '.join(map(str, shape))} voxels")
    print(f"the page has {megabytes:.1f} MB, written in {seconds:.0f} s")
    if given.json:
        result = {"cases": given.cases, "shape": shape, "megabytes": megabytes, "seconds": seconds}
        given.json.write_text(json.dumps({"machine": machine(), **result}, indent=2) + "\n")
    if megabytes > LIMIT_MB:
        raise SystemExit(f"The page must stay below {LIMIT_MB:g} MB.")


if __name__ == "__main__":
    main()
