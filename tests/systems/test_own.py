"""Networks from outside: by the name of their class, and as a package with an entry point; whose code is run when."""

import json
import shutil
import sys
import tomllib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from run_files import held_out
from tiny import QUICK, files
from torch import nn

import saccade
from saccade.cli.main import main
from saccade.errors import InputError
from saccade.systems.own import OwnNetwork, find_callable

pytestmark = pytest.mark.usefixtures("short_check")
EXAMPLE = Path(__file__).parents[2] / "docs" / "example_network"
MODULE = """
from pathlib import Path
from torch import nn
Path({mark!r}).write_text("executed")

class Flat(nn.Module):
    def __init__(self, in_channels, out_channels, width=3, act=nn.ReLU):
        super().__init__()
        first, last = nn.Conv2d(in_channels, width, 3, padding=1), nn.Conv2d(width, out_channels, 1)
        self.layers = nn.Sequential(first, act(), last)
    def forward(self, x):
        return self.layers(x)

def deep(classes=2):
    return nn.Conv3d(1, classes, 1)

def nothing():
    return 5

def fussy(in_channels=1, out_channels=2):
    raise ZeroDivisionError("no such\\nnetwork")

ready = nn.Conv2d(1, 2, 1)
number = 5
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the current folder; gives the mark that it leaves when it is imported."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "strange.py").write_text(MODULE.format(mark=str(tmp_path / "mark")))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path / "mark"
    sys.modules.pop("strange", None)


def command(system: str, data: Path, run: Path, *more: str) -> list[str]:
    return ["train", system, "--data", str(data), "--out", str(run), *QUICK, *more]


def test_a_class_in_two_dimensions_from_training_to_prediction(module, pairs, tmp_path, capfd, monkeypatch) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    flat = [word for word in QUICK if not word.startswith("data.patch_size")]
    words = [word for here, word in enumerate(flat) if not (word == "--set" and flat[here + 1 : here + 2] == ["--set"])]
    arguments = ["train", "strange:Flat", "--data", str(pairs), "--out", str(run), *words, "--set", "network.width=4"]
    assert main(arguments) == 0
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    assert config["system"] == "strange:Flat"
    assert config["data"]["patch_size"][2] == 1  # slices, as its convolutions have two dimensions
    assert config["network"] == {"width": 4}  # the default that is a class stays the constructor's own
    assert (run / f"validation/{held_out(run)}.nii.gz").is_file()
    scan = str(pairs / "images/case0.nii.gz")
    # in a new process the module would not be there yet: opening the folder alone must not import it
    sys.modules.pop("strange")
    module.unlink()
    capfd.readouterr()
    assert main(["predict", str(run), scan, "--out", str(out)]) == 2
    assert capfd.readouterr().err == (
        f"saccade: {run}: is a run of strange:Flat, which is not part of Saccade. If you trust that code, name it: "
        f"--system strange:Flat, or load(run, system='strange:Flat').\n"
    )
    assert not module.exists()
    assert "strange" not in sys.modules
    assert main(["predict", str(run), scan, "--out", str(out), "--system", "strange:Flat"]) == 0
    assert "case0.nii.gz" in files(out)
    assert main([*arguments, "--resume"]) == 0
    with pytest.raises(InputError, match=r"^strange:deep: network: unknown setting 'width'\."):
        saccade.load(run, system="strange:deep")
    (Path.cwd() / "strange.py").unlink()
    sys.modules.pop("strange", None)
    with pytest.raises(InputError) as error:
        saccade.load(run, system="strange:Flat")
    assert str(error.value) == (
        "strange:Flat: 'strange' cannot be imported (ModuleNotFoundError: No module named 'strange'). "
        "Install it, or run where its folder is."
    )


def test_a_run_of_ours_is_not_opened_as_another(trained) -> None:
    with pytest.raises(InputError, match=r": is a run of attention-unet, cannot be opened as a:B\.$"):
        saccade.load(trained, system="a:B")


def test_what_is_handed_to_the_constructor(module) -> None:
    network = saccade.build("strange:Flat", in_channels=2, out_channels=5, width=7)
    assert network.layers[0].weight.shape == (7, 2, 3, 3)
    assert network.layers[2].weight.shape == (5, 7, 1, 1)
    assert saccade.build("strange:deep", in_channels=2, out_channels=5, classes=3).weight.shape[0] == 3
    own = OwnNetwork("strange:Flat")
    assert own.plan_network({"patch_size": [8, 8, 1]}, {"width": 5}) == {"width": 5}
    assert own.PRESETS["default"]["plan"]["slices"]
    assert not OwnNetwork("strange:deep").PRESETS["tiny"]["plan"]["slices"]


@pytest.mark.parametrize(("dims", "conv"), [(2, nn.Conv2d), (3, nn.Conv3d)])
def test_dimensions_are_handed_to_networks_that_ask(dims, conv) -> None:
    name = "monai.networks.nets:BasicUNet"
    own = OwnNetwork(name, {"spatial_dims": dims})
    assert own.PRESETS["default"]["plan"]["slices"] == (dims == 2)
    planned = own.plan_network({"patch_size": [32, 32, 1 if dims == 2 else 32]}, {"features": [2] * 6})
    assert planned["spatial_dims"] == dims
    network = saccade.build(name, in_channels=1, out_channels=3, **planned)
    assert any(isinstance(layer, conv) for layer in network.modules())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("strange:Flt", "strange:Flt: unknown name 'Flt'. Did you mean 'Flat'? Known: Path, nn, Flat, "),
        ("strange:number", "strange:number: must be a class or function that makes a network, is of type int."),
        ("strange:ready", "strange:ready: must be a class or function that makes a network, is of type Conv2d."),
        ("strange:nothing", "strange:nothing: must make a torch.nn.Module, made a int."),
        ("strange:fussy", "strange:fussy: cannot be made (ZeroDivisionError: no such network)."),
        ("strange:", "strange:: must be package.module:Network, the name of a class and where it is."),
        ("../strange:Flat", "../strange:Flat: must be package.module:Network, the name of a class and where it is."),
        ("no_such_module:Net", "no_such_module:Net: 'no_such_module' cannot be imported (ModuleNotFoundError: "),
    ],
)
def test_names_that_make_no_network(module, name, message) -> None:
    with pytest.raises(InputError) as error:
        saccade.build(name)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_settings_that_the_constructor_does_not_have(module, pairs, tmp_path, capfd) -> None:
    assert main(command("strange:Flat", pairs, tmp_path / "run", "--set", "network.widht=3")) == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        "saccade: strange:Flat: network: unknown setting 'widht'. Did you mean 'width'? "
        "Known: in_channels, out_channels, width, act."
    )
    assert main(command("strange:Flat", pairs, tmp_path / "run", "--preset", "paper")) == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        "saccade: strange:Flat: unknown preset 'paper'. Known: default, tiny."
    )


def test_a_network_that_does_not_fit_the_data_is_told(module, pairs, tmp_path, capfd) -> None:
    assert main(command("strange:deep", pairs, tmp_path / "run", "--set", "network.classes=5")) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "saccade: check: the network must give logits of shape (1, 2, 8, 8, 8), got (1, 5, 8, 8, 8)."
    )
    assert not (tmp_path / "run").exists()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The example package, as pip would install it."""
    site = tmp_path / "site"
    shutil.copytree(EXAMPLE / "example_network", site / "example_network")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in [name for name in sys.modules if name.startswith("example_network")]:
        del sys.modules[name]


