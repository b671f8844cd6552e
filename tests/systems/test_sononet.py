"""`sononet` and `ag-sononet`: every way of aggregation learns, shows where it looked, and works with every command."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from image_sets import graded, table
from torch.nn import functional as F

import saccade
from saccade.cli.main import main
from saccade.data.synthetic.ultrasound import make
from saccade.errors import InputError
from saccade.files import read_json
from saccade.losses import heads_cross_entropy
from saccade.networks import AGSonoNet
from saccade.systems import ag_sononet, sononet

SETTINGS = {
    "data.size": "[24,32]", "network.width": 2, "network.convolutions": "[1,1,1,1]", "training.epochs": 2,
    "training.batch_size": 8, "training.validate_every": 1, "training.precision": "32-true",
    "training.loggers": "[csv]", "augmentation.probability": 0,
}  # fmt: skip
SMALL = {"width": 2, "convolutions": (1, 1, 1)}


def train(system: str, data, out, *more: str, **settings: object) -> int:
    given = {**SETTINGS, **{name.replace("__", "."): value for name, value in settings.items()}}
    words = [word for name, value in given.items() if value is not None for word in ("--set", f"{name}={value}")]
    words += ["--preset", "tiny", "--folds", "2"]
    return main(["train", system, "--data", str(data), "--out", str(out), *words, *more])


@pytest.fixture(scope="module")
def planes(tmp_path_factory):
    """Sixteen simulated planes; not to be written to."""
    root = tmp_path_factory.mktemp("planes") / "set"
    make(root, cases=16, seed=4)
    return root


@pytest.fixture(scope="module")
def of_means(planes, tmp_path_factory):
    """A run of ag-sononet that learns the mean of three classifiers; not to be written to."""
    run = tmp_path_factory.mktemp("mean") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.tasks.check.STEPS", 2)
        assert train("ag-sononet", planes, run, network__aggregation="mean") == 0
    return run


def test_every_command_works_on_a_run(of_means, planes, tmp_path, capsys) -> None:
    out = tmp_path / "predictions"
    image = planes / "images/plane_0000.png"
    assert main(["predict", str(of_means), str(planes), "--out", str(out)]) == 0
    assert main(["evaluate", str(out / "predictions.csv"), str(planes), "--out", str(tmp_path / "scores.json")]) == 0
    assert len(read_json(tmp_path / "scores.json")["cases"]) == 16
    for method, grid in (("attention_maps", "attention_maps"), ("grad_cam", None)):
        capsys.readouterr()
        words = ["--method", method, "--out", str(tmp_path / method), "--verify", "--json"]
        assert main(["explain", str(of_means), str(image), *words]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert isinstance(found["verdict"]["faithful"], bool)
        name = f"plane_0000_{grid}" if grid else f"plane_0000_{found['target']}_{method}"
        map_ = nib.load(tmp_path / method / f"{name}.nii.gz")
        assert map_.shape == (72, 96, 1)
        assert np.asarray(map_.dataobj).any()


def test_the_report_shows_the_papers_picture(of_means) -> None:
    assert main(["report", str(of_means)]) == 0
    page = (of_means / "report.html").read_text("utf-8")
    cases = page.count("<figcaption><b>")
    assert cases == 8
    for title in ("AG1", "AG2", "CAM", "all"):
        assert page.count(f">{title}<") == cases


@pytest.mark.usefixtures("short_check")
def test_the_fine_tuned_form_begins_with_a_run_of_the_mean_form(of_means, planes, tmp_path) -> None:
    run = tmp_path / "run"
    assert train("ag-sononet", planes, run, "--init-from", str(of_means), network__aggregation="fine_tuned") == 0
    begun = read_json(run / "init.json")
    assert begun["not_found"] == ["head.weight", "head.bias"]
    assert begun["unused"] == []
    assert {"heads.0.weight", "heads.1.weight", "heads.2.weight", "gates.0.psi.weight"} <= set(begun["loaded"])
    assert saccade.load(run).network.aggregation == "fine_tuned"


@pytest.mark.usefixtures("short_check")
def test_it_is_compared_with_its_control_on_the_same_folds(planes, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("saccade.study.compare_runs.alone", lambda function, job, say: function(job, say))
    words = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    words += ["--preset", "tiny", "--folds", "2", "--out", str(tmp_path / "study"), "--data", str(planes)]
    assert main(["compare", "ag-sononet", "sononet", *words, "--set", "training.epochs=1"]) == 0
    text = (tmp_path / "study/study.md").read_text("utf-8")
    assert "| ag-sononet | sononet | correct | 16 |" in text
    runs = sorted((tmp_path / "study/runs").iterdir())
    assert main(["report", str(runs[-1])]) == 0  # of sononet, which has no attention, but shows its class maps
    page = (runs[-1] / "report.html").read_text("utf-8")
    assert page.count(">CAM<") == page.count("<figcaption><b>") == 8
    assert ">AG1<" not in page


@pytest.mark.parametrize("aggregation", ["concat", "mean", "deep_supervision", "fine_tuned"])
def test_what_is_learnt_from_a_batch(aggregation) -> None:
    network = saccade.build("ag-sononet", **SMALL, out_channels=3, aggregation=aggregation)
    images, targets = torch.randn(4, 1, 16, 16), torch.tensor([0, 2, 1, 1])
    got = ag_sononet.training_loss(network, images, targets, lambda scores: F.cross_entropy(scores, targets))
    want = heads_cross_entropy(network.scores(images), targets, network.head_weights)
    torch.testing.assert_close(got, want)
    got.backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.usefixtures("short_check")
@pytest.mark.parametrize(
    ("kind", "columns", "aggregation"),
    [
        ("ordinal", {"level": str}, "deep_supervision"),
        ("multi_label", {"low": lambda n: int(n < 2), "odd": lambda n: n % 2}, "concat"),
        ("regression", {"age": lambda n: 20.5 + n}, "fine_tuned"),
    ],
)
def test_other_targets_than_classes(kind, columns, aggregation, tmp_path, capfd) -> None:
    data = graded(tmp_path / "set", 12, **columns)
    wanted = {"network__aggregation": aggregation, "data__kind": kind, "data__size": "[12,12]",
              "network__convolutions": "[1,1,1]"}  # fmt: skip
    assert train("ag-sononet", data, tmp_path / "run", **wanted) == 0
    assert np.isfinite(list(saccade.load(tmp_path / "run").predict(data / "images/p00.png").values.values())).all()
    capfd.readouterr()
    assert train("ag-sononet", data, tmp_path / "means", **{**wanted, "network__aggregation": "mean"}) == 2
    assert capfd.readouterr().err.strip() == (
        "saccade: ag-sononet: network.aggregation=mean averages probabilities of classes, but data.kind is "
        f"{kind}. Take deep_supervision, concat or fine_tuned."
    )


@pytest.mark.usefixtures("short_check")
@pytest.mark.parametrize("system", ["sononet", "ag-sononet"])
def test_volumes(system, tmp_path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(8):
        volume = rng.normal(0, 1, (14, 13, 12)).astype(np.float32)
        volume[4:9, 4:9, 4:8] += 3 * (number % 2)
        path = tmp_path / f"set/v{number}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(volume, np.eye(4)), path)
        rows.append({"file": path.name, "label": ("plain", "bright")[number % 2]})
    table(tmp_path / "set", rows)
    wanted = {"data__size": None, "network__convolutions": "[1,1,1]", "training__epochs": 1}
    assert train(system, tmp_path / "set", tmp_path / "run", **wanted) == 0
    predictor = saccade.load(tmp_path / "run")
    x = predictor.prepared(tmp_path / "set/v1.nii.gz")[None]
    shown = (sononet if system == "sononet" else ag_sononet).illustrate(predictor.network, x)
    assert [one.title for one in shown] == (["CAM"] if system == "sononet" else ["AG1", "AG2", "CAM", "all"])
    assert {one.picture.shape for one in shown} == {(13, 14, 3)}  # columns along the first axis, as a plane is shown


def test_a_map_colours_the_image_where_it_is_high() -> None:
    x = torch.linspace(0, 1, 48).reshape(1, 1, 6, 8)
    map_ = torch.zeros(1, 1, 6, 8)
    map_[0, 0, 2, 5] = 1
    (plain,) = sononet.over_image(x, {"nothing": torch.zeros(1, 1, 6, 8)})
    (shown,) = sononet.over_image(x, {"AG1": map_})
    grey = plain.picture.astype(int)
    assert (np.ptp(grey, axis=-1) == 0).all()
    differs = np.any(shown.picture != plain.picture, -1)
    assert np.argwhere(differs).tolist() == [[2, 5]]
    assert shown.title == "AG1"


def test_the_slice_of_a_volume_is_the_one_that_the_map_marks() -> None:
    x = torch.zeros(1, 1, 3, 4, 5)
    x[..., 3] = 1
    map_ = torch.zeros(1, 1, 3, 4, 5)
    map_[..., 3] = 0.01
    (shown,) = sononet.over_image(x, {"AG1": map_})
    assert shown.picture.mean() > 200


def test_the_map_shown_is_that_of_the_class_that_is_told() -> None:
    network = saccade.build("ag-sononet", **SMALL, out_channels=4, aggregation="concat").eval()
    with torch.no_grad():
        network.head.bias[2] += 100
    x = torch.randn(1, 1, 16, 20)
    assert sononet.told(network, x) == 2
    wanted = sononet.over_image(x, network.localise(x, 2))
    for shown, one in zip(ag_sononet.illustrate(network, x), wanted, strict=True):
        assert (shown.picture == one.picture).all()


@pytest.mark.parametrize(
    ("size", "blocks"), [((208, 272), 5), ((48, 64), 5), ((40, 64), 4), ((28, 28), 4), ((8, 9), 3), ((24, 24, 24), 4)]
)
def test_as_many_blocks_as_the_images_can_be_halved(size, blocks) -> None:
    for module in (sononet, ag_sononet):
        planned = module.plan_network({"size": size}, {})
        assert planned == {"spatial_dims": len(size), "convolutions": (3, 3, 3, 2, 2)[:blocks]}
        assert module.plan_network({"size": size}, {"convolutions": (1, 1)})["convolutions"] == (1, 1)


def test_settings_count() -> None:
    network = saccade.build("ag-sononet", width=3, convolutions=(1, 2, 1, 1), variant="softmax", in_channels=2)
    assert [len(block) for block in network.features.blocks] == [1, 2, 1, 1]
    assert [block[0].conv.out_channels for block in network.features.blocks] == [3, 6, 12, 24]
    assert {gate.variant for gate in network.gates} == {"softmax"}
    assert network.features.blocks[0][0].conv.in_channels == 2
    assert saccade.build("sononet", width=8).features.blocks[4][0].conv.out_channels == 64


def test_the_papers() -> None:
    """SonoNet-64 with its own blocks, AG-SonoNet-32 with those of its control; both as the code trains them."""
    assert sononet.PAPER["network"] == {"width": 64, "convolutions": [2, 2, 3, 3, 3]}
    assert ag_sononet.PRESETS["paper"]["network"] == {"width": 32}
    network = saccade.build("ag-sononet", width=32, aggregation="mean")
    assert isinstance(network, AGSonoNet)
    assert network.gates[0].variant == "mean_flow"
    assert sum(p.numel() for p in saccade.build("sononet", width=32).parameters()) == 2_583_978
    for preset in (sononet.PAPER, ag_sononet.PRESETS["paper"]):
        assert preset["plan"] == {"pixels": 208 * 272}
        training = preset["training"]
        assert (training["optimiser"], training["learning_rate"], training["weight_decay"]) == ("sgd", 0.1, 1e-6)
        assert (training["batch_size"], training["epochs"], training["balanced_sampling"]) == (64, 300, True)


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"AGSonoNet: channels must name at least 3 blocks, got 2\.$"):
        saccade.build("ag-sononet", convolutions=(1, 1))
    with pytest.raises(InputError, match=r"aggregation"):
        saccade.build("ag-sononet", aggregation="means")
