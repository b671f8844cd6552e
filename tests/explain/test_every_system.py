"""`saccade explain --verify` on every system of the table, in its tiny form with the weights that it begins with."""

import json
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from tiny import save

import saccade.runs
from saccade.cli.main import main
from saccade.explain import runs
from saccade.systems import SYSTEMS, find_implementation
from saccade.tasks.begin import with_plan
from saccade.tasks.settings import merge
from saccade.tasks.task import find_task

PICTURE, VOLUME, PATCH = (32, 28), (20, 18, 16), (16, 16, 16)
TASKS = ("segmentation", "classification")
OF_VOLUMES = ("nonlocal-c2d", "subject2vec", "tomogram-cnn")
# Of a network without convolutions over the whole image the default method says what to use instead.
METHODS = {"ram": "occlusion", "subject2vec": "input_gradient"}
NARROW = {
    "attention-unet": {"channels": [2, 4, 8]},
    "unet": {"channels": [2, 4, 8]},
    "homework-unet-2d": {"width": 2},
    "homework-unet-3d": {"width": 2},
}


def opened(name: str) -> object:
    """A predictor of the system's tiny preset."""
    task = SYSTEMS[name].task
    size = VOLUME if name in OF_VOLUMES else PICTURE
    data: dict = {"root": ".", "columns": ["class"], "kind": "classes", "classes": ["a", "b"], "size": size,
                  "intensity": {"kind": "z_score"}}  # fmt: skip
    if task == "segmentation":
        patch = (*PATCH[:2], 1 if name.endswith("2d") else PATCH[2])
        data = {"root": ".", "label_names": {1: "organ"}, "patch_size": patch, "spacing_mm": [1.0, 1.0, 2.0],
                "intensity": {"kind": "z_score"}}  # fmt: skip
    module, does = find_implementation(name, task=task), find_task(task)
    preset = {key: value for key, value in module.PRESETS["tiny"].items() if key != "plan"}
    config = does.Config.parse(merge({"system": name}, preset, {"data": data, "network": NARROW.get(name, {})}), name)
    config = with_plan(config, module, "cpu")
    network = saccade.runs.make_network(config)
    return does.make_predictor(network, config, Path("."), device="cpu")


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.task in TASKS])
def test_a_verdict_on_each_map(name, tmp_path, monkeypatch, capsys) -> None:
    predictor = opened(name)
    monkeypatch.setattr(saccade.runs, "load", lambda run, **_: predictor)
    monkeypatch.setattr(runs, "verify", partial(runs.verify, steps=2, controls=1, draws=1))  # quick
    segments = SYSTEMS[name].task == "segmentation"
    shape = PATCH if segments else VOLUME if name in OF_VOLUMES else (*PICTURE, 1)
    scan = save(tmp_path / "scan.nii.gz", np.random.default_rng(0).normal(size=shape).astype(np.float32))
    before = {key: value.clone() for key, value in predictor.network.state_dict().items()}
    options = ["--out", str(tmp_path / "out"), "--method", METHODS.get(name, "grad_cam"), "--verify", "--json"]
    if segments:  # whatever an untrained network predicts
        options += ["--region", str(save(tmp_path / "region" / "scan.nii.gz", np.ones(shape, np.uint8)))]
    assert main(["explain", "run", str(scan), *options]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["target"] for record in records] in (["organ"], ["a"], ["b"])
    for record in records:
        assert isinstance(record["verdict"]["faithful"], bool)
        assert record["verdict"]["reasons"]
        values = nib.load(record["map"]).get_fdata()
        assert values.shape == shape
        assert np.isfinite(values).all()
        assert values.any() or record["verdict"]["reasons"][0] == "it is the same everywhere"
    assert all(torch.equal(before[key], value) for key, value in predictor.network.state_dict().items())
