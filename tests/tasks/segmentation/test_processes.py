"""Two processes give what one gives, at equal batches."""

import json
import os

import pytest
import torch
from run_files import history
from safetensors.torch import load_file
from tiny import train

from saccade.tasks.sampler import EpochSampler

pytestmark = pytest.mark.usefixtures("short_check")
# Adam would blow up the noise of gradients that are nearly zero
SETTINGS = [
    "training.optimiser=sgd",
    "training.learning_rate=0.05",
    "training.precision=32-true",
    "training.weight_averaging=0.9",
    "network.norm=instance",
]
WORDS = tuple(part for text in SETTINGS for part in ("--set", text))


@pytest.mark.parametrize(("batch", "processes"), [(2, 2), (6, 3), (4, 2), (3, 3)])
def test_the_parts_of_all_processes_are_the_batches_of_one(batch, processes) -> None:
    alone = list(EpochSampler(5, 4 * batch, seed=3))
    parts = [list(EpochSampler(5, 4 * batch, seed=3, share=(batch, rank, processes))) for rank in range(processes)]
    own = batch // processes
    for rank, part in enumerate(parts):
        assert len(part) == len(EpochSampler(5, 4 * batch, seed=3, share=(batch, rank, processes))) == 4 * own
    for number in range(4):
        together = [key for part in parts for key in part[number * own : (number + 1) * own]]
        assert together == alone[number * batch : (number + 1) * batch]


@pytest.mark.process
def test_two_processes_equal_one(pairs, tmp_path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    before = dict(os.environ)
    assert train(pairs, one, *WORDS, "--folds", "2") == 0  # three held out: a part of them twice
    assert train(pairs, two, *WORDS, "--folds", "2", "--devices", "2", "--accelerator", "cpu") == 0
    assert dict(os.environ) == before
    assert not torch.distributed.is_initialized()
    a, b = history(one), history(two)
    assert [row.keys() for row in a] == [row.keys() for row in b]
    for mine, theirs in zip(a, b, strict=True):
        for name in mine:
            assert float(theirs[name]) == pytest.approx(float(mine[name]), rel=1e-5, abs=1e-6), name
    first, second = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(second[name], first[name], rtol=1e-4, atol=1e-6)
    told = json.loads((two / "environment.json").read_text("utf-8"))["devices"]
    assert told == {"kind": "cpu", "count": 2, "nodes": 1}
    assert (two / "attention/epochs.npz").is_file()
    # and one process goes on where two stopped
    assert train(pairs, two, *WORDS, "--resume") == 0
