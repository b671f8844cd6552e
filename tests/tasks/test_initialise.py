"""First weights from elsewhere: what fits is taken, the rest is told, and nothing is executed."""

import hashlib
import json
import os

import pytest
import torch
import yaml
from run_files import held_out
from safetensors.torch import load_file, save_file
from tiny import train
from torch import nn

from saccade.errors import InputError
from saccade.tasks.initialise import initialise, read_tensors

pytestmark = pytest.mark.usefixtures("short_check")


def net(classes: int = 2) -> nn.Module:
    return nn.ModuleDict({"body": nn.Conv2d(1, 3, 1), "head": nn.Conv2d(3, classes, 1)})


def test_names_and_shapes_decide(tmp_path) -> None:
    other = {name: torch.full_like(value, 7) for name, value in net(5).state_dict().items()}
    del other["body.bias"]
    save_file({**other, "extra": torch.ones(1)}, tmp_path / "w.safetensors")
    mine = net()
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    found = initialise(mine, tmp_path / "w.safetensors")
    assert found.loaded == ["body.weight"]
    assert found.other_shape == {"head.weight": ([5, 3, 1, 1], [2, 3, 1, 1]), "head.bias": ([5], [2])}
    assert found.not_found == ["body.bias"]
    assert found.unused == ["extra"]
    assert found.sha256 == hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    assert found.line() == (
        f"1 of 4 tensors from {tmp_path}/w.safetensors; 3 begin anew (head.weight, head.bias, body.bias); "
        "1 of the file not used"
    )
    assert (mine["body"].weight == 7).all()
    assert all(torch.equal(before[name], mine.state_dict()[name]) for name in before if name != "body.weight")


@pytest.mark.parametrize("prefix", ["", "network.", "module.", "average.module."])
@pytest.mark.parametrize("key", [None, "state_dict"])
def test_torch_files_with_the_usual_prefixes(tmp_path, prefix, key) -> None:
    state = {prefix + name: torch.full_like(value, 3) for name, value in net().state_dict().items()}
    torch.save(state if key is None else {key: state, "epoch": 4}, tmp_path / "w.pt")
    mine = net()
    found = initialise(mine, tmp_path / "w.pt")
    assert (len(found.loaded), found.not_found, found.unused) == (4, [], [])
    assert all((value == 3).all() for value in mine.state_dict().values())


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_is_executed_and_what_cannot_be_read_is_told(tmp_path) -> None:
    torch.save({"state_dict": Bomb(str(tmp_path / "boom"))}, tmp_path / "bomb.pt")
    (tmp_path / "cut.safetensors").write_bytes(b"12345")
    torch.save([1, 2], tmp_path / "list.pt")
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    for name, message in (
        ("bomb.pt", r"cannot be read as weights \(Weights only load failed.*\)\. Save them with safetensors"),
        ("cut.safetensors", r"cannot be read as weights \("),
        ("list.pt", r"must hold named tensors \(a state_dict\), holds none\.$"),
        ("gone.pt", r"must be a run or a file of weights, there is no such file\.$"),
    ):
        with pytest.raises(InputError, match=rf"^{tmp_path}/{name}: {message}") as error:
            read_tensors(tmp_path / name)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "boom").exists()
    with pytest.raises(InputError) as error:
        initialise(net(), tmp_path / "other.safetensors")
    assert str(error.value) == (
        f"{tmp_path}/other.safetensors: none of its 1 tensors fits the network, by name and shape."
    )


def test_two_stages_gates_are_added_to_a_trained_unet(pairs, tmp_path, capfd) -> None:
    plain, second = tmp_path / "plain", tmp_path / "second"
    assert train(pairs, plain, "--set", "training.weight_averaging=0", system="unet") == 0
    capfd.readouterr()
    more = ["--init-from", str(plain), "--freeze", "encoder.*", "--freeze", "bottom.*"]
    more += ["--set", "training.rates={decoder.*: 1.0e-9}", "--set", "training.weight_averaging=0"]
    more += ["--set", "training.optimiser=sgd", "--set", "training.weight_decay=0"]
    assert train(pairs, second, *more) == 0
    err = capfd.readouterr().err
    told = json.loads((second / "init.json").read_text("utf-8"))
    before, after = load_file(plain / "model.safetensors"), load_file(second / "model.safetensors")
    assert set(told["loaded"]) == set(before)
    assert {name.split(".")[0] for name in told["not_found"]} == {"gating", "gates"}
    assert f"init   {len(before)} of {len(after)} tensors from {plain}/model.safetensors; " in err
    assert " of them trained" in err
    for name in before:
        part = name.split(".")[0]
        if part in ("encoder", "bottom"):  # frozen: weights and statistics
            assert torch.equal(before[name], after[name]), name
        elif part == "decoder" and "running" not in name and "tracked" not in name:  # all but still
            torch.testing.assert_close(before[name], after[name], rtol=0, atol=1e-6)
    assert not torch.equal(before["head.mix.weight"], after["head.mix.weight"])
    config = yaml.safe_load((second / "config.yaml").read_text("utf-8"))["training"]
    assert (config["init_from"], config["freeze"]) == (str(plain), ["encoder.*", "bottom.*"])
    assert config["rates"] == {"decoder.*": 1e-9}
    assert (second / f"validation/{held_out(second)}.nii.gz").is_file()


def test_a_wrong_pattern_is_refused_before_anything_is_written(pairs, tmp_path, capfd) -> None:
    assert train(pairs, tmp_path / "run", "--freeze", "encodr.*") == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        "saccade: training.freeze: 'encodr.*' fits no parameter of the network. Did you mean 'encoder.*'?"
    )
    assert not (tmp_path / "run").exists()
