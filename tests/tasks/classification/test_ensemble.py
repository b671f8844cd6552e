"""Several classifiers as one, and the maps of attention beside a table of predictions."""

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from image_sets import class_folders, graded, picture, save, table, train
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import files

import saccade
from saccade.cli.main import main
from saccade.explain import attention_maps
from saccade.tasks.classification.ensemble import ensemble_of

pytestmark = pytest.mark.usefixtures("short_check")
ATTENDING = ("--folds", "2", "--set", "training.epochs=1", "--set", "network.reduction=2")


def predict(run: Path, *words: object) -> int:
    return main(["predict", str(run), *map(str, words)])


def rows_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "predictions.csv").open()))


@pytest.fixture
def unseen(tmp_path) -> Path:
    return class_folders(tmp_path / "unseen", 2)


@pytest.fixture(scope="module")
def turned(classified: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another fold of the run: other weights, another spread of its images, another temperature."""
    run = shutil.copytree(classified, tmp_path_factory.mktemp("turned") / "run")
    state = load_file(run / "model.safetensors")
    save_file({**state, "fc.bias": state["fc.bias"] + torch.tensor([0.5, -0.5])}, run / "model.safetensors")
    text = (run / "config.yaml").read_text("utf-8")
    (run / "config.yaml").write_text(text.replace("    std:\n    - ", "    std:\n    - 1"), "utf-8")
    (run / "calibration.json").write_text('{"temperature": 2.5}')
    return run


def test_an_ensemble_says_the_mean_of_what_its_members_say(classified, turned, unseen, tmp_path) -> None:
    assert predict(classified, unseen, "--out", tmp_path / "out", "--ensemble", turned, "--ensemble", classified) == 0
    one, two = (saccade.load(run) for run in (classified, turned))
    assert one.config.data.intensity != two.config.data.intensity
    for row in rows_of(tmp_path / "out"):
        first, second = (member.predict(unseen / f"{row['case']}.png").values["cat"] for member in (one, two))
        assert first != pytest.approx(second, abs=1e-3)
        mean = (2 * first + second) / 3
        assert float(row["p_cat"]) == pytest.approx(mean, rel=1e-4)
        assert row["prediction"] == ("cat" if mean > 0.5 else "dog")
    # the same command again does nothing; with another member all is done again
    record = tmp_path / "out/predictions.json"
    before = json.loads(record.read_text("utf-8"))
    assert predict(classified, unseen, "--out", tmp_path / "out", "--ensemble", turned) == 0
    assert json.loads(record.read_text("utf-8"))["made_by"] != before["made_by"]


def test_members_must_fit_together(classified, trained, unseen, tmp_path, capfd) -> None:
    def said(run: Path, other: Path) -> str:
        assert predict(run, unseen, "--out", tmp_path / "out", "--ensemble", other) == 2
        assert not (tmp_path / "out").exists()
        (line,) = capfd.readouterr().err.splitlines()
        return line.removeprefix("saccade: ")

    assert said(classified, trained) == f"{trained}: must be a run of a classification, is one of a segmentation."
    assert said(trained, classified) == f"{classified}: must be a run of a segmentation, is one of a classification."
    swapped = shutil.copytree(classified, tmp_path / "swapped")
    text = (swapped / "config.yaml").read_text("utf-8")
    (swapped / "config.yaml").write_text(text.replace("  - cat\n  - dog\n", "  - dog\n  - cat\n"), "utf-8")
    assert said(classified, swapped) == (
        "ensemble: all members must have the same classes; member 1 has ('cat', 'dog'), member 2 ('dog', 'cat'). "
        "Train them with the same data.classes."
    )


def test_a_regression_is_averaged_too(tmp_path) -> None:
    root = graded(tmp_path / "set", 8, age=lambda level: 20.5 + 10 * level)
    assert train(root, tmp_path / "run", "--folds", "2", "--set", "training.epochs=1") == 0
    one = saccade.load(tmp_path / "run")
    two = saccade.load(tmp_path / "run")
    two.config = two.config.model_copy(
        update={"data": two.config.data.model_copy(update={"target_mean": (one.config.data.target_mean[0] + 8,)})}
    )
    path = root / "images/p02.png"
    assert ensemble_of([one, two]).predict(path).values["age"] == pytest.approx(one.predict(path).values["age"] + 4)


# attention ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def attending(animals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("attending") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.tasks.check.STEPS", 2)
        assert train(animals, run, *ATTENDING, system="cbam-resnet") == 0
    return run


def test_maps_of_pictures(attending, unseen, tmp_path, capfd) -> None:
    out = tmp_path / "out"
    assert predict(attending, unseen, "--out", out) == 0
    assert files(out) == {"predictions.csv", "predictions.json"}
    capfd.readouterr()
    assert predict(attending, unseen, "--out", out, "--attention") == 0  # maps are missing: done again
    names = {
        f"attention/{kind}_0{n}_attention_maps.{end}"
        for kind in ("cat", "dog")
        for n in "01"
        for end in ("nii.gz", "png")
    }
    assert files(out) == names | {"predictions.csv", "predictions.json"}
    predictor = saccade.load(attending)
    x = predictor.prepared(unseen / "dog/01.png")[None]
    found = nib.load(out / "attention/dog_01_attention_maps.nii.gz").get_fdata()[..., 0]
    np.testing.assert_allclose(found, attention_maps(predictor.network, x)[0].numpy(), atol=1e-5)
    assert np.ptp(found) > 0
    with Image.open(out / "attention/dog_01_attention_maps.png") as drawn:
        assert np.ptp(np.asarray(drawn.convert("RGB")).astype(int), axis=-1).max() > 50
    capfd.readouterr()
    assert predict(attending, unseen, "--out", out, "--attention") == 0
    assert capfd.readouterr().err == "4 of 4 images: finished before, skipped; --overwrite does them again\n"
    (out / "attention/cat_00_attention_maps.png").unlink()
    (unseen.parent / "precious.png").write_text("keep me")
    record = json.loads((out / "predictions.json").read_text("utf-8"))
    record["maps"]["dog/01"].append("../precious.png")
    (out / "predictions.json").write_text(json.dumps(record))
    save(unseen / "dog/01.png", picture(77, False))
    assert predict(attending, unseen, "--out", out) == 0  # the map of what the picture was does not stay
    assert capfd.readouterr().err.startswith("3 of 4 images: finished before")
    gone = {name for name in names if "dog_01" in name} | {"attention/cat_00_attention_maps.png"}
    assert files(out) == names - gone | {"predictions.csv", "predictions.json"}
    assert (unseen.parent / "precious.png").exists()


def test_maps_of_every_member_on_the_grid_of_a_volume(tmp_path) -> None:
    turned = np.array([[0, 0, 1.5, 3], [-1.0, 0, 0, 12], [0, 2.0, 0, -7], [0, 0, 0, 1]])
    rows = []
    for number in range(6):
        array = np.random.default_rng(number).normal(0, 1, (9, 8, 5)).astype(np.float32)
        array[3:6, 3:6] += 4 * (number % 2)
        nib.save(nib.Nifti1Image(array, turned), tmp_path / f"v{number}.nii.gz")
        rows.append({"scan": f"v{number}.nii.gz", "diagnosis": ["well", "ill"][number % 2]})
    run, out = tmp_path / "run", tmp_path / "out"
    few = ("--set", "training.batch_size=3")
    assert train(table(tmp_path, rows), run, *ATTENDING, *few, system="cbam-resnet") == 0
    assert predict(run, tmp_path / "v1.nii.gz", "--out", out, "--attention", "--ensemble", run) == 0
    for member in ("member1", "member2"):
        found = nib.load(out / f"attention/{member}/v1_attention_maps.nii.gz")
        assert found.shape == (9, 8, 5)
        np.testing.assert_array_equal(found.affine, turned)


def test_maps_are_not_promised_where_there_are_none(classified, unseen, tmp_path, capfd) -> None:
    assert predict(classified, unseen, "--out", tmp_path / "out", "--attention") == 2
    assert capfd.readouterr().err == (
        "saccade: predict: resnet has no attention maps to write; leave --attention out, or use saccade explain.\n"
    )
    assert not (tmp_path / "out").exists()
