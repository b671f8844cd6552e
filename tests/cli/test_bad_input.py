"""Bad input of every kind: one line on stderr, the right exit code, no traceback, nothing half-written."""

import gzip
import pickle
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from tiny import AFFINE, SHAPE, blob, files, make_pairs, save, train

from saccade.cli.main import main
from saccade.systems import SYSTEMS
from saccade.tasks.segmentation.predictor import SegmentationPredictor

pytestmark = pytest.mark.usefixtures("short_check")


@pytest.fixture
def fails(capfd):
    """Run a command line that must fail; gives its one line without the program's name."""

    def run(code: int, *arguments: object) -> str:
        capfd.readouterr()
        found = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        # what is said before a scan's work begins is no error
        lines = [line for line in err.splitlines() if ": memory expected at most " not in line]
        assert (found, len(lines), out) == (code, 1, ""), err
        assert lines[0].startswith("saccade: ")
        return lines[0].removeprefix("saccade: ")

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_pairs(tmp_path / "data", 3)


def training(data: Path, out: Path, *more: str) -> tuple[object, ...]:
    return ("train", "attention-unet", "--data", data, "--out", out, "--folds", 2, "--preset", "tiny", *more)


# names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'."),
        (["systems", "--jsn"], "No such option: --jsn"),
        (["train", "unet", "--data", "d"], "Missing option '--out'."),
        (["predict"], "Missing argument 'run'."),
        (["train", "unet", "--data", "d", "--out", "o", "--folds", "one"], "Invalid value for '--folds'"),
    ],
)
def test_verbs_and_options(fails, arguments, message) -> None:
    assert fails(2, *arguments).startswith(message)


def test_systems_presets_and_settings(fails, pairs, tmp_path) -> None:
    out = tmp_path / "run"
    where = ("--data", pairs, "--out", out)
    assert fails(2, "train", "atention-unet", *where) == (
        f"saccade: unknown system 'atention-unet'. Did you mean 'attention-unet'? Known: {', '.join(SYSTEMS)}."
    )
    assert fails(2, "train", "unet", *where, "--preset", "tiney") == (
        "unet: unknown preset 'tiney'. Did you mean 'tiny'? Known: default, paper, tiny."
    )
    assert fails(2, "train", "unet", *where, "--set", "training.epoch=5").startswith(
        "unet: unknown setting 'training.epoch'. Did you mean 'training.epochs'? Known: training.loss, "
    )
    assert fails(2, "train", "unet", *where, "--set", "network.chanels=[2,4,8]").startswith(
        "unet: network: unknown setting 'chanels'. Did you mean 'channels'? Known: "
    )
    assert fails(2, "train", "unet", *where, "--set", "network.out_channels=5") == (
        "unet: network: out_channels must be left out, the data decides."
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.patch_size=[0,8,8]", "attention-unet: data.patch_size.0: Input should be greater than or equal to 1, got 0."),  # noqa: E501
        ("data.patch_size=16", "attention-unet: data.patch_size: Input should be a valid tuple, got 16."),
        ("training.learning_rate=-0.1", "attention-unet: training.learning_rate: Input should be greater than 0, got -0.1."),  # noqa: E501
        ("training.epochs=0", "attention-unet: training.epochs: Input should be greater than or equal to 1, got 0."),
        ("training.epochs=", "attention-unet: training.epochs: Input should be a valid integer, got None."),
        ("training=5", "attention-unet: training: must hold named settings, got 5."),
        ("data=5", "attention-unet: data: must hold named settings, got 5."),
        ("network.channels=5", "attention-unet: network: channels: Input should be a valid tuple, got 5."),
        ("network.channels=[2,4]", "AttentionUNet: channels must name at least 3 levels, got 2."),
        ("epochs", "--set: must be key=value, got 'epochs'."),
    ],
)  # fmt: skip
def test_values(fails, pairs, tmp_path, setting, message) -> None:
    assert fails(2, *training(pairs, tmp_path / "run", "--set", setting)) == message
    assert not (tmp_path / "run").exists()


def test_settings_that_the_machine_or_the_network_cannot_take(capfd, pairs, tmp_path) -> None:
    assert train(pairs, tmp_path / "run", "--set", "network.spatial_dims=2", "--set", "network.pooling=2") == 2
    assert "saccade: check: the network cannot take images of shape (1, 1, 8, 8, 8): " in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


# folders --------------------------------------------------------------------------------------------------------------


