"""`saccade explain`: maps on each scan's own grid, pictures, records and verdicts."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import scipy
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import files, save

import saccade
from saccade.cli.main import main
from saccade.data.volume import Volume
from saccade.explain.picture import explanation_figure


def explain(run: Path, *arguments: object) -> int:
    return main(["explain", str(run), *map(str, arguments)])


@pytest.fixture(scope="module")
def eager(trained: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run with another last bias, by which a tenth of case0 is organ; not to be written to."""
    run = shutil.copytree(trained, tmp_path_factory.mktemp("eager") / "run")
    found = saccade.load(run).segment(pairs / "images/case0.nii.gz", probabilities=["label 1"])
    state = load_file(run / "model.safetensors")
    edge = float(np.quantile(found.probabilities["label 1"].array, 0.9))
    state["head.mix.bias"] += torch.tensor([0.0, float(scipy.special.logit(1 - edge))])
    save_file(state, run / "model.safetensors")
    return run


def test_maps_lie_on_the_scans_own_grid(eager, pairs, tmp_path, capsys) -> None:
    """A scan with turned axes gets the very map of the scan as it was, turned alike, bit-equal affine and all."""
    image = nib.load(pairs / "images/case0.nii.gz").get_fdata().astype(np.float32)
    plain = np.diag([1.0, 1.0, 2.0, 1.0])
    turned = np.array([[0, 0, 1.0, 0], [-1.0, 0, 0, 12], [0, 2.0, 0, 0], [0, 0, 0, 1]])  # i is -y, j is z, k is x
    save(tmp_path / "in/plain.nii.gz", image, plain)
    save(tmp_path / "in/turned.nii.gz", image.transpose(1, 2, 0)[::-1].copy(), turned)
    assert explain(eager, tmp_path / "in", "--out", tmp_path / "out", "--method", "hires-cam") == 0
    names = [f"{case}_label_1_hires_cam" for case in ("plain", "turned")]
    assert capsys.readouterr().out.split() == [f"{tmp_path}/out/{name}.nii.gz" for name in names]
    ending = {f"{name}.{suffix}" for name in names for suffix in ("nii.gz", "png")}
    assert files(tmp_path / "out") == {*ending, "explanations.json"}
    one, other = (nib.load(tmp_path / f"out/{name}.nii.gz") for name in names)
    np.testing.assert_array_equal(one.affine, plain)
    np.testing.assert_array_equal(other.affine, turned)
    assert one.shape == image.shape
    assert one.get_data_dtype() == np.float32
    values = one.get_fdata()
    assert values.any()
    np.testing.assert_allclose(other.get_fdata()[::-1].transpose(2, 0, 1), values, atol=1e-5 * np.abs(values).max())
    for record, found in zip(json.loads((tmp_path / "out/explanations.json").read_text()), (one, other), strict=True):
        index = np.unravel_index(found.get_fdata().argmax(), found.shape)
        np.testing.assert_allclose(record["peak_mm"], nib.affines.apply_affine(found.affine, index))
        assert record["highest"] == pytest.approx(found.get_fdata().max())
        with Image.open(record["picture"]) as picture:
            colours = np.asarray(picture.convert("RGB")).astype(int)
        assert np.ptp(colours, axis=-1).max() > 50  # the map is in colour, the scan is grey


def test_a_counterfactual_is_the_negative(eager, pairs, tmp_path, capsys) -> None:
    scan = pairs / "images/case0.nii.gz"
    for options in ([], ["--counterfactual"]):
        assert explain(eager, scan, "--out", tmp_path, "--target", "label 1", "--layer", "bottom", *options) == 0
    plain, against = (
        nib.load(tmp_path / f"case0_label_1_grad_cam{ending}.nii.gz").get_fdata() for ending in ("", "_counterfactual")
    )
    assert plain.any()
    np.testing.assert_allclose(against, -plain, atol=1e-6 * np.abs(plain).max())


