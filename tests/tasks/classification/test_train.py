"""A run learns, is complete, is resumed bit for bit, and says in a line what is wrong."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from image_sets import class_folders, graded, idx, medmnist, picture, save, table, train
from run_files import history, same_weights

import saccade
from saccade.tasks.classification.module import ClassificationModule

pytestmark = pytest.mark.usefixtures("short_check")


def summary_of(run) -> dict:
    return json.loads((run / "summary.json").read_text("utf-8"))


def config_of(run) -> dict:
    return yaml.safe_load((run / "config.yaml").read_text("utf-8"))


def test_a_run_learns_and_is_complete(classified, animals) -> None:
    assert {path.name for path in classified.iterdir()} >= {
        "config.yaml", "model.safetensors", "last.ckpt", "metrics.csv", "summary.json", "environment.json",
        "splits.json", "validation", "calibration.json",
    }  # fmt: skip
    assert summary_of(classified)["balanced_accuracy"] >= 0.9
    config = config_of(classified)
    assert config["task"] == "classification"
    assert config["data"]["classes"] == ["cat", "dog"]
    assert (config["data"]["kind"], config["data"]["size"], config["data"]["channels"]) == ("classes", [13, 11], 1)
    assert config["training"]["loss"] == "cross_entropy"
    # by hand: mean and spread of all training values
    splits = json.loads((classified / "splits.json").read_text("utf-8"))
    assert len(splits["train"]) == len(splits["validation"]) == 12
    assert sum(name.startswith("cat/") for name in splits["validation"]) == 6
    from PIL import Image

    pixels = np.stack([np.asarray(Image.open(animals / f"{name}.png"), float) for name in splits["train"]])
    assert config["data"]["intensity"]["mean"] == [pytest.approx(pixels.mean(), abs=1e-3)]
    assert config["data"]["intensity"]["std"] == [pytest.approx(pixels.std(), abs=1e-3)]
    rows = list(csv.DictReader((classified / "metrics.csv").open()))
    assert len(rows) == 6
    assert float(rows[-1]["val_balanced_accuracy"]) >= 0.9
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])


def test_the_predictions_of_the_held_out_cases_are_those_of_the_predictor(classified, animals) -> None:
    rows = list(csv.DictReader((classified / "validation/predictions.csv").open()))
    assert list(rows[0]) == ["case", "prediction", "p_cat", "p_dog"]
    predictor = saccade.load(classified)
    for row in rows[:3]:
        told = predictor.predict(animals / f"{row['case']}.png")
        assert told.label == row["prediction"]
        assert told.values["dog"] == pytest.approx(float(row["p_dog"]), rel=1e-4)
        assert sum(told.values.values()) == pytest.approx(1)


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(animals, tmp_path, monkeypatch, capfd) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    words = (
        "--set",
        "augmentation.probability=1",
        "--set",
        "training.epochs=3",
        "--set",
        "training.class_weights=balanced",
    )
    assert train(animals, whole, *words) == 0
    step = ClassificationModule.training_step

    def stopping(self, batch, index):
        if self.current_epoch == 1 and index == 1:
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(ClassificationModule, "training_step", stopping)
        assert train(animals, stopped, *words) == 130
    assert train(animals, stopped, "--resume", *words) == 0
    assert history(stopped) == history(whole)
    assert same_weights(stopped, whole)
    capfd.readouterr()
    assert train(animals, stopped, "--resume", "--set", "training.epochs=3") == 2
    assert "a resumed run keeps its settings, got another augmentation.probability" in capfd.readouterr().err


def test_a_changed_image_is_noticed_on_resume(tmp_path, capfd) -> None:
    root = class_folders(tmp_path / "set", 6)
    assert train(root, tmp_path / "run") == 0
    save(root / "cat/03.png", picture(99, True))
    capfd.readouterr()
    assert train(root, tmp_path / "run", "--extend", "1") == 2
    assert "case cat/03: its files are not those that the run in " in capfd.readouterr().err


@pytest.mark.parametrize("more", [(), ("--set", "training.class_weights=balanced")])
def test_levels(tmp_path, more) -> None:
    root = graded(tmp_path / "set", 24)
    options = ("--set", "data.kind=ordinal", "--folds", "2", "--set", "training.epochs=6", *more)
    assert train(root, tmp_path / "run", *options) == 0
    assert summary_of(tmp_path / "run")["kappa"] > 0.5
    rows = list(csv.DictReader((tmp_path / "run/validation/predictions.csv").open()))
    assert list(rows[0]) == ["case", "level", "p_0", "p_1", "p_2", "p_3"]
    assert config_of(tmp_path / "run")["training"]["loss"] == "ordinal"
    if more:
        assert config_of(tmp_path / "run")["training"]["class_weights"] == [1.0] * 4


def test_several_labels_of_which_some_are_unknown(tmp_path) -> None:
    root = graded(
        tmp_path / "set", 24, dim=lambda level: int(level < 2), odd=lambda level: "" if level == 3 else level % 2
    )
    assert train(root, tmp_path / "run", "--folds", "2", "--set", "training.class_weights=balanced") == 0
    config = config_of(tmp_path / "run")
    assert (config["data"]["kind"], config["data"]["classes"]) == ("multi_label", ["dim", "odd"])
    assert set(summary_of(tmp_path / "run")) >= {"auroc", "auprc", "f1"}
    (header, *_) = csv.reader((tmp_path / "run/validation/predictions.csv").open())
    assert header == ["case", "p_dim", "p_odd"]


def test_a_regression(tmp_path) -> None:
    root = graded(tmp_path / "set", 24, age=lambda level: 20.5 + 10 * level)
    assert train(root, tmp_path / "run", "--folds", "2", "--set", "training.epochs=10") == 0
    config = config_of(tmp_path / "run")
    assert (config["data"]["kind"], config["training"]["loss"]) == ("regression", "huber")
    learnt = json.loads((tmp_path / "run/splits.json").read_text("utf-8"))["train"]
    ages = [20.5 + 10 * (int(id[1:]) % 4) for id in learnt]
    assert config["data"]["target_mean"] == [pytest.approx(np.mean(ages), rel=1e-5)]
    assert config["data"]["target_std"] == [pytest.approx(np.std(ages), rel=1e-5)]
    assert summary_of(tmp_path / "run")["r2"] > 0.5
    assert not (tmp_path / "run/calibration.json").exists()
    told = saccade.load(tmp_path / "run").predict(root / "images/p03.png")
    assert told.label is None
    assert 30 < told.values["age"] < 70


def test_volumes_with_a_table(tmp_path) -> None:
    rows = []
    for number in range(8):
        array = np.random.default_rng(number).normal(0, 1, (9, 8, 5)).astype(np.float32)
        array[3:6, 3:6] += 4 * (number % 2)
        nib.save(nib.Nifti1Image(array, np.diag([1.0, 1.0, 2.0, 1.0])), tmp_path / f"v{number}.nii.gz")
        rows.append({"scan": f"v{number}.nii.gz", "diagnosis": ["well", "ill"][number % 2], "patient": number // 2})
    root = table(tmp_path, rows)
    assert train(root, tmp_path / "run", "--folds", "2") == 0
    config = config_of(tmp_path / "run")
    # 9 x 8 x 5 voxels of 1 x 1 x 2 mm are 9 x 8 x 10 of 1 mm
    assert (config["data"]["size"], config["data"]["intensity"]["kind"]) == ([9, 8, 10], "z_score")
    assert config["network"]["spatial_dims"] == 3
    splits = json.loads((tmp_path / "run/splits.json").read_text("utf-8"))
    patients = [{int(id[1:]) // 2 for id in splits[part]} for part in ("train", "validation")]
    assert not patients[0] & patients[1]


def test_medmnist_and_mnist(tmp_path) -> None:
    assert train(medmnist(tmp_path / "set.npz", (9, 8, 7)), tmp_path / "a", "--set", "training.epochs=1") == 0
    splits = json.loads((tmp_path / "a/splits.json").read_text("utf-8"))
    assert splits["validation"] == [f"val_{n:05d}" for n in range(8)]  # as the archive says
    labels = np.arange(12, dtype=np.uint8) % 3
    idx(tmp_path / "digits/t10k-images-idx3-ubyte.gz", np.stack([picture(n, n % 3 == 0) for n in range(12)]))
    idx(tmp_path / "digits/t10k-labels-idx1-ubyte.gz", labels)
    assert train(tmp_path / "digits", tmp_path / "b", "--folds", "3", "--set", "training.epochs=1") == 0
    assert config_of(tmp_path / "b")["data"]["classes"] == ["0", "1", "2"]


def test_a_network_of_ones_own(animals, tmp_path, monkeypatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\nclass Mine(nn.Sequential):\n"
        "    def __init__(self, in_channels, out_channels, width=3):\n"
        "        super().__init__(nn.Conv2d(in_channels, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "                         nn.Linear(width, out_channels))\n"
    )
    monkeypatch.chdir(tmp_path)
    assert train(animals, tmp_path / "run", "--set", "network.width=5", system="mine:Mine") == 0
    assert config_of(tmp_path / "run")["task"] == "classification"
    assert saccade.load(tmp_path / "run", system="mine:Mine").predict(animals / "cat/00.png").label in ("cat", "dog")


def test_a_system_may_learn_in_a_way_of_its_own(animals, tmp_path, monkeypatch) -> None:
    from saccade.systems import resnet

    seen = []

    def training_loss(network, images, targets, loss):
        seen.append(targets.tolist())
        return 2 * loss(network(images))

    monkeypatch.setattr(resnet, "training_loss", training_loss, raising=False)
    assert train(animals, tmp_path / "own", "--set", "training.epochs=1") == 0
    assert len(seen[-1]) == 6
    monkeypatch.delattr(resnet, "training_loss")
    assert train(animals, tmp_path / "plain", "--set", "training.epochs=1") == 0
    assert not same_weights(tmp_path / "own", tmp_path / "plain")


def test_balanced_sampling_draws_classes_equally_often() -> None:
    from saccade.tasks.sampler import EpochSampler

    weights = [1 / 90] * 90 + [1 / 10] * 10
    sampler = EpochSampler(100, 4000, seed=1, weights=weights)
    rare = [index >= 90 for _, _, index in sampler]
    assert np.mean(rare) == pytest.approx(0.5, abs=0.04)
    assert [index for *_, index in sampler] == [index for *_, index in sampler]


def test_augmentation_follows_seed_epoch_and_case(classified, animals) -> None:
    from saccade.runs import read_config
    from saccade.tasks.classification.begin import open_dataset
    from saccade.tasks.classification.dataset import ChangedImages, PreparedImages
    from saccade.tasks.settings import merge

    values = merge(read_config(classified).model_dump(), {"augmentation": {"probability": 1.0, "flip_axes": [1]}})
    config = type(read_config(classified)).parse(values, "test")
    changed = ChangedImages(PreparedImages(open_dataset(animals, {}).cases[:3], config))
    first = changed[1, 0, 2][0]
    assert torch.equal(first, changed[1, 0, 2][0])
    assert first.shape == changed.prepared[2][0].shape
    assert not torch.equal(first, changed[2, 0, 2][0])
    assert not torch.equal(first, changed[1, 0, 1][0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "training.loss=mse"], "resnet: settings: Value error, training.loss for kind classes must be "
         "cross_entropy, got mse."),
        (["--set", "data.kind=regression"], "case cat/00: a regression's target must be a number, got 'cat'."),
        (["--set", "data.columns=class"],
         "data.columns: must be a list of columns, got 'class'. Write data.columns=[class]."),
        (["--set", "augmentation.flip_axes=[2]"], "resnet: settings: Value error, mirror_axes and flip_axes must be "
         "below 2, got 2."),
        (["--task", "segmentation"], "resnet: is a system for classification, got --task segmentation. Leave it out."),
        (["--folds", "30"], "folds: must be from 2 to the number of cases, patients counting as one (24), got 30."),
        (["--set", "training.batch=3"],
         "resnet: unknown setting 'training.batch'. Did you mean 'training.batch_size'? "),
    ],
)  # fmt: skip
def test_wrong_settings(animals, tmp_path, capfd, words, message) -> None:
    assert train(animals, tmp_path / "run", *words) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"saccade: {message}")
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_learnt_from(tmp_path, capfd) -> None:
    def said(root, *more: str) -> str:
        capfd.readouterr()
        assert train(root, tmp_path / "run", *more) == 2
        assert not (tmp_path / "run").exists()
        return capfd.readouterr().err.splitlines()[-1].removeprefix("saccade: ")

    one = graded(tmp_path / "one", 6, label=lambda level: "x")
    assert said(one, "--folds", "2") == (
        f"{one}: label must have at least two classes to tell apart, the training cases are all 'x'."
    )
    broken = class_folders(tmp_path / "broken", 3)
    (broken / "cat/00.png").write_bytes(b"x")
    assert said(broken) == f"{broken}/cat/00.png: cannot be read as a picture (cannot identify image file)."
    mixed = class_folders(tmp_path / "mixed", 3)
    for number in range(3):
        nib.save(nib.Nifti1Image(np.random.rand(5, 6, 4), np.eye(4)), mixed / f"cat/v{number}.nii.gz")
    assert said(mixed).endswith(" and others: images must all be pictures or all volumes, found both.")
    aged = graded(tmp_path / "aged", 8, age=lambda level: ["61.5", "nan", "40", "55"][level])
    assert said(aged) == (
        f"{aged}: age must hold finite numbers, got 'nan' for case p01. Leave the cell empty where there is no target."
    )
    assert said(aged, "--set", "data.columns=[aeg]").startswith(f"{aged}/table.csv: unknown column 'aeg'. Did you mean")
    parted = class_folders(tmp_path / "parted", 2, ("train", "val"))
    assert said(parted, "--fold", "1") == f"{parted}: says itself which cases are held out; leave --fold 1 out."
    (broken / "owl").mkdir()
    assert said(broken).startswith(f"{broken}/owl: empty class: expected an image of this class, found none.")
    assert said(tmp_path / "gone") == f"{tmp_path}/gone: there is no such file or folder."


@pytest.mark.process
def test_two_processes_equal_one(animals, tmp_path) -> None:
    # Adam would blow up the noise of gradients that are nearly zero; batch norm is of each process's own part
    (tmp_path / "plain_network.py").write_text(
        "from torch import nn\n\n\ndef plain(in_channels, out_channels):\n"
        "    layers = nn.Conv2d(in_channels, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(297, out_channels)\n"
        "    return nn.Sequential(*layers)\n"
    )
    sgd = ("--set", "training.optimiser=sgd", "--set", "training.learning_rate=0.05", "--set", "training.epochs=1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for name, devices in (("one", "1"), ("two", "2")):
            more = (*sgd, "--devices", devices, "--accelerator", "cpu")
            assert train(animals, tmp_path / name, *more, system="plain_network:plain") == 0
    from safetensors.torch import load_file

    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4)
