"""Subject2Vec as a system: planned for its images, trained by all three losses, from the command line to the report."""

import csv
import json

import numpy as np
import pytest
import torch

import saccade
from saccade.cli.main import main
from saccade.data.synthetic import lungs
from saccade.data.volume import read_volume
from saccade.losses.subject import attention_spread
from saccade.networks.subject2vec import UniformAttention
from saccade.systems import subject2vec
from saccade.systems.subject2vec import Network, illustrate, plan_network, training_loss

SMALL = {"spatial_dims": 2, "patch_size": 4, "overlap": 1, "channels": (3, 5), "hidden": 4, "out_channels": 1}


@pytest.mark.parametrize(
    ("size", "given", "patch", "overlap", "levels"),
    [
        ((96, 96, 96), {}, 32, 12, 5),
        ((64, 48, 56), {}, 16, 6, 4),
        ((13, 11), {}, 4, 1, 2),
        ((64, 48, 56), {"patch_size": 20}, 20, 7, 5),
        ((64, 48, 56), {"patch_size": 32, "overlap": 0, "channels": [3, 4]}, 32, 0, 2),
    ],
)
def test_patches_are_planned_for_the_images(size, given, patch, overlap, levels) -> None:
    planned = plan_network({"size": size}, given)
    assert (planned["patch_size"], planned["overlap"], len(planned["channels"])) == (patch, overlap, levels)
    assert planned["spatial_dims"] == len(size)
    assert planned["foreground"] == "all"


@pytest.mark.parametrize(("low", "where"), [(-1020.0, "enclosed"), (-150.0, "all"), (None, "all")])
def test_in_ct_with_air_patches_lie_in_what_is_enclosed(low, where) -> None:
    assert plan_network({"size": (32, 32, 32), "intensity": {"low": low}}, {})["foreground"] == where
    assert plan_network({"size": (32, 32, 32), "intensity": {"low": low}}, {"foreground": "bright"})["foreground"] == (
        "bright"
    )


def test_the_paper_is_the_paper() -> None:
    settings = Network.parse(subject2vec.PAPER["network"], "paper")
    assert (settings.patch_size, settings.overlap, settings.inside, settings.hidden) == (32, 12, 0.7, 64)
    assert settings.channels == (8, 16, 32, 64, 128)
    assert (settings.reconstruction_weight, settings.spread_weight) == (10.0, 1e-4)
    values = subject2vec.PAPER["data"]["intensity"]
    assert [(hu - values["mean"][0]) / values["std"][0] for hu in (-1024, 240)] == [0, 1]


def test_the_loss_is_that_of_all_three_networks() -> None:
    torch.manual_seed(0)
    network = saccade.build("subject2vec", **SMALL, reconstruction_weight=0.5, spread_weight=0.01).eval()
    images, targets = torch.rand(3, 1, 13, 11), torch.rand(3, 1)
    sets = network.cut(images)
    subject = network.network.describe(sets.patches, sets.mask)
    task = (subject.prediction - targets).abs().mean()
    rebuilt = (subject.reconstruction - sets.patches[sets.mask]).square().mean()
    spread = attention_spread(subject.weights, sets.mask).mean()
    found = training_loss(network, images, targets, lambda logits: (logits - targets).abs().mean())
    torch.testing.assert_close(found, task + 0.5 * rebuilt + 0.01 * spread)
    found.backward()
    assert all(p.grad is not None for p in network.parameters())


def test_the_control_pools_the_mean() -> None:
    network = saccade.build("subject2vec", **SMALL, attention="uniform").eval()
    learnt = saccade.build("subject2vec", **SMALL)
    assert isinstance(network.network.discriminative.attention, UniformAttention)
    lacks = set(learnt.state_dict()) - set(network.state_dict())
    assert lacks
    assert all(".attention." in name for name in lacks)
    with saccade.record(network) as seen:
        network(torch.rand(2, 1, 13, 11))
    weights = seen["network.discriminative.attention.map"].tensor
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / weights.shape[2]))
    map_ = seen["map"].tensor
    assert (map_[map_ > 0] == 1).all()
    assert (map_ > 0).any()


