"""`saccade explain` on classifiers: maps on the grid of each picture or volume, whatever the network saw of it."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from planted import CONV, POOL
from tiny import save
from torch import nn

import saccade.runs
from saccade.cli.main import main
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.classification.predictor import ClassificationPredictor


def bright_or_dark(dims: int) -> nn.Sequential:
    """Scores rise ("bright") and fall ("dark") with what is brighter than 0.4 in a mean over 3 voxels."""
    network = nn.Sequential(CONV[dims](1, 1, 3, padding=1), nn.ReLU(), POOL[dims](1), nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        network[0].weight.fill_(3.0**-dims)
        network[0].bias.fill_(-0.4)
        network[4].weight.copy_(torch.tensor([[-50.0], [50.0]]))
        network[4].bias.zero_()
    return network


@pytest.fixture
def opened(monkeypatch):
    """`saccade explain` opens this network in the place of a run."""

    def opening(dims: int, fit: str, size: list[int], kind: str = "classes") -> None:
        classes = ["dark", "bright"] if kind == "classes" else ["low", "middle", "high"]
        data = {"root": ".", "columns": ["light"], "kind": kind, "classes": classes, "size": size, "fit": fit,
                "intensity": {"kind": "min_max"}}  # fmt: skip
        config = ClassificationConfig.parse({"system": "lenet", "data": data}, "test")
        predictor = ClassificationPredictor(bright_or_dark(dims), config)
        monkeypatch.setattr(saccade.runs, "load", lambda run, **_: predictor)

    return opening


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_a_picture(opened, tmp_path, capsys, fit) -> None:
    opened(2, fit, [24, 20])
    array = np.zeros((60, 90), np.uint8)
    array[20:35, 30:50] = 255
    Image.fromarray(array).save(tmp_path / "lamp.png")
    options = ["--out", str(tmp_path / "out"), "--method", "respond_cam", "--layer", "1", "--json", "--verify"]
    assert main(["explain", "run", str(tmp_path / "lamp.png"), *options]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["case"], record["target"], record["peak_mm"]) == ("lamp", "bright", None)
    assert record["verdict"]["measures"]["better than moved"] >= 0.8
    values = nib.load(record["map"]).get_fdata()[..., 0]
    assert values.shape == array.shape
    assert array[tuple(record["peak_voxel"][:2])] == 255
    assert values[array == 255].sum() > 0.5 * values.sum() > 0
    if fit == "crop":  # the network saw the middle 50 columns
        assert not values[:, :15].any()
    with Image.open(record["picture"]) as picture:
        assert np.ptp(np.asarray(picture.convert("RGB")).astype(int), axis=-1).max() > 50


def test_a_turned_volume_and_a_class_that_was_not_predicted(opened, tmp_path, capsys) -> None:
    opened(3, "pad", [16, 16, 16])
    turned = np.array([[0, 0, 1.5, 3], [-1.0, 0, 0, 12], [0, 2.0, 0, -7], [0, 0, 0, 1]])
    array = np.zeros((20, 14, 12), np.float32)
    array[4:10, 3:8, 5:10] = 1
    save(tmp_path / "scan.nii.gz", array, turned)
    options = ["--out", str(tmp_path / "out"), "--layer", "1", "--json"]
    scan = str(tmp_path / "scan.nii.gz")
    assert main(["explain", "run", scan, *options]) == 0
    (bright,) = json.loads(capsys.readouterr().out)
    assert main(["explain", "run", scan, *options, "--target", "dark"]) == 0
    (dark,) = json.loads(capsys.readouterr().out)
    assert (bright["target"], dark["target"]) == ("bright", "dark")
    found, other = (nib.load(record["map"]) for record in (bright, dark))
    np.testing.assert_array_equal(found.affine, turned)
    assert found.shape == array.shape
    assert array[tuple(bright["peak_voxel"])] == 1
    np.testing.assert_allclose(bright["peak_mm"], nib.affines.apply_affine(turned, bright["peak_voxel"]))
    np.testing.assert_allclose(other.get_fdata(), -found.get_fdata(), atol=1e-6)
    assert main(["explain", "run", scan, *options, "--target", "pink"]) == 2
    assert capsys.readouterr().err == "saccade: explain: unknown target 'pink'. Known: dark, bright.\n"


def test_levels_have_one_target(opened, tmp_path, capsys) -> None:
    opened(2, "stretch", [12, 12], kind="ordinal")
    array = np.zeros((12, 12), np.uint8)
    array[2:8, 2:8] = 255
    Image.fromarray(array).save(tmp_path / "lamp.png")
    assert main(["explain", "run", str(tmp_path / "lamp.png"), "--out", str(tmp_path / "out"), "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["target"] == "light"
