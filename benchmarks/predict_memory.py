"""Memory, time and labels of a prediction: Saccade's finished pieces beside MONAI's sliding window and argmax.

    python benchmarks/predict_memory.py [--scale 0.5] [--channels 16 32 64 128] [--json FILE]

Two cases: 192 x 192 x 192 voxels with 118 classes, and 512 x 512 x 300 with 14, both in windows of 96 x 96 x 96 that
overlap by half, through an attention U-Net with random weights. Each figure is the most memory that a process of its
own held. "network" is one window and nothing else: what lies above it is the price of the volume. The script stops
unless Saccade's labels equal those of the plain way (all scores of all voxels of the same network, arranged as Saccade
arranges it, then argmax) in every voxel. MONAI's windows lie elsewhere, and its network is as it was trained: how many
of its labels agree is printed. ``--scale`` shortens every side for a quick look, ``--case`` and ``--ways`` leave out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

WIDTH, OVERLAP = 96, 0.5
CASES = {"192 x 192 x 192, 118 classes": ((192, 192, 192), 118), "512 x 512 x 300, 14 classes": ((512, 512, 300), 14)}
WAYS = ("network", "saccade", "plain", "monai")
MEGABYTE = 1e6


def measure(way: str, shape: tuple[int, ...], classes: int, width: int, channels: list[int], labels: Path) -> dict:
    """Run one way in this process; its labels go to a file."""
    import torch

    from saccade.data.volume import Volume
    from saccade.networks import AttentionUNet
    from saccade.networks.inference import for_inference
    from saccade.tasks.environment import peak_memory_bytes
    from saccade.tasks.segmentation.config import SegmentationConfig
    from saccade.tasks.segmentation.predictor import SegmentationPredictor
    from saccade.tasks.segmentation.windows import apply_windows

    torch.manual_seed(0)
    network = AttentionUNet(1, classes, channels=channels).eval()
    scan = Volume(np.random.default_rng(0).normal(0, 300, shape).astype(np.int16), np.diag([1.0, 1.0, 1.0, 1.0]))
    data = {
        "root": ".",
        "label_names": {value: f"organ {value}" for value in range(1, classes)},
        "patch_size": (width,) * 3,
        "intensity": {"kind": "ct_window", "low": -1000, "high": 1000, "std": 300},
    }
    values = {"system": "attention-unet", "data": data, "inference": {"overlap": OVERLAP}}
    config = SegmentationConfig.parse({**values, "training": {"precision": "32-true"}}, "benchmark")
    start, expected = time.perf_counter(), None
    with torch.inference_mode():
        if way == "network":
            network(torch.zeros(1, 1, *(width,) * 3))
        elif way == "saccade":
            predictor = SegmentationPredictor(network, config)
            expected = predictor.expected_peak_bytes(scan)
            np.save(labels, predictor.segment(scan).labels.array)
        else:
            image = torch.from_numpy(scan.array.astype(np.float32))[None].clamp_(-1000, 1000).div_(300)
            if way == "plain":
                arranged = for_inference(network)
                (scores,) = apply_windows(lambda x: [arranged(x)], image, (width,) * 3, overlap=OVERLAP)
            else:
                from monai.inferers import sliding_window_inference

                scores = sliding_window_inference(image[None], (width,) * 3, 1, network, OVERLAP, mode="gaussian")[0]
            np.save(labels, scores.argmax(0).numpy().astype(np.uint8))
    return {"peak": peak_memory_bytes(), "expected": expected, "seconds": time.perf_counter() - start}


def in_a_process_of_its_own(*arguments: object) -> dict:
    """What `measure` says in a new process."""
    command = [sys.executable, __file__, "--measure", json.dumps(arguments, default=str)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def compare(
    name: str, shape: tuple[int, ...], classes: int, width: int, channels: list[int], ways: Sequence[str] = WAYS
) -> dict:
    """Ways on one case, the network's alone among them, printed.

    Raises:
        SystemExit: If Saccade's labels are not the plain way's.
    """
    print(f"\n{name}: {shape} in windows of {width}, channels {channels}")
    print(f"{'':10}{'peak MB':>10}{'above network':>15}{'expected':>10}{'seconds':>9}{'labels as plain':>17}")
    found: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ways:
            found[way] = in_a_process_of_its_own(way, shape, classes, width, channels, Path(folder) / f"{way}.npy")
        labels = {way: np.load(Path(folder) / f"{way}.npy") for way in ways if way != "network"}
    for way, figures in found.items():
        above = (figures["peak"] - found["network"]["peak"]) / MEGABYTE
        expected = f"{figures['expected'] / MEGABYTE:10.0f}" if figures["expected"] else " " * 10
        same = f"{100 * (labels[way] == labels['plain']).mean():15.4f} %" if "plain" in ways and way in labels else ""
        print(f"{way:10}{figures['peak'] / MEGABYTE:10.0f}{above:15.0f}{expected}{figures['seconds']:9.1f}{same:>17}")
    if {"saccade", "plain"} <= set(ways) and (different := int((labels["saccade"] != labels["plain"]).sum())):
        raise SystemExit(f"{different} voxels have another label than the plain way gives.")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="every side times this, 0 to 1")
    parser.add_argument("--channels", type=int, nargs="+", default=[16, 32, 64, 128], help="of the network's levels")
    parser.add_argument("--case", choices=CASES, help="only this one")
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=WAYS, help="only these, and the network alone")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, shape, classes, width, channels, labels = json.loads(options.measure)
        print(json.dumps(measure(way, tuple(shape), classes, width, channels, Path(labels))))
        return
    multiple = 2 ** (len(options.channels) - 1)
    width = max(multiple, round(WIDTH * options.scale / multiple) * multiple)
    results = {}
    ways = [way for way in WAYS if way == "network" or way in options.ways]
    for name, (shape, classes) in CASES.items():
        if options.case not in (None, name):
            continue
        scaled = tuple(max(1, round(size * options.scale)) for size in shape)
        results[name] = compare(name, scaled, classes, width, options.channels, ways)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
