"""Partially labelled cases from the folder to the scores: what each teaches, and what it is not asked."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from run_files import history, interrupt, same_weights
from tiny import SHAPE, save, train
from torch import nn

from saccade.data.layouts import Case, find_dataset
from saccade.errors import InputError
from saccade.files import write_json
from saccade.tasks.segmentation.cleanup import tune_clean_up
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.dataset import Patches, PreparedCases
from saccade.tasks.segmentation.evaluate import LesionSettings, evaluate_folders
from saccade.tasks.segmentation.labelled import labelled_line, with_labelled
from saccade.tasks.segmentation.module import LOSSES, SegmentationModule

NAMES = {1: "bright", 2: "dark"}
# fold 0 of 3 holds out two of the six
PARTIAL = {"case0": ["bright"], "case1": ["dark"], "case2": ["bright"], "case3": [2], "case4": "bright"}
THREE = ("--folds", "3", "--set", "training.batch_size=4")


def balls(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image with a bright ball (1) and a dark one (2), and its label."""
    rng = np.random.default_rng(seed)
    grid = np.moveaxis(np.indices(SHAPE), 0, -1)
    label = np.zeros(SHAPE, np.uint8)
    for value, low in ((1, (3, 3, 3)), (2, (11, 7, 5))):
        label[np.linalg.norm(grid - rng.integers(low, np.add(low, 3)), axis=-1) <= 2.5] = value
    return rng.normal(0, 1, SHAPE).astype(np.float32) + 6 * (label == 1) - 6 * (label == 2), label


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> Path:
    """Six cases of which five have only one ball labelled; not to be written to."""
    root = tmp_path_factory.mktemp("halves")
    for number in range(6):
        image, label = balls(number)
        known = PARTIAL.get(f"case{number}")
        if known is not None:
            value = 1 if "bright" in known else 2
            label = label * (label == value)
        save(root / f"images/case{number}.nii.gz", image)
        save(root / f"labels/case{number}.nii.gz", label)
    (root / "labels.json").write_text(json.dumps({str(value): name for value, name in NAMES.items()}))
    (root / "partial.json").write_text(json.dumps(PARTIAL))
    return root


@pytest.fixture(scope="module")
def run(halves, tmp_path_factory) -> Path:
    """Three epochs on them."""
    out = tmp_path_factory.mktemp("labelled") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.tasks.check.STEPS", 2)
        assert train(halves, out, *THREE, "--set", "training.epochs=3") == 0
    return out


def of(labelled: dict, names: dict | None = None, **training) -> SegmentationConfig:
    """A configuration of bright and dark balls of which these cases are partially labelled."""
    intensity = {"kind": "z_score"}
    data = {"root": ".", "label_names": names or NAMES, "patch_size": (5, 3, 7), "intensity": intensity}
    values = {"system": "unet", "data": {**data, "labelled": labelled}, "training": training}
    return SegmentationConfig.parse(values, "test")


# what is planned ------------------------------------------------------------------------------------------------------


def test_the_data_set_says_it_and_the_user_may_say_otherwise(halves) -> None:
    dataset = find_dataset(halves)
    planned = with_labelled(of({}), dataset, dataset.cases)
    declared = {"case0": (1,), "case1": (2,), "case2": (1,), "case3": (2,), "case4": (1,)}
    assert planned.data.labelled == declared
    assert labelled_line(planned, dataset.cases) == "6 cases to train on, of which have labels of bright 4, dark 3"
    corrected = with_labelled(of({"case0": (1, 2), "case5": (2,)}), dataset, dataset.cases)
    assert corrected.data.labelled == {**{k: v for k, v in declared.items() if k != "case0"}, "case5": (2,)}


def test_plans_that_cannot_be(halves) -> None:
    dataset = find_dataset(halves)
    with pytest.raises(InputError) as error:
        with_labelled(of({}), dataset, [case for case in dataset.cases if case.id in ("case0", "case2")])
    assert str(error.value) == (
        f"{halves}: each class must be labelled in a training case, dark is in none. "
        "Leave it out of data.label_names, or take another split."
    )
    with pytest.raises(InputError, match=r"^data\.labelled: unknown case 'cas3'\. Did you mean 'case3'\?"):
        with_labelled(of({"cas3": (1,)}), dataset, dataset.cases)
    with pytest.raises(InputError) as error:
        with_labelled(of({}, {1: "bright"}), dataset, dataset.cases)
    assert str(error.value) == "case case1: must have a class labelled that is learned (bright). Leave it out."
    for values in ((), (3,)):
        with pytest.raises(InputError, match=r"labelled: case x must have values of label_names, got \["):
            of({"x": values})


