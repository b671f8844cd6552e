"""`saccade explain package.module:Network`: a network that was never trained here, with a checkpoint of its own."""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import saccade
from saccade import explain
from saccade.cli.main import main

MODULE = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, in_channels=1, width=3, out_channels=2):
        super().__init__()
        self.conv, self.head = nn.Conv2d(in_channels, width, 3, padding=1), nn.Linear(width, out_channels)
    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 2, 3), nn.Linear(2 * 6 * 6, 2)
    def forward(self, x):
        return self.head(self.conv(x).relu().flatten(1))

def segmenter():
    return nn.Conv2d(1, 2, 1)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with a module of the user's and a picture."""
    (tmp_path / "theirs.py").write_text(MODULE)
    array = np.zeros((20, 16), np.uint8)
    array[4:9, 5:11] = 200
    Image.fromarray(array).save(tmp_path / "lamp.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("theirs", None)


def write_weights(file: Path, name: str = "theirs:Small", **arguments) -> nn.Module:
    torch.manual_seed(3)
    network = saccade.build(name, **arguments)
    save_file(network.state_dict(), file)
    return network


def test_a_checkpoint_of_a_class_is_explained_and_judged(place, capsys) -> None:
    network = write_weights(place / "best.safetensors", in_channels=1, width=5, out_channels=3)
    settings = [
        "network.width=5",
        "data.classes=[cat,dog,cow]",
        "data.intensity.kind=min_max",
    ]
    words = [word for setting in settings for word in ("--set", setting)]
    arguments = ["explain", "theirs:Small", "lamp.png", "--weights", "best.safetensors", "--out", "maps", *words]
    assert main([*arguments, "--target", "cow", "--verify", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["target"] == "cow"
    assert record["verdict"]["reasons"]
    x = torch.tensor(np.asarray(Image.open("lamp.png"), np.float32) / 200)[None, None]
    want = explain.grad_cam(network, x, target=2)[0]
    np.testing.assert_allclose(nib.load(record["map"]).get_fdata()[..., 0], want, rtol=1e-4, atol=1e-6)
    assert record["said"] == pytest.approx(network.eval()(x).softmax(1)[0, 2].item(), rel=1e-4)


def test_classes_without_names_and_a_regression(place, capsys) -> None:
    assert main(["explain", "theirs:Small", "lamp.png", "--out", "maps", "--top", "2", "--json"]) == 0
    assert sorted(record["target"] for record in json.loads(capsys.readouterr().out)) == ["0", "1"]
    words = ["--set", "data.kind=regression", "--set", "data.columns=[age,weight]", "--set", "data.classes=[]"]
    assert main(["explain", "theirs:Small", "lamp.png", "--out", "maps", *words, "--json"]) == 0
    assert [record["target"] for record in json.loads(capsys.readouterr().out)] == ["age", "weight"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["theirs:Smal"], "theirs:Smal: unknown name 'Smal'. Did you mean 'Small'? Known: "),
        (["nowhere:Network"], "nowhere:Network: 'nowhere' cannot be imported (ModuleNotFoundError: No module named "),
        (["theirs:Small", "--set", "network.widht=3"], "theirs:Small: unknown setting 'widht'. Did you mean 'width'?"),
        (["theirs:Small", "--set", "training.epochs=3"], "explain --set: unknown section 'training'."),
        (["theirs:Small", "--set", "data.classes=[a,b,c]", "--set", "network.out_channels=2"],
         "theirs:Small: gives 2 scores, data.classes and "),
        (["theirs:Small", "--set", "data.channels=3", "--set", "network.in_channels=1"],
         "theirs:Small: cannot take an image of (3, 20, 16) (RuntimeError: "),
        (["theirs:Fixed"], "theirs:Fixed: cannot take an image of (1, 20, 16) (RuntimeError: mat1 and mat2 shapes "),
        (["theirs:segmenter"], "theirs:segmenter: must give scores (1, outputs) for one image, gives (1, 2, 20, 16). "),
        (["theirs:Small", "--weights", "none.safetensors"], "none.safetensors: must be a run or a file of weights, "),
        (["theirs:Small", "--weights", "wide.safetensors"],
         "wide.safetensors: must hold the weights of this very network, only 1 of 4 tensors from wide.safetensors; "),
        (["theirs:Small", "--weights", "theirs.py"], "theirs.py: cannot be read as weights ("),
        (["theirs:Small", "--layer", "con"], "grad_cam: layer 'con' is no layer of the network. Layers: conv, head."),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_is_told_in_one_line(place, capsys, arguments, message) -> None:
    write_weights(place / "wide.safetensors", in_channels=1, width=9)
    name, *words = arguments
    assert main(["explain", name, "lamp.png", "--out", "maps", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"saccade: {message}")
    assert not (place / "maps").exists()


def test_sizes_can_be_said(place, capsys) -> None:
    assert main(["explain", "theirs:Fixed", "lamp.png", "--out", "maps", "--set", "data.size=[8,8]", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert nib.load(record["map"]).shape == (20, 16, 1)
