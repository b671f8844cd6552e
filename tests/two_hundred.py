"""Predict two hundred scans of many shapes with the run given; print what the process holds after 20 and after 200."""

import gc
import json
import os
import sys
import threading
import tracemalloc

import numpy as np
import torch

import saccade
from saccade.data.volume import Volume


def held(network: torch.nn.Module, predictions: int) -> dict[str, int]:
    """Counts of the things that are forgotten to be given back."""
    gc.collect()
    alive = gc.get_objects()
    return {
        "predictions": predictions,
        "objects": len(alive),
        "tensors": sum(isinstance(one, torch.Tensor) for one in alive),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "hooks": sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in network.modules()),
        "traced": tracemalloc.get_traced_memory()[0],
    }


def main() -> None:
    """Everything is asked for each time."""
    torch.set_num_threads(1)
    predictor, rng = saccade.load(sys.argv[1]), np.random.default_rng(0)
    tracemalloc.start()
    for number in range(1, 201):
        shape = tuple(int(size) for size in rng.integers(3, 13, 3))
        scan = Volume(rng.normal(size=shape).astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0]))
        predictor.segment(scan, attention=True, probabilities=["label 1"], uncertainty=True)
        if number in (20, 200):
            print(json.dumps(held(predictor.network, number)))


if __name__ == "__main__":
    main()