@pytest.mark.parametrize("dims", [2, 3])
def test_the_illustrations_show_attention_and_what_patches_add(dims) -> None:
    torch.manual_seed(0)
    network = saccade.build("subject2vec", **{**SMALL, "spatial_dims": dims, "out_channels": 2}).eval()
    shown = illustrate(network, torch.rand(1, 1, *(13, 11, 9)[:dims]))
    assert [one.title.split(";")[0] for one in shown] == [
        "attention, 1 is the mean", "added to score 0", "added to score 1",
    ]  # fmt: skip
    for one in shown:
        assert one.picture.shape == ((13, 11, 3) if dims == 2 else (11, 13, 3))
        assert (np.ptp(one.picture, axis=2) > 0).any()  # there is colour on the grey
    one = illustrate(saccade.build("subject2vec", **SMALL).eval(), torch.rand(1, 1, 13, 11))
    assert one[1].title.startswith("added to the score; ")


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    """Ten small chests; each voxel is twice as large as usual."""
    root = tmp_path_factory.mktemp("chests")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lungs, "SHAPE", (32, 24, 28))
        patch.setattr(lungs, "SPACING_MM", 10.0)
        assert main(["data", "make", "lungs", str(root / "set"), "--cases", "10", "--seed", "3"]) == 0
    return root / "set"


def train(data, out, *settings: str) -> int:
    quick = ["training.epochs=2", "training.validate_every=1", "training.loggers=[csv]", "network.channels=[3,4,5]"]
    words = [word for setting in (*quick, *settings) for word in ("--set", setting)]
    return main(["train", "subject2vec", "--data", str(data), "--out", str(out), "--preset", "tiny", "--folds", "3",
                 *words])  # fmt: skip


def test_from_training_to_the_report(chests, tmp_path, short_check, capsys) -> None:
    run, out, maps = tmp_path / "run", tmp_path / "predictions", tmp_path / "maps"
    assert train(chests, run) == 0
    assert saccade.load(run).config.network["foreground"] == "enclosed"
    assert main(["predict", str(run), str(chests), "--out", str(out), "--vectors"]) == 0
    with (out / "vectors.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert (len(rows), rows[0]) == (11, ["case", "v1", "v2", "v3", "v4", "v5"])
    assert len({tuple(row[1:]) for row in rows[1:]}) == 10
    scores = tmp_path / "scores.json"
    assert main(["evaluate", str(out / "predictions.csv"), str(chests), "--out", str(scores)]) == 0
    assert "r2" in json.loads(scores.read_text("utf-8"))["summary"]
    scan = chests / "images" / "lungs0002.nii.gz"
    explain = ["explain", str(run), str(scan), "--out", str(maps), "--json"]
    capsys.readouterr()
    assert main([*explain, "--method", "attention_maps", "--verify"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    map_, truth = read_volume(record["map"]), read_volume(chests / "truth" / "lungs0002.nii.gz")
    np.testing.assert_array_equal(map_.affine, truth.affine)
    seen, inside = map_.array > 0, truth.array > 0
    assert seen.shape == inside.shape
    assert inside[seen].mean() > 0.7  # cells may reach a little over the lungs
    assert map_.array[seen].mean() == pytest.approx(1, abs=0.02)
    assert record["verdict"]["reasons"]
    assert main([*explain, "--method", "hires_cam", "--layer", "parts"]) == 0
    page = (run / "report.html").read_text("utf-8") if main(["report", str(run)]) == 0 else ""
    assert "attention, 1 is the mean" in page
    assert "added to the score" in page


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["network.patch_size=25", "network.channels=[3,4]"],
         "PatchGrid: patch_size must be at most 24 for images of 32 x 24 x 28, got 25."),
        (["network.patch_size=16", "network.inside=1.0"],
         ".nii.gz: has no patch of 16 x 16 x 16 whose middle lies 100% in the foreground (enclosed), at most "),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_is_one_clear_line(chests, tmp_path, capsys, settings, message) -> None:
    assert train(chests, tmp_path / "run", *settings) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert "PatchGrid" in error or "case lungs00" in error


def test_classes_and_pictures_too(tmp_path, short_check) -> None:
    from image_sets import class_folders

    data = class_folders(tmp_path / "set", 4)
    settings = ["network.patch_size=4", "network.overlap=1", "network.channels=[2,3]", "network.foreground=bright"]
    assert train(data, tmp_path / "run", *settings) == 0
    assert saccade.load(tmp_path / "run").predict(data / "cat/00.png").label in ("cat", "dog")