def test_data_that_is_not_there(fails, tmp_path) -> None:
    out = tmp_path / "run"
    assert fails(2, *training(tmp_path / "gone", out)) == f"{tmp_path}/gone: there is no such folder."
    (tmp_path / "empty").mkdir()
    assert fails(2, *training(tmp_path / "empty", out)).endswith("got an empty folder.")
    make_pairs(tmp_path / "data", 2)
    shutil.rmtree(tmp_path / "data/labels")
    assert fails(2, *training(tmp_path / "data", out)).startswith(f"{tmp_path}/data: ")
    assert not out.exists()


def test_folds(fails, pairs, data, tmp_path) -> None:
    out = tmp_path / "run"
    few = ("train", "unet", "--data", data, "--out", out)
    assert fails(2, *few) == f"{data}: must have at least 5 labelled cases for 5 folds, found 3."
    assert fails(2, *training(pairs, out, "--fold", "2")) == "train: fold must be 0 to 1, got 2."
    assert fails(2, *training(pairs, out, "--fold", "-1")) == "train: fold must be 0 to 1, got -1."
    assert not out.exists()


def test_places_to_write(fails, pairs, trained, tmp_path) -> None:
    (tmp_path / "file").write_text("keep me")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("keep me")
    assert fails(2, *training(pairs, tmp_path / "file")) == f"{tmp_path}/file: must be a folder, that is a file."
    assert fails(2, *training(pairs, tmp_path / "file/run")) == (
        f"{tmp_path}/file/run: must be a folder, {tmp_path}/file is a file."
    )
    assert fails(2, *training(pairs, tmp_path / "full")) == (
        f"{tmp_path}/full: must be new or empty, holds something. Choose another folder, or --resume."
    )
    assert fails(2, "predict", trained, pairs / "images/case0.nii.gz", "--out", tmp_path / "file") == (
        f"{tmp_path}/file: must be a folder, that is a file."
    )
    assert files(tmp_path) == {"file", "full/thesis.tex"}


def test_resume_without_a_run_or_with_another(fails, pairs, trained, tmp_path) -> None:
    assert fails(2, *training(pairs, tmp_path / "run", "--resume")) == (
        f"{tmp_path}/run: nothing to resume, there is no last.ckpt."
    )
    resume = ("--data", pairs, "--out", trained, "--resume")
    assert fails(2, "train", "unet", *resume) == f"{trained}: is a run of attention-unet, cannot be resumed as unet."
    assert fails(2, "train", "attention-unet", *resume, "--set", "training.epochs=9") == (
        f"{trained}: a resumed run keeps its settings, got another training.epochs. "
        "Edit its config.yaml, or start anew."
    )
    changed = make_pairs(tmp_path / "data")
    save(changed / "labels/case3.nii.gz", blob(77)[1])
    assert fails(2, "train", "attention-unet", "--data", changed, "--out", trained, "--resume") == (
        f"case case3: its files are not those that the run in {trained} began with. Train again."
    )


def test_runs_that_are_none(fails, trained, pairs, tmp_path) -> None:
    scan = pairs / "images/case0.nii.gz"

    def predict(run: Path) -> str:
        return fails(2, "predict", run, scan, "--out", tmp_path / "out")

    assert predict(tmp_path / "gone") == f"{tmp_path}/gone: must be the folder of a run, there is no such folder."
    run = tmp_path / "run"
    run.mkdir()
    assert predict(run) == f"{run}: is not a run, there is no config.yaml in it."
    shutil.copy(trained / "config.yaml", run)
    assert predict(run).startswith(f"{run}/model.safetensors: cannot be read as weights (")
    config = (run / "config.yaml").read_text("utf-8")
    (run / "config.yaml").write_text(config.replace("version: 1", "version: 99"))
    assert predict(run) == f"{run}/config.yaml: must be of format version 1, got 99. Train the run again."
    (run / "config.yaml").write_text("a: [1")
    assert predict(run) == f"{run}/config.yaml: cannot be read as YAML (while parsing a flow sequence)."
    (run / "config.yaml").write_text(config.replace("system: attention-unet", "system: no-net"))
    assert predict(run).startswith("saccade: unknown system 'no-net'.")
    (run / "config.yaml").write_text(
        config.replace("- 8\n  pooling", "- 16\n  pooling").replace("  - 8\n", "  - 16\n", 1)
    )
    shutil.copy(trained / "model.safetensors", run)
    assert predict(run).startswith(
        f"{run}/model.safetensors: holds the weights of another network than config.yaml describes ("
    )
    assert not (tmp_path / "out").exists()


# scans ----------------------------------------------------------------------------------------------------------------


