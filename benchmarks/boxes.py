"""Duplicates among boxes removed, and anchors matched: Saccade beside MONAI, on one core.

    python benchmarks/boxes.py [--boxes 10000] [--kept 1000]

Boxes lie in groups around as many places as are to be kept. The script stops unless both keep the same boxes. MONAI
has no matching outside its detection networks, which want torchvision; for `match` the time alone is printed.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from monai.data.box_utils import non_max_suppression
from torch import Tensor

from saccade.layers.anchors import pyramid_anchors
from saccade.layers.boxes import jaccard, match, non_maximum_suppression

REPEATS = 5
OVERLAP = 0.5


def groups(boxes: int, places: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Boxes in groups that overlap among themselves and no other group, and their scores."""
    generator = torch.Generator().manual_seed(seed)
    side = int(places**0.5) + 1
    number = torch.arange(boxes) % places
    centre = torch.stack([number % side, number // side], 1) * 50.0 + torch.rand(boxes, 2, generator=generator) * 4
    size = 30 + torch.rand(boxes, 2, generator=generator) * 4
    return torch.cat([centre - size / 2, centre + size / 2], 1), torch.rand(boxes, generator=generator)


def best_of(function: Callable[[], Any]) -> tuple[float, Any]:
    """Least seconds of several calls, and what the last one gave."""
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - began)
    return min(seconds), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, default=10_000)
    parser.add_argument("--kept", type=int, default=1_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    boxes, scores = groups(options.boxes, options.kept)
    ours, kept = best_of(lambda: non_maximum_suppression(boxes, scores, overlap=OVERLAP))
    theirs, others = best_of(lambda: non_max_suppression(boxes, scores, nms_thresh=OVERLAP))
    if kept.tolist() != others.tolist():
        raise SystemExit("the two keep different boxes.")
    print(f"{options.boxes:,} boxes, {len(kept):,} kept: {ours:.3f} s; MONAI {theirs:.3f} s, {theirs / ours:.1f} times")
    anchors = pyramid_anchors((512, 512))
    objects = groups(100, 100)[0]
    seconds, _ = best_of(lambda: match(jaccard(objects, anchors), 0.5, background=0.4))
    print(f"100 objects matched to {len(anchors):,} anchors: {seconds:.3f} s")


if __name__ == "__main__":
    main()
