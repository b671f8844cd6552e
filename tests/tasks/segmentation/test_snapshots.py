"""Attention over epochs: which slices, when, and that the maps kept are those of the network at that time."""

import numpy as np
import pytest
import torch
from killed import train_and_die
from run_files import held_out
from tiny import train

import saccade
from saccade.errors import InputError
from saccade.tasks.segmentation.snapshots import read_snapshots

pytestmark = pytest.mark.usefixtures("short_check")
# one window holds a whole volume, so that nothing is blended
SETTINGS = ["training.epochs=3", "training.attention_epochs=[1,2]", "training.precision=32-true"]
THREE = tuple(part for text in [*SETTINGS, "data.patch_size=[17,13,11]"] for part in ("--set", text))


def snapshots(run):
    return read_snapshots(run / "attention/epochs.npz")


@pytest.fixture(scope="module")
def whole(pairs, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.tasks.check.STEPS", 2)
        assert train(pairs, run, *THREE, "--folds", "2") == 0
    return run


def test_chosen_epochs_and_the_last_of_the_held_out_cases(whole, pairs) -> None:
    items = snapshots(whole)
    label = saccade.read_volume(pairs / f"labels/{items[0].case}.nii.gz").array  # stored as prepared: RAS, own spacing
    assert len(items) == 3  # of five cases, two folds
    for item in items:
        assert item.epochs == (1, 2, 3)
        assert item.gates == ("gates_0_gates_0", "gates_0_gates_1")
        assert item.spacing_mm == (1.0, 1.0)
        assert item.attention.shape == (3, 2, 17, 13)
        assert item.attention.min() >= 0
        assert item.attention.max() <= 1
        assert item.prediction.shape == (3, 17, 13)
        for one, two in ((0, 1), (1, 2)):
            assert not np.array_equal(item.attention[one], item.attention[two])  # it learns
    place = label.sum((0, 1)).argmax()
    np.testing.assert_array_equal(items[0].truth, label[..., place])


def test_the_last_one_is_what_the_trained_network_does(whole, pairs) -> None:
    item = snapshots(whole)[0]
    predictor = saccade.load(whole)
    predictor.network.load_state_dict(
        {
            name.removeprefix("average.module."): value
            for name, value in torch.load(whole / "last.ckpt", weights_only=True)["state_dict"].items()
            if name.startswith("average.module.")
        }
    )
    found = predictor.segment(pairs / f"images/{item.case}.nii.gz", attention=True)
    label = saccade.read_volume(pairs / f"labels/{item.case}.nii.gz").array
    place = label.sum((0, 1)).argmax()
    for number, gate in enumerate(item.gates):
        now = found.attention[gate].array[..., place]
        np.testing.assert_allclose(item.attention[-1, number], now, atol=2e-3)  # kept in 16 bits
        assert not np.allclose(item.attention[0, number], now, atol=2e-3)
    np.testing.assert_array_equal(item.prediction[-1], found.labels.array[..., place])


@pytest.mark.process
def test_a_killed_run_has_them_all_in_the_end(whole, pairs, tmp_path) -> None:
    run = tmp_path / "run"
    train_and_die(pairs, run, "last.ckpt:2", (*THREE, "--folds", "2"))
    assert snapshots(run)[0].epochs == (1, 2)
    assert train(pairs, run, *THREE, "--folds", "2", "--resume") == 0
    for mine, theirs in zip(snapshots(run), snapshots(whole), strict=True):
        assert mine.epochs == theirs.epochs
        np.testing.assert_array_equal(mine.attention, theirs.attention)
        np.testing.assert_array_equal(mine.prediction, theirs.prediction)


def test_slices_of_two_dimensions(pairs, tmp_path) -> None:
    assert train(pairs, tmp_path / "run", "--set", "data.patch_size=[16,8,1]") == 0
    (item,) = snapshots(tmp_path / "run")
    assert item.case == held_out(tmp_path / "run")
    assert item.epochs == (2,)
    assert item.attention.shape[2:] == (17, 13)


def test_none_where_nothing_attends_or_none_is_wanted(pairs, tmp_path) -> None:
    assert train(pairs, tmp_path / "plain", system="unet") == 0
    assert train(pairs, tmp_path / "off", "--set", "training.attention_epochs=[]") == 0
    assert not (tmp_path / "plain/attention").exists()
    assert not (tmp_path / "off/attention").exists()


def test_a_damaged_file(tmp_path) -> None:
    (tmp_path / "epochs.npz").write_bytes(b"PK123")
    with pytest.raises(InputError, match=rf"^{tmp_path}/epochs.npz: cannot be read as attention over epochs \("):
        read_snapshots(tmp_path / "epochs.npz")
