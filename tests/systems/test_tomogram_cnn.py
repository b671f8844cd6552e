"""`tomogram-cnn` learns from simulated subtomograms by the command line, and its maps add up."""

import json
from pathlib import Path

import nibabel as nib
import pytest
import torch

import saccade
from saccade.cli.main import main
from saccade.explain.response import score_parts
from saccade.systems import find_implementation, find_system
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.settings import merge


def test_the_table_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        network = saccade.build("tomogram-cnn")
    assert sum(p.numel() for p in network.parameters()) == find_system("tomogram-cnn").parameters == 33_237_559


def test_every_preset_is_a_whole_configuration() -> None:
    module = find_implementation("tomogram-cnn")
    planned = {"root": ".", "columns": ["class"], "kind": "classes", "classes": ["a", "b"], "size": [40, 40, 40],
               "intensity": {"kind": "z_score"}}  # fmt: skip
    assert set(module.PRESETS) == {"default", "paper", "tiny"}
    for preset in module.PRESETS.values():
        values = {key: value for key, value in preset.items() if key != "plan"}
        config = ClassificationConfig.parse(merge({"system": "tomogram-cnn", "data": planned}, values), "test")
        network = module.Network.parse(module.plan_network(config.data.model_dump(), config.network), "test")
        assert network.size == (40, 40, 40)


@pytest.mark.parametrize("prepool", [False, True])
def test_from_data_to_a_map_that_adds_up(tmp_path: Path, capsys, short_check, prepool) -> None:
    data, run = str(tmp_path / "set"), str(tmp_path / "run")
    assert main(["data", "make", "tomograms", data, "--cases", "12", "--voxels", "16"]) == 0
    settings = {"network.prepool": prepool, "training.epochs": 1, "training.batch_size": 6}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    assert (
        main(["train", "tomogram-cnn", "--data", data, "--out", run, "--preset", "tiny", "--folds", "6", *words]) == 0
    )
    capsys.readouterr()
    scan, maps = f"{data}/images/tomogram_0003.nii.gz", str(tmp_path / "maps")
    options = ["--method", "respond_cam", "--layer", "pool2", "--truth", f"{data}/truth", "--json"]
    assert main(["explain", run, scan, "--out", maps, *options]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert nib.load(record["map"]).shape == (16, 16, 16)
    assert set(record["localisation"]) == {
        "box_overlap", "localised", "pointing", "energy_inside", "peak_to_evidence_mm"
    }  # fmt: skip
    predictor = saccade.load(run)
    x = predictor.prepared(scan)[None]
    part, rest = score_parts(predictor.network, x, target=2, layer="pool2")
    torch.testing.assert_close(part + rest, predictor.network(x)[:, 2].detach(), rtol=1e-4, atol=1e-5)