def test_the_example_package_is_a_system(installed, pairs, tmp_path, capfd) -> None:
    system = saccade.list_systems()[-1]
    assert system.name == "dilated-net"
    network = saccade.build("dilated-net")
    assert sum(p.numel() for p in network.parameters()) == system.parameters
    assert network(torch.zeros(1, 1, 5, 7, 11)).shape == (1, 2, 5, 7, 11)
    assert main(["systems", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)[-1]["name"] == "dilated-net"
    run = tmp_path / "run"
    assert main(command("dilated-net", pairs, run, "--set", "network.width=2")) == 0
    assert yaml.safe_load((run / "config.yaml").read_text("utf-8"))["network"]["depth"] == 3
    assert main(["predict", str(run), str(pairs / "images/case0.nii.gz"), "--out", str(tmp_path / "out")]) == 0


def test_the_example_without_the_entry_point(installed, pairs, tmp_path) -> None:
    name = "example_network.network:DilatedNet"
    assert main(command(name, pairs, tmp_path / "run", "--set", "network.width=2")) == 0
    network = saccade.load(tmp_path / "run", system=name).network
    assert type(network) is find_callable(name)


def test_a_run_of_ones_own_network_is_exported_and_used(installed, pairs, tmp_path, capfd, monkeypatch) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("openvino", reason="openvino is not installed")
    name, run, scan = "example_network.network:DilatedNet", tmp_path / "run", str(pairs / "images/case0.nii.gz")
    assert main(command(name, pairs, run, "--set", "network.width=2")) == 0
    network = saccade.load(run, system=name).network
    capfd.readouterr()
    assert main(["export", str(run), "--format", "onnx"]) == 2  # whoever exports it runs its code
    assert capfd.readouterr().err == (
        f"saccade: {run}: is a run of {name}, which is not part of Saccade. If you trust that code, name it: "
        f"--system {name}, or load(run, system='{name}').\n"
    )
    for format in ("onnx", "openvino", "pt2"):
        assert main(["export", str(run), "--format", format, "--system", name]) == 0
    x = torch.randn(2, 1, 8, 8, 8)
    program = torch.export.load(run / "export/model.pt2").module()
    with torch.no_grad():
        torch.testing.assert_close(program(x), network(x), rtol=1e-4, atol=1e-5)
    assert main(["predict", str(run), scan, "--out", str(tmp_path / "torch"), "--system", name]) == 0
    # the file is all that is needed then: none of the code is imported
    monkeypatch.setattr("saccade.systems.own.find_callable", None)
    labels = np.asarray(nib.load(tmp_path / "torch/case0.nii.gz").dataobj)
    for backend in ("onnx", "openvino"):
        assert main(["predict", str(run), scan, "--out", str(tmp_path / backend), "--backend", backend]) == 0
        found = np.asarray(nib.load(tmp_path / backend / "case0.nii.gz").dataobj)
        assert (found == labels).mean() > 0.999
    with pytest.raises(InputError, match=r": is a run of attention-unet, cannot be opened as a:B\.$"):
        saccade.load(trained_elsewhere(run), system="a:B", backend="onnx")


def trained_elsewhere(run: Path) -> Path:
    """The same folder as a run of a system of ours."""
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "system": "attention-unet", "network": {}}))
    return run


def test_a_broken_package_is_named(installed, capfd) -> None:
    (installed / "example_network/system.py").write_text("import no_such_module\n")
    assert main(["systems"]) == 2
    assert capfd.readouterr().err == (
        "saccade: saccade.systems: 'dilated-net' of example-network cannot be loaded "
        "(ModuleNotFoundError: No module named 'no_such_module').\n"
    )
