"""`saccade explain` on classifiers: the first classes, galleries, boxes, agreement with the truth, feature maps."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from planted import CONV, POOL
from tiny import files, save
from torch import nn

import saccade.runs
from saccade.cli.main import main
from saccade.data.volume import Volume
from saccade.explain.boxes import box_of_map
from saccade.explain.gallery import MOST, Galleries, panel
from saccade.explain.picture import explanation_figure
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.classification.predictor import ClassificationPredictor

TURNED = np.array([[0, 0, 1.5, 3], [-1.0, 0, 0, 12], [0, 2.0, 0, -7], [0, 0, 0, 1]])


def network(dims: int) -> nn.Sequential:
    """Class "bright" grows with what is above 0.4 in a mean over 3 voxels, "dark" falls, "none" stays."""
    made = nn.Sequential(CONV[dims](1, 2, 3, padding=1), nn.ReLU(), POOL[dims](1), nn.Flatten(), nn.Linear(2, 3))
    with torch.no_grad():
        made[0].weight.fill_(3.0**-dims)
        made[0].weight[1] = 0
        made[0].bias.fill_(-0.4)
        made[4].weight.zero_()
        made[4].weight[:2, 0] = torch.tensor([-50.0, 50.0])
        made[4].bias.copy_(torch.tensor([0.0, 0.0, -1.0]))
    return made


@pytest.fixture
def opened(monkeypatch):
    """`saccade explain` opens this network in the place of a run."""

    def opening(dims: int, size: list[int], **data) -> None:
        data = {"root": ".", "columns": ["light"], "kind": "classes", "classes": ["dark", "bright", "none"],
                "size": size, "fit": "stretch", "intensity": {"kind": "min_max"}, **data}  # fmt: skip
        config = ClassificationConfig.parse({"system": "lenet", "data": data}, "test")
        predictor = ClassificationPredictor(network(dims), config)
        monkeypatch.setattr(saccade.runs, "load", lambda run, **_: predictor)

    return opening


def lamps(root: Path) -> Path:
    """Three pictures with a bright box of growing size, and masks of it (0 and 255)."""
    for number, side in enumerate((4, 8, 12)):
        array = np.zeros((24, 30), np.uint8)
        array[3 : 3 + side, 5 : 5 + side] = 255
        for folder, values in (("images", array), ("truth", array)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(root / folder / f"lamp{number}.png")
    return root


def explain(capsys, *arguments: object) -> list[dict]:
    assert main(["explain", "run", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_first_classes_of_an_image_and_their_gallery(opened, tmp_path, capsys) -> None:
    opened(2, [24, 30])
    root, out = lamps(tmp_path), tmp_path / "out"
    options = ("--out", out, "--layer", "1", "--top", 2, "--gallery")
    records = explain(capsys, root / "images" / "lamp2.png", *options)
    assert [record["target"] for record in records] == ["bright", "none"]
    assert records[0]["said"] > records[1]["said"] > 0
    names = {f"lamp2_{name}_grad_cam.{suffix}" for name in ("bright", "none") for suffix in ("nii.gz", "png")}
    assert files(out) == {*names, "explanations.json", "gallery_lamp2_grad_cam.png"}
    with Image.open(out / "gallery_lamp2_grad_cam.png") as picture:
        assert picture.width > 1.3 * picture.height  # two panels side by side


def test_one_class_in_many_images(opened, tmp_path, capsys) -> None:
    opened(2, [24, 30])
    root, out = lamps(tmp_path), tmp_path / "out"
    records = explain(capsys, root / "images", "--out", out, "--target", "bright", "--gallery", "--verify")
    assert [record["case"] for record in records] == ["lamp0", "lamp1", "lamp2"]
    galleries = {name for name in files(out) if name.startswith("gallery")}
    assert galleries == {"gallery_bright_grad_cam.png"}


def test_a_gallery_keeps_the_surest_on_one_scale(tmp_path) -> None:
    galleries = Galleries(tmp_path, "grad_cam")
    scan = Volume(np.zeros((6, 5, 4), np.float32), np.eye(4))
    for number in range(MOST + 6):
        values = np.zeros(scan.shape, np.float32)
        values[1, 2, 3] = number + 1
        galleries.add(
            f"case{number}", "a b", panel(scan, scan.like(values), flat=False, rank=float(number), words=["x"])
        )
        assert galleries.finish_case(f"case{number}") == []
    drawn = []
    gallery = galleries._of_target["a b"]
    figure = gallery.draw("title")
    drawn = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert drawn == [f"case{number}\nx" for number in range(MOST + 5, 5, -1)]
    strongest, weakest = (np.asarray(figure.axes[n].images[0].get_array()) for n in (0, MOST - 1))
    assert strongest[3 - 1, 6 - 1 - 1].max() > weakest[3 - 1, 6 - 1 - 1].max()  # rows and columns are turned round
    assert galleries.finish() == [tmp_path / "gallery_a_b_grad_cam.png"]


@pytest.mark.parametrize("dims", [2, 3])
def test_boxes_and_agreement_with_the_truth(opened, tmp_path, capsys, dims) -> None:
    array = np.zeros((24, 30, 20)[:dims], np.float32)
    inside = (slice(4, 12), slice(9, 19), slice(5, 11))[:dims]
    array[inside] = 1
    if dims == 2:
        scan, truth = tmp_path / "lamp.png", tmp_path / "truth" / "lamp.png"
        truth.parent.mkdir()
        Image.fromarray((255 * array).astype(np.uint8)).save(scan)
        Image.fromarray((255 * array).astype(np.uint8)).save(truth)
    else:
        scan = save(tmp_path / "lamp.nii.gz", array, TURNED)
        save(tmp_path / "truth" / "lamp.nii.gz", (2 * array).astype(np.uint8), TURNED)
    opened(dims, [*((24, 30) if dims == 2 else (20, 24, 30))])  # in the order of the axes that the file's turn gives
    options = (
        "--out",
        tmp_path / "out",
        "--layer",
        "1",
        "--target",
        "bright",
        "--truth",
        tmp_path / "truth",
        "--boxes",
    )
    (record,) = explain(capsys, scan, *options)
    values = nib.load(record["map"]).get_fdata()
    want = box_of_map(values)
    assert record["box"] == [list(ends) for ends in want[:dims]]
    for (first, last), part in zip(record["box"], inside, strict=True):
        assert abs(first - part.start) <= 1
        assert abs(last - part.stop) <= 1
    found = record["localisation"]
    assert found["localised"] is True
    assert found["pointing"] is True
    assert found["energy_inside"] > 0.8
    assert found[f"peak_to_evidence_{'mm' if dims == 3 else 'pixels'}"] == 0
    assert main(["explain", "run", str(scan), *map(str, options)]) == 0
    assert "\nagainst the truth: box overlap " in capsys.readouterr().out


def test_the_box_is_drawn_where_it_is() -> None:
    scan = Volume(np.zeros((12, 14, 10), np.float32), np.diag([1.0, 2.0, 3.0, 1.0]))
    values = np.zeros(scan.shape, np.float32)
    values[3:6, 8:11, 2:5] = 1
    assert not any(list(axes.patches) for axes in explanation_figure(scan, scan.like(values)).axes[:3])
    figure = explanation_figure(scan, scan.like(values), boxed=True)
    drawn = [axes.patches[0].get_bbox().bounds for axes in figure.axes[:3]]
    # x from the right, y from the top: i 12 - 6 = 6, j (14 - 11) 2 = 6, k (10 - 5) 3 = 15
    np.testing.assert_allclose(drawn, [(6, 6, 3, 6), (6, 15, 3, 9), (6, 15, 6, 9)])
    flat = Volume(np.zeros((12, 14, 1), np.float32), np.eye(4))
    figure = explanation_figure(flat, flat.like(values[..., 3:4]), flat=True, boxed=True)
    np.testing.assert_allclose(figure.axes[0].patches[0].get_bbox().bounds, (7.5, 2.5, 3, 3))


def test_feature_maps(opened, tmp_path, capsys) -> None:
    opened(3, [20, 24, 30])
    array = np.zeros((24, 30, 20), np.float32)
    array[4:12, 9:19, 5:11] = 1
    scan = save(tmp_path / "lamp.nii.gz", array, TURNED)
    (record,) = explain(capsys, scan, "--out", tmp_path / "out", "--method", "feature_maps", "--layer", "1")
    found = nib.load(record["map"])
    np.testing.assert_array_equal(found.affine, TURNED)
    assert found.shape == (24, 30, 20, 2)
    assert record["channels"] == 2
    values = found.get_fdata()
    assert values[8, 14, 8, 0] == pytest.approx(0.6)  # the mean of what is 1, less 0.4
    assert not values[..., 1].any()
    with Image.open(record["picture"]) as picture:
        assert picture.width > picture.height


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top", "4"], "explain: --top must be from 1 to the number of classes, 3, got 4."),
        (["--top", "2", "--target", "dark"], "explain: --top chooses the classes; leave --target out."),
        (["--layer", "nothing"], "grad_cam: layer 'nothing' is no layer of the network. Layers: "),
        (["--layer", "4"], "grad_cam: layer '4' must give feature maps (b, k, *grid) with 2 spatial axes for each of "),
        (["--target", "light"], "explain: unknown target 'light'. Did you mean 'bright'? Known: dark, bright, none."),
        (["--region", "x.png"], "explain: --region is for networks that segment; this one tells of whole images."),
        (["--method", "feature_maps", "--verify"], "explain: feature_maps are evidence of nothing; leave --verify, "),
        (["--method", "feature_maps", "--top", "2"], "explain: feature_maps does not depend on a target; leave "),
        (["--method", "attention_maps"], "attention_maps: Sequential has no attention over positions. Use grad_cam, "),
        (["--truth", "nowhere"], "nowhere: there is no such file or folder."),
        (["--truth", "{root}/images"], "{root}/images: must hold a mask called lamp0, holds none. It has lamp1.png, "),
        (["--truth", "{root}/small.png"], "{root}/small.png: must lie on the grid of case lamp0, (24, 30, 1), got "),
        (["--weights", "a.safetensors"], "run: a run has its own weights and settings; --weights is for package."),
        (["--set", "data.size=[2]"], "run: a run has its own weights and settings; --set is for package.module:"),
    ],
)
def test_wishes_that_cannot_be_met(opened, tmp_path, capsys, options, message) -> None:
    opened(2, [24, 30])
    root = lamps(tmp_path)
    picture = (root / "images" / "lamp0.png").rename(root / "lamp0.png")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(root / "small.png")
    words = [word.format(root=root) for word in options]
    assert main(["explain", "run", str(picture), "--out", str(tmp_path / "out"), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"saccade: {message.format(root=root)}")


def test_a_network_without_a_convolution(opened, tmp_path, capsys, monkeypatch) -> None:
    opened(2, [24, 30])
    predictor = saccade.runs.load("run")
    plain = nn.Sequential(nn.Flatten(), nn.Linear(24 * 30, 3))
    monkeypatch.setattr(saccade.runs, "load", lambda run, **_: ClassificationPredictor(plain, predictor.config))
    picture = str(lamps(tmp_path) / "images" / "lamp0.png")
    assert main(["explain", "run", picture, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "saccade: grad_cam: no convolution over 2 axes runs in this network. Use input_gradient or occlusion, which "
        "need none, or name a layer that gives feature maps: 0, 1.\n"
    )
    for method in ("input_gradient", "occlusion"):
        (record,) = explain(capsys, picture, "--out", tmp_path / "out", "--method", method, "--verify")
        assert record["verdict"]["reasons"]


def test_a_regression_has_its_column_as_target(opened, tmp_path, capsys) -> None:
    opened(2, [24, 30], columns=["age", "weight", "height"], kind="regression", classes=[])
    picture = lamps(tmp_path) / "images" / "lamp1.png"
    records = explain(capsys, picture, "--out", tmp_path / "out", "--layer", "1")
    assert [record["target"] for record in records] == ["age", "weight", "height"]
    first, second = (nib.load(record["map"]).get_fdata() for record in records[:2])
    assert first.any()
    np.testing.assert_allclose(first, -second, atol=1e-6)
    assert records[1]["said"] == pytest.approx(-records[0]["said"])
