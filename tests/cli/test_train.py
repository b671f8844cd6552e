"""`saccade train` end to end: every system from data to report, and what is said on the way."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tiny import NETWORK, QUICK, files, train

from saccade.cli.main import main

pytestmark = pytest.mark.usefixtures("short_check")


@pytest.mark.parametrize(
    ("system", "patch", "maps"),
    [
        ("attention-unet", "[8,8,8]", True),
        ("attention-unet", "[16,16,1]", True),
        ("unet", "[8,8,8]", False),
        ("homework-unet-2d", "[16,16,1]", False),
        ("homework-unet-3d", "[24,8,8]", False),
    ],
)
def test_from_data_to_report(pairs, tmp_path, capsys, system, patch, maps) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    assert train(pairs, run, "--set", f"data.patch_size={patch}", system=system) == 0
    assert capsys.readouterr().out == f"{run}\n"
    attention = ["--attention"] if maps else []
    assert main(["predict", str(run), str(pairs / "images"), "--out", str(out), *attention]) == 0
    found = files(out)
    names = [f"case{number}" for number in range(5)]
    expected = {f"seg/{name}_seg.nii.gz" if "homework" in system else f"{name}.nii.gz" for name in names}
    assert found >= expected | {"volumes.csv", "labels.label", "labels.ctbl", "labels.json"}
    assert any(name.startswith("attention/case3_gates_") for name in found) == maps
    scores = tmp_path / "metrics.json"
    predictions = out / "seg" if "homework" in system else out
    assert main(["evaluate", str(predictions), str(pairs / "labels"), "--out", str(scores)]) == 0
    assert list(json.loads(scores.read_text("utf-8"))["cases"]) == names
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").stat().st_size > 10_000


def test_it_is_calm(pairs, tmp_path, capfd) -> None:
    assert train(pairs, tmp_path / "run") == 0
    out, err = capfd.readouterr()
    assert out == f"{tmp_path}/run\n"
    assert [line.split()[0] for line in err.splitlines()] == [
        "data", "plan", "net", "cases", "check", "check", "check", "epoch", "predicted",
    ]  # fmt: skip


def test_later_words_win_over_the_file_and_the_file_over_the_preset(pairs, trained, tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text("training: {batch_size: 1, learning_rate: 0.5}\n")
    run = tmp_path / "run"
    mine = ["--config", str(tmp_path / "mine.yaml")]
    assert train(pairs, run, *mine, "--set", "training.batch_size=3") == 0
    config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))["training"]
    assert (config["batch_size"], config["learning_rate"]) == (3, 4e-3)  # `train` sets the rate, too
    arguments = ["train", "attention-unet", "--data", str(pairs), "--out", str(tmp_path / "other"), *mine]
    small = ["--set", "data.patch_size=[8,8,8]", "--set", "network.channels=[2,4,8]", "--set", "training.epochs=1"]
    assert main([*arguments, "--preset", "tiny", *small, "--set", "training.steps_per_epoch=1"]) == 0
    config = yaml.safe_load((tmp_path / "other/config.yaml").read_text("utf-8"))["training"]
    assert (config["batch_size"], config["learning_rate"]) == (1, 0.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("data: 5\n", "unet: data: must hold named settings, got 5."),
        ("- 1\n", "{file}: must hold named values, got list."),
    ],
)
def test_a_file_that_holds_no_settings(pairs, tmp_path, capsys, content, message) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(content)
    arguments = ["--data", str(pairs), "--out", str(tmp_path / "run"), "--config", str(file)]
    assert main(["train", "unet", *arguments]) == 2
    assert capsys.readouterr().err == f"saccade: {message.format(file=file)}\n"


def test_a_fold_decides_who_is_held_out(pairs, tmp_path) -> None:
    held: list[str] = []
    for fold in ("0", "3"):
        run: Path = tmp_path / fold
        assert train(pairs, run, "--fold", fold) == 0
        held += json.loads((run / "splits.json").read_text("utf-8"))["validation"]
    assert len(set(held)) == 2


@pytest.mark.process
def test_ctrl_c_of_a_real_process_keeps_the_finished_epochs(pairs, tmp_path) -> None:
    run = tmp_path / "run"
    arguments = ["train", "attention-unet", "--data", pairs, "--out", run, *QUICK, *NETWORK["attention-unet"]]
    command = [sys.executable, "-m", "saccade", *map(str, arguments), "--set", "training.epochs=100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    try:
        end = time.monotonic() + 120
        while not (run / "last.ckpt").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "saccade: stopped by Ctrl-C; what was finished is kept."
    assert "Traceback" not in err
    assert {"last.ckpt", "metrics.csv", "model.safetensors", "config.yaml"} <= files(run)
    assert not any("partial" in name for name in files(run))