# what is learnt from --------------------------------------------------------------------------------------------------


def test_patches_say_what_was_labelled_and_hold_nothing_else(tmp_path) -> None:
    image, label = balls(0)
    save(tmp_path / "a.nii.gz", image)
    save(tmp_path / "a_seg.nii.gz", label)  # with traces of the dark ball, which nobody has labelled in full
    case = Case("a", (tmp_path / "a.nii.gz",), tmp_path / "a_seg.nii.gz")
    every, half = (PreparedCases([case], of(labelled, foreground_fraction=1.0)) for labelled in ({}, {"a": (1,)}))
    assert set(every[0][1].unique().tolist()) == {0, 1, 2}
    assert torch.equal(half[0][1], torch.where(every[0][1] == 1, every[0][1], 0))
    assert [len(places) for prepared in (every, half) for places in [prepared[0][2]]] == [2, 1]
    assert len(Patches(every)[(0, 0, 0)]) == 2
    seen = [Patches(half)[(0, position, 0)] for position in range(9)]
    assert all(labelled.tolist() == [True, True, False] for _, _, labelled in seen)
    assert all((labels == 1).any() for _, labels, _ in seen)  # never centred on what is not labelled


def test_the_cache_keeps_them_apart(tmp_path) -> None:
    image, label = balls(0)
    save(tmp_path / "a.nii.gz", image)
    save(tmp_path / "a_seg.nii.gz", label)
    case = Case("a", (tmp_path / "a.nii.gz",), tmp_path / "a_seg.nii.gz")
    classes = [PreparedCases([case], of(which, cache=tmp_path / "c"))[0][1] for which in ({}, {"a": (1,)}, {})]
    assert torch.equal(classes[0], classes[2])
    assert not torch.equal(classes[0], classes[1])
    assert len(list((tmp_path / "c").iterdir())) == 2


