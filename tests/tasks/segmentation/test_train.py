"""A run from start to end: what it writes, that it can be repeated, stopped and continued, bit for bit."""

import hashlib
import json

import numpy as np
import pytest
import torch
import yaml
from run_files import held_out, history, interrupt, same_weights
from safetensors.torch import load_file
from tiny import blob, files, make_pairs, save, train

from saccade.cli.main import main
from saccade.data.layouts import find_dataset
from saccade.errors import InputError
from saccade.tasks.begin import choose_split
from saccade.tasks.segmentation.begin import deal
from saccade.tasks.weights import read_checkpoint

pytestmark = pytest.mark.usefixtures("short_check")


def test_everything_a_run_leaves(trained) -> None:
    case = held_out(trained)
    found = {name for name in files(trained) if not name.startswith("tensorboard/")}
    maps = {name for name in found if name.startswith("validation/attention/")}
    assert maps
    assert all(name.startswith(f"validation/attention/{case}_gates_") for name in maps)
    assert found - maps == {
        "config.yaml", "model.safetensors", "last.ckpt", "metrics.csv", "summary.json", "environment.json",
        "splits.json", "attention/epochs.npz",
        "validation/metrics.json", f"validation/{case}.nii.gz", f"validation/truth/{case}.nii.gz",
    }  # fmt: skip
    assert any(name.startswith("tensorboard/events") for name in files(trained))


def test_the_split_is_written_with_the_hash_of_every_file(trained, pairs) -> None:
    splits = json.loads((trained / "splits.json").read_text("utf-8"))
    assert sorted(splits["train"] + splits["validation"]) == [f"case{number}" for number in range(5)]
    assert len(splits["validation"]) == 1
    for name, entry in splits["files"].items():
        image, label = pairs / f"images/{name}.nii.gz", pairs / f"labels/{name}.nii.gz"
        assert entry == {
            "image": [str(image)],
            "label": str(label),
            "sha256": {
                "image 0": hashlib.sha256(image.read_bytes()).hexdigest(),
                "label": hashlib.sha256(label.read_bytes()).hexdigest(),
            },
        }


def test_summary_and_environment(trained) -> None:
    summary = json.loads((trained / "summary.json").read_text("utf-8"))
    scores = json.loads((trained / "validation/metrics.json").read_text("utf-8"))
    assert (summary["system"], summary["preset"], summary["epochs"], summary["steps"]) == (
        "attention-unet",
        "tiny",
        2,
        4,
    )
    assert summary["dice"] == {"label 1": scores["cases"][held_out(trained)]["label 1"]["dice"]}
    assert summary["mean_dice"] == summary["dice"]["label 1"]
    assert summary["weights_bytes"] == (trained / "model.safetensors").stat().st_size
    assert summary["kept_epoch"] in (0, 1)
    weights = load_file(trained / "model.safetensors")
    learned = sum(v.numel() for k, v in weights.items() if "running" not in k and "num_batches" not in k)
    assert summary["parameters"] == learned
    environment = json.loads((trained / "environment.json").read_text("utf-8"))
    assert environment["seed"] == 0
    assert environment["packages"]["torch"] == torch.__version__


def test_the_configuration_is_complete_and_repeats_the_run_bit_for_bit(trained, pairs, tmp_path) -> None:
    config = yaml.safe_load((trained / "config.yaml").read_text("utf-8"))
    assert set(config["network"]) == {"spatial_dims", "channels", "pooling", "deep_supervision", "norm", "gates"}
    assert config["network"]["pooling"] == [[2, 2, 2], [1, 1, 1]]
    again = tmp_path / "again"
    arguments = ["--data", str(pairs), "--out", str(again), "--config", str(trained / "config.yaml")]
    assert main(["train", "attention-unet", *arguments]) == 0
    assert history(again) == history(trained)
    assert same_weights(again, trained)
    repeated = yaml.safe_load((again / "config.yaml").read_text("utf-8"))
    assert {**repeated, "preset": "tiny"} == config
    other = tmp_path / "other"
    assert (
        main(["train", "attention-unet", *arguments[:3], str(other), *arguments[4:], "--set", "training.seed=1"]) == 0
    )
    assert history(other)[0]["train_loss"] != history(trained)[0]["train_loss"]


def test_training_learns_the_blob(pairs, tmp_path) -> None:
    settings = [
        "training.epochs=20",
        "training.steps_per_epoch=6",
        "training.learning_rate=0.01",
    ]
    assert train(pairs, tmp_path / "run", *(part for text in settings for part in ("--set", text))) == 0
    losses = [float(row["train_loss"]) for row in history(tmp_path / "run")]
    assert len(losses) == 20
    assert losses[-1] < 0.6 * losses[0]
    assert json.loads((tmp_path / "run/summary.json").read_text("utf-8"))["mean_dice"] > 0.6


def test_ctrl_c_before_an_epoch_is_done_leaves_nothing(pairs, tmp_path, monkeypatch) -> None:
    interrupt(monkeypatch, 0, KeyboardInterrupt())
    assert train(pairs, tmp_path / "run") == 130
    assert not (tmp_path / "run").exists()
    (tmp_path / "empty").mkdir()
    assert train(pairs, tmp_path / "empty") == 130
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_diverged_run_says_so(pairs, tmp_path, capfd, monkeypatch) -> None:
    interrupt(monkeypatch, 1, FloatingPointError("training: the loss became nan at step 3."))
    assert train(pairs, tmp_path / "run") == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "saccade: training: the loss became nan at step 3. "
        "Lower training.learning_rate or use training.precision=32-true."
    )
    assert (tmp_path / "run/last.ckpt").is_file()


