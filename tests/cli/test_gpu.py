"""A GPU that is there is used, one that is not there is one line."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from run_files import history
from tiny import train

from saccade.cli.main import main

GPU = torch.cuda.is_available()
needs_gpu = pytest.mark.skipif(not GPU, reason="torch finds no CUDA device on this machine")


@pytest.mark.skipif(GPU, reason="there is a GPU")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--accelerator", "gpu"), "--accelerator: 'gpu' cannot be used, torch finds no GPU on this machine."),
        (("train", "--accelerator", "gpu", "--devices", "2"), "--accelerator: 'gpu' cannot be used, "),
        (("predict", "--device", "cuda"), "device: 'cuda' cannot be used on this machine ("),
        (("predict", "--device", "cuda:1"), "device: 'cuda:1' cannot be used on this machine ("),
    ],
)
def test_a_gpu_that_is_not_there(trained, pairs, tmp_path, capfd, words, message) -> None:
    verb, *more = words
    out = tmp_path / "out"
    if verb == "train":
        code = train(pairs, out, *more)
    else:
        code = main(["predict", str(trained), str(pairs / "images/case0.nii.gz"), "--out", str(out), *more])
    printed, said = capfd.readouterr()
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert said.startswith(f"saccade: {message}")
    assert said.endswith(" Use cpu.\n")
    assert not out.exists()


@pytest.mark.gpu
@needs_gpu
@pytest.mark.usefixtures("short_check")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_training_on_a_gpu(pairs, tmp_path, precision) -> None:
    run = tmp_path / "run"
    assert train(pairs, run, "--accelerator", "gpu", "--set", f"training.precision={precision}") == 0
    assert json.loads((run / "environment.json").read_text("utf-8"))["devices"]["kind"] == "cuda"
    assert len(history(run)) == 2
    assert train(pairs, run, "--accelerator", "gpu", "--extend", "1", "--set", f"training.precision={precision}") == 0
    assert len(history(run)) == 3


@pytest.mark.gpu
@needs_gpu
def test_predicting_on_a_gpu_gives_the_labels_of_the_processor(trained, pairs, tmp_path) -> None:
    scan = pairs / "images/case0.nii.gz"
    for device in ("cpu", "cuda"):
        assert main(["predict", str(trained), str(scan), "--out", str(tmp_path / device), "--device", device]) == 0
    ours, theirs = (np.asarray(nib.load(tmp_path / name / scan.name).dataobj) for name in ("cpu", "cuda"))
    assert (ours == theirs).mean() > 0.99


@pytest.mark.gpu
@needs_gpu
@pytest.mark.usefixtures("short_check")
def test_auto_takes_the_gpu(pairs, tmp_path) -> None:
    assert train(pairs, tmp_path / "run") == 0
    assert json.loads((tmp_path / "run/environment.json").read_text("utf-8"))["devices"]["kind"] == "cuda"