class Three(nn.Module):
    """Logits of three classes that follow from the grey value alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([0 * x, self.scale * (x - 0.5), -self.scale * x - 0.5], 1)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_step_of_every_named_loss(loss) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 1, 5, 3, 7, generator=generator)
    labels = torch.randint(0, 3, (2, 5, 3, 7), generator=generator)
    module = SegmentationModule(Three(), of({"x": (1,)}, loss=loss), steps_per_epoch=1)
    everything, half = torch.ones(2, 3, dtype=torch.bool), torch.tensor([[True, True, True], [True, True, False]])
    whole = module.training_step((image, labels), 0)
    torch.testing.assert_close(module.training_step((image, labels, everything), 0), whole)
    found = module.training_step((image, labels, half), 0)
    torch.testing.assert_close(found, LOSSES[loss](Three()(image), labels, labelled=half))
    assert abs(found - whole) > 1e-4


def test_validation_asks_for_nothing_that_was_not_labelled(monkeypatch) -> None:
    module = SegmentationModule(Three(), of({"x": (1,)}), steps_per_epoch=1)
    logged = {}
    monkeypatch.setattr(module, "log", lambda name, value: logged.update({name: float(value)}))
    image, labels = torch.zeros(1, 5, 3, 7), torch.zeros(5, 3, 7, dtype=torch.long)
    image[0, :2, 0, 0], image[0, 3:, 0, 0] = 2, -2  # two voxels are found as class 1, two as class 2
    labels[1:4, 0, 0] = 1  # three are true, one of them found: 2 x 1 / (2 + 3)
    module.validation_step((0, image, labels, torch.tensor([True, True, False])), 0)
    module.on_validation_epoch_end()
    assert logged["val_dice bright"] == pytest.approx(0.4)
    assert math.isnan(logged["val_dice dark"])
    assert logged["val_dice"] == pytest.approx(0.4)
    module.validation_step((0, image, labels, torch.tensor([True, True, True])), 0)
    module.on_validation_epoch_end()
    assert logged["val_dice dark"] == 0


# a run ----------------------------------------------------------------------------------------------------------------


def test_a_run_says_what_was_labelled_and_scores_nothing_else(run, tmp_path) -> None:
    settings = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    assert settings["data"]["labelled"] == {
        "case0": [1], "case1": [2], "case2": [1], "case3": [2], "case4": [1],
    }  # fmt: skip
    assert json.loads((run / "summary.json").read_text("utf-8"))["partially_labelled_cases"] == 5
    scores = json.loads((run / "validation/metrics.json").read_text("utf-8"))["cases"]
    partial = {id for id in scores if id in PARTIAL}
    assert partial
    for id, organs in scores.items():
        for value, name in NAMES.items():
            scored = organs[name]["dice"] is not None
            assert scored == (value in settings["data"]["labelled"].get(id, [1, 2])), (id, name)
    # the folder says so without the run's configuration
    write_json(
        tmp_path / "again.json", evaluate_folders(run / "validation", run / "validation/truth", label_names=NAMES)
    )
    assert json.loads((tmp_path / "again.json").read_text("utf-8"))["cases"] == scores


def test_clean_up_is_not_tuned_on_what_was_not_labelled(tmp_path) -> None:
    found = np.zeros((9, 9, 9), np.uint8)
    found[1:5, 1:5, 1:5] = 2
    stray = np.zeros_like(found)
    stray[0, 0, :2], stray[6:, 6:, 6:] = 2, 1
    save(tmp_path / "validation/x.nii.gz", stray)
    save(tmp_path / "validation/truth/x.nii.gz", stray * (stray == 1))
    save(tmp_path / "validation/y.nii.gz", found)
    save(tmp_path / "validation/truth/y.nii.gz", found)
    (tmp_path / "model.safetensors").touch()
    assert set(tune_clean_up(tmp_path, NAMES).organs) == {"dark"}  # two voxels that are not dark in x
    (tmp_path / "validation/truth/partial.json").write_text('{"x": ["bright"]}')
    assert set(tune_clean_up(tmp_path, NAMES).organs) == set()  # perhaps they are


@pytest.mark.usefixtures("short_check")
def test_it_goes_on_bit_for_bit(run, halves, tmp_path, monkeypatch, capfd) -> None:
    stopped = tmp_path / "run"
    settings = (*THREE, "--set", "training.epochs=3")
    with monkeypatch.context() as patch:
        interrupt(patch, 1, KeyboardInterrupt())
        assert train(halves, stopped, *settings) == 130
    assert "labels 4 cases to train on, of which have labels of bright " in capfd.readouterr().err
    assert train(halves, stopped, *settings, "--resume") == 0
    assert history(stopped) == history(run)
    assert same_weights(stopped, run)
    # its own file gives the same run again, the cases being the data set's to describe
    assert train(halves, tmp_path / "again", *settings, "--config", str(run / "config.yaml")) == 0
    assert same_weights(tmp_path / "again", run)


@pytest.mark.process
@pytest.mark.usefixtures("short_check")
def test_two_processes_equal_one(halves, tmp_path) -> None:
    # as in test_processes: Adam would blow up the noise of gradients that are nearly zero
    plain = ("training.optimiser=sgd", "training.learning_rate=0.05", "training.precision=32-true",
             "network.norm=instance", "training.epochs=1")  # fmt: skip
    words = [*THREE, *(part for text in plain for part in ("--set", text))]
    assert train(halves, tmp_path / "one", *words) == 0
    assert train(halves, tmp_path / "two", *words, "--devices", "2", "--accelerator", "cpu") == 0
    for mine, theirs in zip(history(tmp_path / "one"), history(tmp_path / "two"), strict=True):
        for name in mine:
            assert float(theirs[name]) == pytest.approx(float(mine[name]), rel=1e-5, abs=1e-6, nan_ok=True), name


# evaluation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_data_set", [True, False])
def test_evaluation_leaves_out_what_was_not_labelled(halves, tmp_path, as_data_set) -> None:
    for number in range(6):
        save(tmp_path / f"predictions/case{number}.nii.gz", balls(number)[1])
    truth = halves if as_data_set else halves / "labels"
    lesions = LesionSettings(overlap=0.1)
    found = evaluate_folders(tmp_path / "predictions", truth, lesions=lesions)
    assert found["summary"]["bright"]["dice"] == {"mean": 1, "std": 0, "n": 4, "n_missed": 0, "n_spurious": 0}
    assert found["summary"]["dark"]["dice"]["n"] == 3
    assert math.isnan(found["cases"]["case0"]["dark"]["dice"])
    assert set(found["lesions"]["dark"]["cases"]) == {"case1", "case3", "case5"}
    assert found["lesions"]["dark"]["summary"]["false_positives_per_case"] == 0
