"""What a run left in its folder, read without the code under test; and a training that stops where it is told."""

import csv
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from saccade.tasks.segmentation.module import SegmentationModule


def history(run: Path) -> list[dict[str, str]]:
    """metrics.csv but for the time it took."""
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def same_weights(a: Path, b: Path) -> bool:
    one, two = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def held_out(run: Path) -> str:
    (case,) = json.loads((run / "splits.json").read_text("utf-8"))["validation"]
    return str(case)


def interrupt(monkeypatch, epoch: int, error: BaseException) -> None:
    """Let the second step of an epoch raise."""
    step = SegmentationModule.training_step

    def stopping(self, batch, index):
        if self.current_epoch == epoch and index == 1:
            raise error
        return step(self, batch, index)

    monkeypatch.setattr(SegmentationModule, "training_step", stopping)
