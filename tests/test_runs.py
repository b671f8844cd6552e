"""`saccade.train` and `saccade.load`: settings by their bare name or nested, and what comes back of what goes in."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from tiny import blob

import saccade
from saccade.errors import InputError
from saccade.runs import Predictor, make_network, read_config

pytestmark = pytest.mark.usefixtures("short_check")

SMALL = {"patch_size": [8, 8, 8], "epochs": 1, "steps_per_epoch": 2, "network": {"channels": [2, 4, 8]}}


def test_train_by_name_then_predict_arrays_volumes_and_files(pairs, tmp_path, capfd) -> None:
    out = tmp_path / "run"
    made = saccade.train("attention-unet", pairs, out, preset="tiny", seed=5, training={"batch_size": 3}, **SMALL)
    assert isinstance(made, Predictor)
    config = yaml.safe_load((out / "config.yaml").read_text("utf-8"))
    assert (config["training"]["epochs"], config["training"]["seed"], config["training"]["batch_size"]) == (1, 5, 3)
    assert config["data"]["patch_size"] == [8, 8, 8]
    assert json.loads((out / "summary.json").read_text("utf-8"))["system"] == "attention-unet"

    opened = saccade.load(out)
    path = pairs / "images/case0.nii.gz"
    image = blob(0)[0]
    label = opened.predict(image)
    assert isinstance(label, np.ndarray)
    assert (label.shape, label.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(made.predict(image), label)
    volume = opened.predict(saccade.read_volume(path))
    assert isinstance(volume, saccade.Volume)
    np.testing.assert_array_equal(volume.array, label)  # the scan has the run's voxel size
    for given in (path, str(path)):
        found = opened.predict(given)
        np.testing.assert_array_equal(found.array, label)
        np.testing.assert_array_equal(found.affine, nib.load(path).affine)


def test_label_names_and_folds(pairs, tmp_path) -> None:
    saccade.train("unet", pairs, tmp_path / "a", preset="tiny", label_names={1: "ball"}, fold=1, folds=2, **SMALL)
    assert list(json.loads((tmp_path / "a/summary.json").read_text("utf-8"))["dice"]) == ["ball"]
    splits = json.loads((tmp_path / "a/splits.json").read_text("utf-8"))
    assert (len(splits["train"]), len(splits["validation"])) == (3, 2)


def test_unknown_settings_are_refused_with_the_nearest(pairs, tmp_path) -> None:
    with pytest.raises(InputError) as error:
        saccade.train("unet", pairs, tmp_path / "run", epoch=5)
    assert str(error.value).startswith("train: unknown setting 'epoch'. Did you mean 'epochs'? Known: training, ")
    with pytest.raises(InputError) as error:
        saccade.train("unet", pairs, tmp_path / "run", training={"epoch": 5})
    assert str(error.value).startswith("unet: unknown setting 'training.epoch'. Did you mean 'training.epochs'?")
    assert not (tmp_path / "run").exists()


def test_load_gives_the_trained_weights(trained) -> None:
    made = saccade.load(trained)
    assert not made.network.training
    fresh = make_network(read_config(trained))
    assert any((a != b).any() for a, b in zip(made.network.parameters(), fresh.parameters(), strict=True))


def test_the_first_weights_follow_the_seed_alone(trained) -> None:
    import torch

    config = read_config(trained)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = make_network(config)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    two = make_network(config)
    other = make_network(config.model_copy(update={"training": config.training.model_copy(update={"seed": 9})}))
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same)
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        saccade.load(tmp_path / "gone")
    assert str(error.value) == f"{tmp_path}/gone: must be the folder of a run, there is no such folder."
