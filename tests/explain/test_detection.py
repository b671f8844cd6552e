"""`saccade explain` on detectors: the map of a detection's score lies on the image's grid, where the evidence is."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from planted import CONV
from tiny import save
from torch import nn
from torch.nn import functional as F

import saccade.runs
from saccade.cli.main import main
from saccade.errors import InputError
from saccade.explain import detection_score, grad_cam, occlusion
from saccade.explain.detection import layer_for
from saccade.explain.targets import Score
from saccade.layers.anchors import grid_anchors
from saccade.networks import SSD
from saccade.systems.detecting import select
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.predictor import DetectionPredictor


class Lamps(nn.Module):
    """In each cell of 4 x 4 voxels a lamp if it is bright there; the other class, hole, if it is very dark."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(CONV[dims](1, 2, 3, padding=1), nn.ReLU())
        self.dims = dims
        with torch.no_grad():
            self.backbone[0].weight.fill_(3.0**-dims)
            self.backbone[0].weight[1] *= -1
            self.backbone[0].bias.copy_(torch.tensor([-0.4, 0.05]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = F.avg_pool2d if self.dims == 2 else F.avg_pool3d
        means = pool(self.backbone(x), 4)
        return (30 * means - 3).flatten(2).mT


def detect(network, images, config):
    size = images.shape[2:]
    boxes, _ = grid_anchors([[side // 4 for side in size]], ratios=[[1.0] * len(size)])
    boxes = boxes * torch.tensor([*reversed(size)] * 2)
    return select(boxes.expand(len(images), -1, -1), network(images).sigmoid(), config)


@pytest.fixture
def opened(monkeypatch):
    """`saccade explain` opens this detector in the place of a run."""
    system = SimpleNamespace(detect=detect)
    monkeypatch.setattr("saccade.tasks.detection.predictor.find_implementation", lambda *_: system)

    def opening(size: list[int]) -> DetectionPredictor:
        data = {"root": ".", "classes": ["lamp", "hole"], "size": size, "intensity": {"kind": "min_max"}}
        config = DetectionConfig.parse({"system": "ssd", "data": data, "inference": {"score": 0.3}}, "test")
        predictor = DetectionPredictor(Lamps(len(size)), config)
        monkeypatch.setattr(saccade.runs, "load", lambda run, **_: predictor)
        return predictor

    return opening


@pytest.fixture
def lamps(tmp_path):
    """96 x 48, seen at 24 x 12: a bright lamp and one less bright."""
    array = np.full((48, 96), 40, np.uint8)
    array[16:32, 32:48] = 255
    array[32:48, 80:96] = 200
    path = tmp_path / "lamps.png"
    Image.fromarray(array).save(path)
    return path


def explain(*arguments: object, code: int = 0) -> None:
    assert main(["explain", "run", *map(str, arguments)]) == code


def records_of(out) -> list[dict]:
    return json.loads((out / "explanations.json").read_text("utf-8"))


def test_the_surest_detection_of_a_picture(opened, lamps, tmp_path) -> None:
    opened([12, 24])
    explain(lamps, "--out", tmp_path / "out", "--verify", "--boxes")
    (record,) = records_of(tmp_path / "out")
    assert (record["case"], record["target"], record["layer"]) == ("lamps", "lamp 1", "backbone.1")
    assert record["detection"] == pytest.approx([32, 16, 48, 32], abs=1e-4)
    assert record["said"] > 0.8
    assert record["verdict"]["measures"]["better than moved"] >= 0.8
    values = nib.load(record["map"]).get_fdata()[..., 0]
    assert values.shape == (48, 96)
    row, column = record["peak_voxel"][:2]
    assert 16 <= row < 32
    assert 32 <= column < 48
    assert record["map"].endswith("lamps_lamp_1_grad_cam.nii.gz")
    picture = np.asarray(Image.open(record["picture"]).convert("RGB")).astype(int)
    assert (np.abs(picture - [0xFF, 0xD2, 0x3F]).max(-1) < 30).sum() > 100  # the detection's box


def test_gradients_are_those_of_the_chosen_detection(opened, lamps, tmp_path) -> None:
    opened([12, 24])
    for words, targets, boxes in (
        (["--detection", 2], ["lamp 2"], [[80, 32, 96, 48]]),
        (["--top", 5], ["lamp 1", "lamp 2"], [[32, 16, 48, 32], [80, 32, 96, 48]]),
        (["--target", "lamp"], ["lamp 1"], [[32, 16, 48, 32]]),
    ):
        explain(lamps, "--out", tmp_path / "out", "--method", "input_gradient", *words)
        found = records_of(tmp_path / "out")
        assert [record["target"] for record in found] == targets
        for record, box in zip(found, boxes, strict=True):
            assert record["detection"] == pytest.approx(box, abs=1e-4)
        for record, (x1, y1, x2, y2) in zip(found, boxes, strict=True):
            values = np.abs(nib.load(record["map"]).get_fdata()[..., 0])
            around = values[max(0, y1 - 8) : y2 + 8, max(0, x1 - 8) : x2 + 8].sum()
            assert around > 0.99 * values.sum() > 0


def test_a_volume_has_its_map_on_its_own_grid_and_its_box_in_mm(opened, tmp_path) -> None:
    opened([12, 12, 8])
    scan = np.zeros((24, 12, 16), np.float32)
    scan[8:16, 4:8, 8:16] = 100
    affine = np.array([[-2.0, 0, 0, 7], [0, 1, 0, -3], [0, 0, 3, 1], [0, 0, 0, 1]])
    path = save(tmp_path / "scan.nii.gz", scan, affine)
    explain(path, "--out", tmp_path / "out")
    (record,) = records_of(tmp_path / "out")
    image = nib.load(record["map"])
    assert np.array_equal(image.affine, affine)
    assert image.shape == scan.shape
    # x = 7 - 2 i: voxels 8 to 15 reach from 7 - 31 to 7 - 15
    assert record["detection"] == pytest.approx([-24, 0.5, 23.5, -8, 4.5, 47.5])
    assert scan[tuple(record["peak_voxel"])] == 100


METHODS = (
    "ablation_cam", "eigen_grad_cam", "grad_cam_element_wise", "grad_cam_plus_plus", "guided_grad_cam", "hires_cam",
    "layer_cam", "occlusion", "respond_cam", "score_cam", "x_grad_cam",
)  # fmt: skip


def test_every_method_finds_the_lamp_and_those_without_target_run(opened, lamps, tmp_path) -> None:
    opened([12, 24])
    for method in METHODS:
        explain(lamps, "--out", tmp_path / "out", "--method", method)
        (record,) = records_of(tmp_path / "out")
        values = nib.load(record["map"]).get_fdata()[..., 0].clip(0)
        assert values[12:36, 28:52].sum() > 0.5 * values.sum() > 0, method
    for method in ("eigen_cam", "feature_maps"):
        explain(lamps, "--out", tmp_path / "out", "--method", method)
        (record,) = records_of(tmp_path / "out")
        assert (record["target"], record["layer"]) == (None, "backbone.1")


def test_what_is_not_there_is_said_and_what_is_wrong_is_refused(opened, lamps, tmp_path, capfd) -> None:
    opened([12, 24])
    for words, expected in (
        (["--target", "hole"], "lamps: nothing of hole was predicted, so there is nothing to explain"),
        (["--detection", 7], "lamps: nothing of detection 7 was predicted"),
    ):
        explain(lamps, "--out", tmp_path / "out", *words)
        assert expected in capfd.readouterr().err
    assert not (tmp_path / "out/explanations.json").exists()
    dark = tmp_path / "even.png"
    Image.fromarray(np.full((48, 96), 9, np.uint8)).save(dark)
    explain(dark, "--out", tmp_path / "out")
    assert "nothing of any class was predicted" in capfd.readouterr().err
    for words, expected in (
        (["--target", "lam"], "explain: unknown target 'lam'. Did you mean 'lamp'? Known: lamp, hole."),
        (["--region", dark], "explain: --region is for networks that segment; choose a box with --detection."),
        (["--detection", 1, "--top", 2], "explain: --detection chooses one; leave --target and --top out."),
        (["--layer", "backbone.9"], "layer 'network.backbone.9' is no layer of the network."),
    ):
        explain(lamps, "--out", tmp_path / "out", *words, code=2)
        assert expected in capfd.readouterr().err


def test_a_detection_is_asked_of_detectors_alone(classified, animals, tmp_path, capfd) -> None:
    assert main(["explain", str(classified), str(animals), "--out", str(tmp_path), "--detection", "1"]) == 2
    expected = "saccade: explain: --detection is for networks that detect; leave it out.\n"
    assert capfd.readouterr().err.endswith(expected)


def test_the_score_of_a_detection_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 3.5], [8, 8, 9, 9]])[None]
    scores = torch.tensor([[0.2, 0.5, 0.7, 0.9]], requires_grad=True)
    classes = torch.tensor([[1, 1, 0, 1]])
    said = detection_score([0, 0, 4, 4], 1)((boxes, scores, classes))
    assert said.item() == pytest.approx(0)  # log(0.5 / 0.5) of the second; the third is of another class
    (gradient,) = torch.autograd.grad(said, scores)
    assert gradient.tolist() == [[0, 4, 0, 0]]  # 1 / (p (1 - p))
    near = detection_score([0, 0, 4, 4], 1, overlap=0.8)((boxes, scores, classes))
    assert near.item() == pytest.approx(np.log(0.2 / 0.8))
    gone = detection_score([50, 50, 54, 54], 1)((boxes, scores, classes))
    assert float(gone.detach()) == pytest.approx(np.log(1e-6), abs=1e-5)
    assert torch.autograd.grad(gone, scores)[0].tolist() == [[0, 0, 0, 0]]


def test_detectors_that_give_a_list_of_mappings() -> None:
    one, other = (
        {"boxes": torch.tensor([[0.0, 0, 4, 4]]), "scores": torch.tensor([p]), "labels": torch.tensor([1])}
        for p in (0.5, 0.25)
    )
    score = Score(detection_score([0, 0, 4, 4], 1), 2, "test")
    assert score([one, other]).tolist() == pytest.approx([0, np.log(1 / 3)], abs=1e-5)
    with pytest.raises(InputError, match="detection_score: the network must give boxes"):
        detection_score([0, 0, 4, 4], 1)(torch.zeros(1, 3))


class Elsewhere(nn.Module):
    """A detector of somebody else's: one box, as sure as its place is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.conv.weight)

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        box, label = torch.tensor([[4.0, 4, 8, 8]]), torch.tensor([3])
        scores = self.conv(x)[:, 0, 4:8, 4:8].mean((1, 2)).sigmoid()
        return [{"boxes": box, "scores": score[None], "labels": label} for score in scores]


def test_any_torch_detector_can_be_asked() -> None:
    x = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0)) + 0.5
    for method in (grad_cam, occlusion):
        map_ = method(Elsewhere(), x, target=detection_score([4, 4, 8, 8], 3))
        inside = map_[:, 4:8, 4:8].mean()
        assert map_.shape == (2, 12, 12)
        assert inside > 0
        if method is occlusion:
            assert inside > map_.mean()


def test_the_layer_is_as_deep_as_the_object_is_large() -> None:
    network = SSD(in_channels=1, out_channels=2, channels=(4, 4, 4, 4), blocks=(1, 1, 1, 1), stem="small", width=4)
    x = torch.randn(1, 1, 64, 64)
    names = [layer_for(network, x, torch.tensor([0.0, 0, side, side])) for side in (2, 8, 20, 60)]
    stages = [name.split(".")[1] for name in names]
    assert stages == sorted(stages)
    assert stages[-1] == "layer4"
    assert stages[0] != "layer4"
    assert layer_for(network, x, None).split(".")[1] == "layer4"
    assert layer_for(nn.Conv2d(1, 1, 3), x, None) is None
    assert not any(module._forward_hooks for module in network.modules())
