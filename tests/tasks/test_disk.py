"""Disks that are full or read-only: one line, what was finished is whole, and a later command goes on."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from disk import Disk
from fake_predictor import Fake
from run_files import history, same_weights
from tiny import blob, files, save, train

from saccade.cli.main import main
from saccade.files import write_json, write_tensors

pytestmark = [
    pytest.mark.usefixtures("short_check"),
    pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full"),
]


class Quick(Fake):
    """Works without a run, with whatever the command line asks for."""

    def with_inference(self, changes) -> "Quick":
        return self


FULL, READ_ONLY = os.strerror(errno.ENOSPC), os.strerror(errno.EROFS)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    (tmp_path / "disk").mkdir()
    return Disk(tmp_path / "disk", monkeypatch)


@pytest.fixture
def fails(capfd):
    """Run a command line that must fail; gives the last line on stderr, the only one that is an error."""

    def run(*arguments: object) -> str:
        capfd.readouterr()
        assert main([str(argument) for argument in arguments]) == 1
        return one_error(capfd.readouterr().err)

    return run


def one_error(err: str) -> str:
    assert "Traceback" not in err
    lines = err.splitlines()
    assert [line for line in lines if line.startswith("saccade: ")] == lines[-1:], err
    return lines[-1]


def nothing_half(root: Path) -> None:
    """No file is a temporary one, cut, or only a name."""
    for path in root.rglob("*"):
        assert ".partial." not in path.name
        assert not path.is_symlink()
        if path.is_file() and "tensorboard" not in path.parts:
            assert path.stat().st_size > 0
            if path.suffix == ".gz":
                np.asarray(nib.load(path).dataobj)
            elif path.suffix == ".json":
                json.loads(path.read_text("utf-8"))


def test_the_disk_is_what_it_seems(disk, tmp_path) -> None:
    import torch

    place = tmp_path / "disk/a.json"
    for write in (lambda: write_json(place, [1]), lambda: write_tensors(place, {"a": torch.zeros(3)})):
        write()
        before = place.read_bytes()
        disk.fill(after=0)
        with pytest.raises(OSError, match=FULL) as error:
            write()
        assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(place))
        disk.forbid()
        with pytest.raises(OSError, match=READ_ONLY) as error:
            write()
        assert (error.value.errno, error.value.filename) == (errno.EROFS, str(place))
        disk.free()
        assert place.read_bytes() == before
        assert files(tmp_path) == {"disk/a.json"}


def every_moment(disk: Disk) -> Iterator[int]:
    """Fill the disk before the first thing that is made, before the second, and so on until all fit."""
    for after in range(1000):
        disk.fill(after=after)
        yield after
        if disk.made <= after:
            return
    raise AssertionError("there is no end to it")


def test_a_full_disk_at_any_moment_of_a_prediction(disk, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setattr("saccade.runs.load", lambda *_, **__: Quick())
    scans, undisturbed, out = tmp_path / "in", tmp_path / "undisturbed", tmp_path / "disk/out"
    for n, name in enumerate("ab"):
        save(scans / f"{name}.nii.gz", np.random.default_rng(n).integers(0, 3, (5, 7, 3)).astype(np.int16))
    options = ("--attention", "--uncertainty", "--probabilities", "liver")
    command = ["predict", "run", str(scans), *options, "--out"]
    assert main([*command, str(undisturbed)]) == 0
    moments = 0
    for after in every_moment(disk):
        capfd.readouterr()
        code = main([*command, str(out)])
        _, err = capfd.readouterr()
        if code == 0:
            assert disk.made <= after
        else:
            moments += 1
            assert code == 1
            assert one_error(err).startswith(f"saccade: the machine refused: {FULL}: {out}"), err
            nothing_half(tmp_path / "disk")
            disk.free()
            assert main([*command, str(out)]) == 0
        disk.free()
        nothing_half(tmp_path / "disk")
        assert files(out) == files(undisturbed)
        for name in files(out):
            if name.endswith((".nii.gz", ".csv", ".label", ".ctbl")):
                assert (out / name).read_bytes() == (undisturbed / name).read_bytes()
        shutil.rmtree(out)
    assert moments > 20  # two scans with four maps and a record each, and the tables


@pytest.mark.parametrize(
    ("at", "count", "epochs"),
    [
        ("config.yaml", 1, 0),
        ("model.safetensors", 1, 0),
        ("last.ckpt", 2, 1),
        ("nii.gz", 1, 2),
    ],
)
def test_a_full_disk_at_many_moments_of_a_training(disk, tmp_path, pairs, trained, capfd, at, count, epochs) -> None:
    run = tmp_path / "disk/run"
    disk.fill(at=at, count=count)
    capfd.readouterr()
    assert train(pairs, run) == 1
    last = one_error(capfd.readouterr().err)
    assert last.startswith(f"saccade: the machine refused: {FULL}"), last
    assert at in last
    disk.free()
    assert run.is_dir() == (epochs > 0)
    nothing_half(tmp_path / "disk")
    assert train(pairs, run, *(["--resume"] if epochs else [])) == 0
    assert history(run) == history(trained)
    assert same_weights(run, trained)
    nothing_half(run)


def test_a_full_disk_while_scores_or_a_page_are_written(disk, fails, trained, tmp_path) -> None:
    place = tmp_path / "disk"
    predictions, truth = trained / "validation", trained / "validation/truth"
    commands = {
        "scores.json": ("evaluate", predictions, truth, "--workers", 1, "--out", place / "scores.json"),
        "page.html": ("report", trained, "--out", place / "page.html"),
    }
    for name, command in commands.items():
        assert main([str(word) for word in command]) == 0
        before = (place / name).read_bytes()
        disk.fill()
        assert fails(*command) == f"saccade: the machine refused: {FULL}: {place}/{name}"
        disk.forbid()
        assert fails(*command) == f"saccade: the machine refused: {READ_ONLY}: {place}/{name}"
        disk.free()
        assert (place / name).read_bytes() == before
    assert files(place) == set(commands)


def times(place: Path) -> dict[str, int]:
    """When each file was written; TensorBoard's pass the pretended disk by, a real one refuses them."""
    return {name: (place / name).stat().st_mtime_ns for name in files(place) if "tfevents" not in name}