def spoil(path: Path, how: str) -> None:
    image, label = blob(1)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif how == "text":
        path.write_bytes(gzip.compress(b"patient 7, no findings\n" * 50))
    elif how == "plain text":
        path.write_text("patient 7, no findings\n")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "constant":
        save(path, np.full(SHAPE, 40, np.int16))
    elif how == "nan":
        image[3, 2, 1] = np.nan
        save(path, image)
    elif how == "4D":
        save(path, np.stack([image, image], -1))
    elif how == "other shape":
        save(path, label[:-1])
    elif how == "other affine":
        save(path, label, AFFINE @ np.diag([1, 1, 1.5, 1]))


SCANS = ["truncated", "text", "plain text", "empty", "constant", "nan", "4D"]


@pytest.mark.parametrize("how", SCANS)
def test_scans_to_predict(fails, trained, tmp_path, how) -> None:
    path = save(tmp_path / "scan.nii.gz", blob(1)[0])
    spoil(path, how)
    line = fails(2, "predict", trained, path, "--out", tmp_path / "out", "--attention")
    assert line.startswith(f"{path}: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("how", [how for how in SCANS if how != "4D"])
def test_images_to_train_on(fails, data, tmp_path, how) -> None:
    for number in range(3):
        spoil(data / f"images/case{number}.nii.gz", how)
    assert f"{data}/images/case" in fails(2, *training(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_one_image_with_more_channels_than_the_others(capfd, pairs, tmp_path) -> None:
    for number in range(5):  # held out or not
        data = shutil.copytree(pairs, tmp_path / f"data{number}")
        spoil(data / f"images/case{number}.nii.gz", "4D")
        assert train(data, tmp_path / "run") == 2
        last = capfd.readouterr().err.splitlines()[-1]
        assert last in (
            f"saccade: {data}: all cases must have equally many channels, found [1, 2].",
            f"saccade: case{number}: must have 1 channel(s), got 2.",
        )
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", ["truncated", "text", "other shape", "other affine", "nan", "4D"])
def test_labels_to_train_on(fails, data, tmp_path, how) -> None:
    for number in range(3):
        spoil(data / f"labels/case{number}.nii.gz", how)
    assert f"{data}/labels/case" in fails(2, *training(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_bad_scan_behind_a_good_one_keeps_the_good_one(trained, tmp_path, capfd) -> None:
    good, bad = (save(tmp_path / f"in/{name}.nii.gz", blob(1)[0]) for name in "ab")
    spoil(bad, "nan")
    assert main(["predict", str(trained), str(good.parent), "--out", str(tmp_path / "out")]) == 2
    out, err = capfd.readouterr()
    assert out == f"{tmp_path}/out/a.nii.gz\n"
    assert err.splitlines()[-1] == f"saccade: {bad}: voxels must be finite numbers, found NaN or infinity."
    assert files(tmp_path / "out") == {
        "a.nii.gz", "labels.ctbl", "labels.json", "labels.label", "records/a.json", "volumes.csv",
    }  # fmt: skip


@pytest.mark.parametrize("shape", [(17, 13, 1), (1, 13, 11), (3, 2, 5), (1, 1, 2), (40, 3, 9)])
def test_scans_smaller_than_the_patch_work(trained, tmp_path, shape) -> None:
    path = save(tmp_path / "scan.nii.gz", np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert main(["predict", str(trained), str(path), "--out", str(tmp_path / "out"), "--attention"]) == 0
    for name in files(tmp_path / "out"):
        if name.endswith(".nii.gz"):
            assert nib.load(tmp_path / "out" / name).shape in (shape, shape[:2])


@pytest.mark.parametrize("shape", [(17, 13, 1), (6, 5, 7)])
def test_training_on_volumes_smaller_than_the_patch_works(tmp_path, shape) -> None:
    data = make_pairs(tmp_path / "data", 3, shape)
    assert train(data, tmp_path / "run", "--folds", "2") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mirror", "7"], "--mirror: must be different axes out of 0, 1 and 2, separated by commas, got '7'."),
        (["--mirror", "01"], "--mirror: must be different axes out of 0, 1 and 2, separated by commas, got '01'."),
        (["--mirror", "0,0"], "--mirror: must be different axes out of 0, 1 and 2, separated by commas, got '0,0'."),
        (["--overlap", "1.5"], "predict: inference.overlap: Input should be less than 1, got 1.5."),
        (["--overlap", "-1"], "predict: inference.overlap: Input should be greater than or equal to 0, got -1.0."),
        (["--device", "nonsense"],
         "device: must be cpu, cuda, mps, xpu, with a number behind a colon, got 'nonsense'."),
    ],
)  # fmt: skip
def test_options_of_predict(fails, trained, pairs, tmp_path, options, message) -> None:
    scan = pairs / "images/case0.nii.gz"
    assert fails(2, "predict", trained, scan, "--out", tmp_path / "out", *options) == message
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_here(fails, trained, pairs, tmp_path) -> None:
    line = fails(2, "predict", trained, pairs / "images", "--out", tmp_path / "out", "--device", "cuda")
    assert line.startswith("device: 'cuda' cannot be used on this machine (")


def test_scans_that_are_not_there(fails, trained, tmp_path) -> None:
    out = ("--out", tmp_path / "out")
    assert fails(2, "predict", trained, tmp_path / "gone.nii", *out) == (
        f"{tmp_path}/gone.nii: there is no such file or folder."
    )
    (tmp_path / "notes.txt").write_text("x")
    assert fails(2, "predict", trained, tmp_path / "notes.txt", *out).startswith(f"{tmp_path}/notes.txt: not a volume.")
    (tmp_path / "empty").mkdir()
    assert fails(2, "predict", trained, tmp_path / "empty", *out).startswith(f"{tmp_path}/empty: ")
    assert not (tmp_path / "out").exists()


# poison ---------------------------------------------------------------------------------------------------------------


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


def test_the_bomb_works(tmp_path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "boom")))
    assert (tmp_path / "boom").exists()


@pytest.mark.parametrize("wrapped", ["pickle", "torch"])
def test_nothing_in_a_run_is_executed(fails, trained, pairs, tmp_path, wrapped) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    bomb = {"state_dict": Bomb(tmp_path / "boom")}
    for name in ("model.safetensors", "last.ckpt"):
        if wrapped == "torch":
            torch.save(bomb, run / name)
        else:
            (run / name).write_bytes(pickle.dumps(bomb))
    assert fails(2, "predict", run, pairs / "images", "--out", tmp_path / "out").startswith(
        f"{run}/model.safetensors: cannot be read as weights ("
    )
    assert fails(2, "train", "attention-unet", "--data", pairs, "--out", run, "--resume").startswith(
        f"{run}/last.ckpt: cannot be read as a checkpoint ("
    )
    assert not (tmp_path / "boom").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("keep", [0, 100, -64])
def test_damaged_weights_and_checkpoints(fails, trained, pairs, tmp_path, keep) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    for name in ("model.safetensors", "last.ckpt"):
        (run / name).write_bytes((run / name).read_bytes()[:keep])
    before = files(run)
    assert f"{run}/model.safetensors: " in fails(2, "predict", run, pairs / "images", "--out", tmp_path / "out")
    assert f"{run}/last.ckpt: " in fails(2, "train", "attention-unet", "--data", pairs, "--out", run, "--resume")
    assert files(run) == before


# the machine ----------------------------------------------------------------------------------------------------------


def test_ctrl_c_while_predicting(fails, trained, pairs, tmp_path, monkeypatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SegmentationPredictor, "segment", stop)
    line = fails(130, "predict", trained, pairs / "images", "--out", tmp_path / "out")
    assert line == "stopped by Ctrl-C; what was finished is kept."
    assert not (tmp_path / "out").exists()


def full_disk(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device", "somewhere")


def test_a_full_disk_while_predicting(fails, trained, pairs, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("saccade.data.volume.write_nifti", full_disk)
    line = fails(1, "predict", trained, pairs / "images/case0.nii.gz", "--out", tmp_path / "out")
    assert line == "the machine refused: No space left on device: somewhere"
    assert files(tmp_path / "out") == set()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("writing failed\nbadly")])
def test_a_full_disk_while_training(pairs, tmp_path, monkeypatch, capfd, error) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("saccade.tasks.callbacks.write_tensors", full)
    assert train(pairs, tmp_path / "run") == 1
    last = capfd.readouterr().err.splitlines()[-1]
    if isinstance(error, OSError):
        assert last == "saccade: the machine refused: No space left on device"
    else:
        assert last == "saccade: unexpected RuntimeError: writing failed badly (run again with --debug)"
    assert not (tmp_path / "run").exists()


def test_a_traceback_only_when_asked_for(capsys) -> None:
    assert main(["train", "nothing", "--data", "d", "--out", "o"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main(["train", "nothing", "--data", "d", "--out", "o", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("saccade: saccade: unknown system 'nothing'.")