def test_the_time_budget_ends_training(pairs, tmp_path) -> None:
    run = tmp_path / "run"
    assert train(pairs, run, "--set", "training.max_seconds=0.3", "--set", "training.epochs=1000") == 0
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    assert 0.3 <= summary["training_seconds"] < 3
    assert summary["epochs"] < 1000
    assert len(history(run)) == summary["epochs"]
    rates = [float(row["learning_rate"]) for row in history(run)]
    assert rates[-1] < 4e-3  # the schedule ends with the budget, not with the thousandth epoch


def test_a_budget_for_less_than_an_epoch_still_gives_a_network(pairs, tmp_path) -> None:
    settings = ["training.max_seconds=0.001", "training.steps_per_epoch=50", "training.validate_every=10"]
    assert train(pairs, tmp_path / "run", *(part for text in settings for part in ("--set", text))) == 0
    summary = json.loads((tmp_path / "run/summary.json").read_text("utf-8"))
    assert summary["steps"] < 50
    assert summary["kept_epoch"] == 0
    assert summary["mean_dice"] is not None


def test_early_stopping_and_the_latest_weights(pairs, tmp_path) -> None:
    settings = ["training.patience=1", "training.keep=last", "training.epochs=50", "training.learning_rate=1e-12"]
    assert train(pairs, tmp_path / "run", *(part for text in settings for part in ("--set", text))) == 0
    summary = json.loads((tmp_path / "run/summary.json").read_text("utf-8"))
    assert summary["epochs"] < 50
    assert summary["kept_epoch"] == summary["epochs"] - 1


def test_slices(pairs, tmp_path) -> None:
    assert train(pairs, tmp_path / "run", "--set", "data.patch_size=[16,8,1]") == 0
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text("utf-8"))
    assert config["network"]["spatial_dims"] == 2
    assert config["network"]["pooling"] == [[2, 2], [2, 1]]
    assert (tmp_path / f"run/validation/{held_out(tmp_path / 'run')}.nii.gz").is_file()


def test_names_given_by_the_user(pairs, tmp_path) -> None:
    (tmp_path / "names.json").write_text('{"1": "ball"}')
    assert train(pairs, tmp_path / "run", "--labels", str(tmp_path / "names.json")) == 0
    assert list(json.loads((tmp_path / "run/summary.json").read_text("utf-8"))["dice"]) == ["ball"]
    assert "val_dice ball" in history(tmp_path / "run")[0]


def test_values_without_a_name_are_refused(tmp_path, capsys) -> None:
    make_pairs(tmp_path / "data")
    (tmp_path / "data/labels.json").write_text('{"1": "ball"}')
    _, label = blob(0)
    save(tmp_path / "data/labels/case0.nii.gz", label * 7)
    code = train(tmp_path / "data", tmp_path / "run", "--folds", "2", "--fold", "1")
    code = code if code else train(tmp_path / "data", tmp_path / "run2", "--folds", "2", "--fold", "0")
    assert code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"saccade: {tmp_path}/data: label values must be among 1, found [7]. Name the classes to learn."
    )


def test_splits(pairs, tmp_path) -> None:
    dataset = find_dataset(pairs)
    seen = [choose_split(dataset, deal, fold=fold, folds=5) for fold in range(5)]
    assert sorted(case.id for _, part in seen for case in part) == [f"case{number}" for number in range(5)]
    assert all(len(train_) == 4 and part[0] not in train_ for train_, part in seen)
    rows = [f"images/case{n}.nii.gz,labels/case{n}.nii.gz,{'validation' if n == 2 else 'train'}" for n in range(4)]
    rows.append("images/case4.nii.gz,labels/case4.nii.gz,test")
    for number in range(5):
        image, label = blob(number)
        save(tmp_path / f"images/case{number}.nii.gz", image)
        save(tmp_path / f"labels/case{number}.nii.gz", label)
    (tmp_path / "list.csv").write_text("\n".join(["image,label,split", *rows]))
    learn, held = choose_split(find_dataset(tmp_path / "list.csv"), deal, fold=0, folds=5)
    assert ([case.id for case in learn], [case.id for case in held]) == (["case0", "case1", "case3"], ["case2"])


def test_a_checkpoint_is_looked_at_without_running_it(trained, tmp_path) -> None:
    assert read_checkpoint(trained / "last.ckpt")["epoch"] == 1
    torch.save({"weights": torch.ones(3)}, tmp_path / "other.ckpt")
    with pytest.raises(InputError) as error:
        read_checkpoint(tmp_path / "other.ckpt")
    assert str(error.value) == (
        f"{tmp_path}/other.ckpt: must be a checkpoint of a run, holds something else. Train again in a new folder."
    )


def test_prediction_of_the_held_out_case_lies_on_its_grid(trained, pairs) -> None:
    import nibabel as nib

    name = held_out(trained)
    found, scan = nib.load(trained / f"validation/{name}.nii.gz"), nib.load(pairs / f"images/{name}.nii.gz")
    np.testing.assert_array_equal(found.affine, scan.affine)
    assert found.shape == scan.shape
    assert found.get_data_dtype() == np.uint8
