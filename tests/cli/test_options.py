"""No option is ignored for a classification: each one does something, or is refused in one line."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from image_sets import graded, train

import saccade
from saccade.cli.main import app, main
from saccade.tasks.settings import read_yaml
from saccade.tasks.weights import weights_digest

pytestmark = pytest.mark.usefixtures("short_check")
RUN_IS = "is for segmentations, this run is a classification."
# Option -> what follows it on the command line, and the line that it is refused with.
REFUSED: dict[str, dict[str, tuple[list[str], str]]] = {
    "predict": {
        "--probabilities": (["all"], f"predict: --probabilities {RUN_IS} The table always has them."),
        "--uncertainty": ([], f"predict: --uncertainty {RUN_IS}"),
        "--clean-up": (["auto"], f"predict: --clean-up {RUN_IS}"),
        "--dicom-seg": ([], f"predict: --dicom-seg {RUN_IS}"),
        "--max-memory": (["4GB"], f"predict: --max-memory {RUN_IS}"),
        "--overlap": (["0"], f"predict: --overlap {RUN_IS}"),
        "--voc": ([], f"predict: --voc {RUN_IS.replace('segmentations', 'detections')}"),
        "--pictures": ([], f"predict: --pictures {RUN_IS.replace('segmentations', 'detections and landmarks')}"),
        "--min-score": (["0.5"], f"predict: --min-score {RUN_IS.replace('segmentations', 'detections')}"),
    },
    "evaluate": {
        name: (words, f"evaluate: {name} is for label maps, PREDICTIONS is a table of predictions.")
        for name, words in {
            "--labels": ["names.json"], "--tolerance": ["1"], "--lesions": ["all"], "--overlap": ["0"],
            "--sizes": ["1"], "--probabilities": ["maps"], "--workers": ["1"],
        }.items()
    },
    "train": {
        "--labels": (["names.json"],
                     "train: --labels is for label maps; a classification's classes are those of its targets."),
    },
    "report": {
        "--max-megabytes": (["9"], "report: --max-megabytes is for scans, this run is a classification. Use --cases."),
    },
    "compare": {
        "--protocol": (["ct82"], "compare: --protocol ct82 is one of segmentations."),
        "--pretrain": (["DATA"], "compare: --pretrain must have --protocol ct82 with it."),
    },
}  # fmt: skip
WORK = {
    "predict": "--out --attention --ensemble --vectors --overwrite --mirror --system --device --backend",
    "evaluate": "--out --csv --markdown --json --missing --against --seed --columns",
    "train": "--data --out --config --preset --set --init-from --freeze --freeze-to --devices --nodes --accelerator "
    "--task --fold --folds --resume --extend",
    "report": "--out --cases",
    "compare": "--data --out --folds --first-folds --seeds --preset --set --json",
}


@pytest.fixture
def line(classified: Path, animals: Path, tmp_path: Path):
    """The command line of a verb that does its work, and where it writes."""
    predictions = classified / "validation/predictions.csv"

    def made(verb: str) -> tuple[list[str], Path]:
        out = tmp_path / verb
        words = {
            "predict": [classified, animals / "cat/00.png"],
            "evaluate": [predictions, animals, "--missing", "skip"],
            "train": ["resnet", "--data", animals],
            "report": [classified],
            "compare": ["resnet", "se-resnet", "--data", animals],
        }[verb]
        return [verb, *map(str, words), "--out", str(out)], out

    return made


@pytest.mark.parametrize("verb", list(WORK))
def test_every_option_has_its_place_here(verb) -> None:
    """Whoever adds one decides what it is to a classification."""
    command = typer.main.get_command(app).commands[verb]
    given = [name for one in command.params for name in one.opts if name.startswith("--")]
    assert sorted(given) == sorted([*REFUSED[verb], *WORK[verb].split()])


@pytest.mark.parametrize(("verb", "option"), [(verb, name) for verb, options in REFUSED.items() for name in options])
def test_what_a_classification_has_not_is_refused(line, classified, animals, capfd, verb, option) -> None:
    (command, out), (words, message) = line(verb), REFUSED[verb][option]
    assert main([*command, option, *(str(animals) if word == "DATA" else word for word in words)]) == 2
    predictions = f"{classified}/validation/predictions.csv"
    assert capfd.readouterr().err == f"saccade: {message.replace('PREDICTIONS', predictions)}\n"
    assert not out.exists()


def test_what_label_maps_have_not_is_refused(pairs, tmp_path, capfd) -> None:
    labels = str(pairs / "labels")
    assert main(["evaluate", labels, labels, "--out", str(tmp_path / "m.json"), "--columns", "age"]) == 2
    assert capfd.readouterr().err == f"saccade: evaluate: --columns is for tables of predictions, {labels} is none.\n"


def test_prediction(line, classified, animals, tmp_path, capfd) -> None:
    def said(run: Path, *words: str) -> float:
        out = tmp_path / "out"
        command = ["predict", str(run), str(animals / "cat/00.png"), "--out", str(out), *words]
        assert main(command) == 0
        return float(next(csv.DictReader((out / "predictions.csv").open()))["p_cat"])

    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    run = shutil.copytree(classified, tmp_path / "run", ignore=shutil.ignore_patterns("tensorboard"))
    assert main(["export", str(run), "--format", "onnx"]) == 0
    plain = said(run)
    assert said(run, "--backend", "onnx") == pytest.approx(plain, abs=1e-3)
    made_by = json.loads((tmp_path / "out/predictions.json").read_text("utf-8"))["made_by"]
    assert made_by.split()[0] != weights_digest(saccade.load(run).network)
    mirrored = saccade.load(run).with_inference({"mirror_axes": [0, 1]}).predict(animals / "cat/00.png").values["cat"]
    assert said(run, "--mirror", "0,1") == pytest.approx(mirrored, rel=1e-4)
    made_by = json.loads((tmp_path / "out/predictions.json").read_text("utf-8"))["made_by"]
    assert '"mirror_axes":[0,1]' in made_by  # the probabilities of so easy an image hardly differ
    for words, message in (
        (["--mirror", "2"], "predict: settings: Value error, mirror_axes and flip_axes must be below 2, got 2."),
        (["--system", "a:B"], f"{classified}: is a run of resnet, cannot be opened as a:B."),
        (["--device", "abacus"], "device: must be cpu, cuda, mps, xpu, with a number behind a colon, got 'abacus'."),
    ):
        command, out = line("predict")
        capfd.readouterr()
        assert main([*command, *words]) == 2
        assert capfd.readouterr().err == f"saccade: {message}\n"
        assert not out.exists()


def test_evaluation(line, tmp_path, capfd) -> None:
    command, out = line("evaluate")
    results = []
    for seed in ("0", "1"):
        assert main([*command, "--json", "--seed", seed]) == 0
        results.append(json.loads(capfd.readouterr().out))
        assert results[-1] == json.loads(out.read_text("utf-8"))
    one, other = (result["summary"]["brier"] for result in results)
    assert one["value"] == other["value"]
    assert (one["low"], one["high"]) != (other["low"], other["high"])
    root = graded(tmp_path / "set", 4, age=lambda level: 10.5 * level, height=lambda level: 100.5 + level)
    (tmp_path / "p.csv").write_text("case,age\n" + "".join(f"p0{n},{10.5 * n + 2}\n" for n in range(4)))
    for column, error in (("age", 2.0), ("height", np.mean([abs(10.5 * n + 2 - 100.5 - n) for n in range(4)]))):
        words = [str(tmp_path / "p.csv"), str(root), "--columns", column, "--out", str(tmp_path / "m.json")]
        assert main(["evaluate", *words]) == 0
        found = json.loads((tmp_path / "m.json").read_text("utf-8"))
        assert found["summary"]["mae"]["value"] == pytest.approx(error)


def test_training(classified, animals, tmp_path) -> None:
    config = tmp_path / "config.yaml"
    text = (classified / "config.yaml").read_text("utf-8")
    config.write_text(text.replace("label_smoothing: 0.0", "label_smoothing: 0.125"))
    run = tmp_path / "run"
    words = ("--config", str(config), "--init-from", str(classified), "--freeze", "conv1.*", "--freeze-to", "1",
             "--fold", "1", "--folds", "3", "--nodes", "1", "--accelerator", "cpu",
             "--set", "training.epochs=1")  # fmt: skip
    assert train(animals, run, *words) == 0
    made = read_yaml(run / "config.yaml")
    assert made["training"]["label_smoothing"] == 0.125
    assert made["training"]["freeze"] == ["conv1.*"]
    assert json.loads((run / "init.json").read_text("utf-8"))["source"] == str(classified / "model.safetensors")
    splits = [json.loads((folder / "splits.json").read_text("utf-8")) for folder in (run, classified)]
    assert [len(split["validation"]) for split in splits] == [8, 12]
    assert json.loads((run / "environment.json").read_text("utf-8"))["devices"]["kind"] == "cpu"
    before, after = (saccade.load(folder).network.state_dict() for folder in (classified, run))
    assert made["training"]["freeze_to"] == 1
    frozen = [name for name in before if name.startswith(("conv1.", "bn1.", "layer1."))]
    assert frozen
    assert all((before[name] == after[name]).all() for name in frozen)
    assert any((before[name] != after[name]).any() for name in before)