def test_a_read_only_disk(disk, fails, trained, pairs, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("saccade.runs.load", lambda *_, **__: Quick())
    place = tmp_path / "disk"
    save(place / "in/a.nii.gz", np.random.default_rng(0).integers(0, 3, (5, 7, 3)).astype(np.int16))
    run = shutil.copytree(trained, place / "run")
    before = times(place)
    disk.forbid()
    refused = f"saccade: the machine refused: {READ_ONLY}: {place}"
    small = ("--preset", "tiny", "--folds", 2, "--set", "network.channels=[2,4,8]")
    for command in (
        ("train", "attention-unet", "--data", pairs, "--out", place / "new", *small),
        ("train", "attention-unet", "--data", pairs, "--out", run, "--resume"),
        ("predict", run, place / "in", "--out", place / "out"),
        ("data", "make", "abdomen", place / "made", "--cases", 1),
    ):
        assert fails(*command).startswith(refused), command
    disk.free()
    assert times(place) == before


def test_a_read_only_disk_can_be_read_from(disk, trained, tmp_path, capfd) -> None:
    """Data and runs on a server where nothing may be written: predicting elsewhere and checking work."""
    place = tmp_path / "disk"
    image, label = blob(1)
    save(place / "images/a.nii.gz", image), save(place / "labels/a.nii.gz", label)
    run = shutil.copytree(trained, place / "run")
    disk.forbid()
    assert main(["data", "check", str(place / "images")]) == 0
    assert main(["predict", str(run), str(place / "images"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/a.nii.gz").is_file()
