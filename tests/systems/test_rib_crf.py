"""The system rib-crf: built, planned for pictures and volumes, its presets whole, its maps recorded."""

import pytest
import torch

import saccade
from saccade.systems import find_system, rib_crf
from saccade.tasks.landmarks.config import LandmarksConfig
from saccade.tasks.settings import merge

SMALL = {"channels": (2, 4, 4), "out_channels": 5}


def test_its_row_in_the_table() -> None:
    row = find_system("rib-crf")
    assert row.task == "landmarks"
    with torch.device("meta"):
        network = saccade.build("rib-crf")
    assert sum(p.numel() for p in network.parameters()) == row.parameters


@pytest.mark.parametrize("size", [(41, 32), (17, 16, 18), (6, 40)])
def test_it_is_planned_for_pictures_and_volumes(size) -> None:
    planned = rib_crf.plan_network({"size": size}, {"channels": [2, 4, 4]})
    network = saccade.build("rib-crf", **planned, out_channels=5).eval()
    scores = network(torch.zeros(2, 1, *size))
    assert scores.shape == (2, 5, *size)
    assert rib_crf.plan_network({"size": (512, 512)}, {})["channels"] == [16, 32, 64, 128, 128]


def test_an_untrained_map_is_cold_and_recorded_as_shares() -> None:
    network = saccade.build("rib-crf", **SMALL).eval()
    with saccade.record(network) as maps, torch.no_grad():
        scores = network(torch.zeros(1, 1, 16, 24))
    assert float(scores.sigmoid().mean()) == pytest.approx(0.01, abs=0.02)
    assert maps["map"].kind == "spatial"
    assert maps["map"].tensor.shape == (1, 5, 16, 24)
    assert torch.allclose(maps["map"].tensor.sum((2, 3)), torch.ones(1, 5))


@pytest.mark.parametrize("preset", ["default", "paper", "tiny"])
def test_every_preset_is_a_whole_configuration(preset) -> None:
    chosen = rib_crf.PRESETS[preset]
    data = {"root": ".", "names": ["a", "b"], "size": [64, 64], "intensity": {"kind": "z_score"}}
    values = {key: value for key, value in chosen.items() if key != "plan"}
    config = LandmarksConfig.parse(merge({"system": "rib-crf", "data": data}, values), "rib-crf")
    rib_crf.Network.parse(rib_crf.plan_network(config.data.model_dump(), config.network), "rib-crf")
    assert set(chosen["plan"]) <= {"pixels"}
    assert len(config.training.potentials) == (3 if preset == "paper" else 1)