def test_a_class_within_a_region(eager, pairs, tmp_path, capsys) -> None:
    """A region that is what was predicted gives the map without a region; another one gives another map."""
    scan = pairs / "images/case0.nii.gz"
    image = nib.load(scan)
    labels = saccade.load(eager).segment(scan).labels.array
    corner = np.zeros(image.shape, np.uint8)
    corner[:3, :3, :3] = 7
    for name, mask in (("predicted", labels), ("corner", corner), ("empty", 0 * corner), ("small", corner[1:])):
        save(tmp_path / name / "case0.nii.gz", mask.astype(np.uint8), image.affine)
    maps = []
    for region in ([], ["--region", tmp_path / "predicted"], ["--region", tmp_path / "corner" / "case0.nii.gz"]):
        assert explain(eager, scan, "--out", tmp_path / "out", "--method", "input_gradient", *region) == 0
        maps.append(nib.load(tmp_path / "out/case0_label_1_input_gradient.nii.gz").get_fdata())
    assert maps[0].any()
    np.testing.assert_array_equal(maps[0], maps[1])
    assert np.abs(maps[2][:3, :3, :3]).max() > 10 * np.abs(maps[2][10:, 8:, 8:]).max()
    capsys.readouterr()
    for name, message in (
        ("empty", "empty: the region of case case0 must hold at least one voxel, is empty."),
        ("small", "small/case0.nii.gz: must lie on the grid of case case0, (17, 13, 11), got (16, 13, 11)."),
        ("none", "none: there is no such file or folder."),
    ):
        assert explain(eager, scan, "--out", tmp_path / "out", "--region", tmp_path / name) == 2
        assert capsys.readouterr().err == f"saccade: {tmp_path}/{message}\n"


def test_verdicts_and_json(eager, pairs, tmp_path, capsys) -> None:
    scan = pairs / "images/case0.nii.gz"
    assert explain(eager, scan, "--out", tmp_path, "--verify", "--method", "attention_maps", "--json") == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["target"] is None
    assert record["map"].endswith("case0_attention_maps.nii.gz")
    assert set(record["verdict"]) == {"faithful", "reasons", "measures"}
    assert json.loads((tmp_path / "explanations.json").read_text()) == [record]
    assert explain(eager, scan, "--out", tmp_path, "--verify") == 0
    path, verdict = capsys.readouterr().out.splitlines()
    assert path == f"{tmp_path}/case0_label_1_grad_cam.nii.gz"
    assert verdict.startswith(("faithful: it changes with the weights", "not faithful: "))


def test_an_organ_that_was_not_predicted(eager, pairs, tmp_path, capfd, monkeypatch) -> None:
    run = shutil.copytree(eager, tmp_path / "run")
    state = load_file(run / "model.safetensors")
    state["head.mix.bias"] += torch.tensor([100.0, 0.0])
    save_file(state, run / "model.safetensors")
    assert explain(run, pairs / "images/case0.nii.gz", "--out", tmp_path / "out") == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "case0: nothing of label 1 was predicted, so there is nothing to explain\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--method", "grad-can"],
            "explain: unknown method 'grad-can'. Did you mean 'grad_cam'? Known: ablation_cam, ",
        ),
        (["--target", "liver"], "explain: unknown target 'liver'. Known: label 1."),
        (["--layer", "encoder*"], "grad_cam: layer 'encoder*' names one layer, patterns are not taken. Layers: "),
        (["--method", "cam"], "cam: target must be a class, whose weights are taken, got a function. Use grad_cam."),
        (["--method", "feature_maps"], "explain: feature_maps are for networks that tell of whole images; those "),
        (["--top", "2"], "explain: --top is for networks that classify; name organs with --target."),
        (["--method", "occlusion", "--layer", "bottom"], "occlusion: layer must be left out, this method looks at"),
        (["--method", "eigen_cam", "--target", "label 1"], "explain: eigen_cam does not depend on a target; leave"),
    ],
)
def test_wishes_that_cannot_be_met(eager, pairs, tmp_path, capfd, options, message) -> None:
    assert explain(eager, pairs / "images/case0.nii.gz", "--out", tmp_path / "out", *options) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"saccade: {message}")
    assert not (tmp_path / "out").exists()


def test_the_picture_shows_the_strongest_value_and_its_sign() -> None:
    rng = np.random.default_rng(0)
    scan = Volume(rng.normal(size=(12, 14, 10)).astype(np.float32), np.eye(4))
    values = np.zeros(scan.shape, np.float32)
    values[3:6, 8:11, 2:5] = -5e-4  # small numbers are shown as strongly as large ones
    figure = explanation_figure(scan, scan.like(values))
    axial = np.asarray(figure.axes[0].images[0].get_array())
    blue = axial[..., 2] - axial[..., 0] > 0.2
    # rows run from back to front upwards, columns from right to left
    want = np.zeros((14, 12), bool)
    want[14 - 11 : 14 - 8, 12 - 6 : 12 - 3] = True
    np.testing.assert_array_equal(blue, want)
    assert [label.get_text() for label in figure.axes[-1].get_yticklabels()] == ["-0.0005", "0", "0.0005"]
    empty = np.asarray(explanation_figure(scan, scan.like(0 * values)).axes[0].images[0].get_array())
    assert np.ptp(empty, axis=-1).max() < 1e-6  # grey: nothing is shown where there is nothing
