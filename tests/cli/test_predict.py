"""`saccade predict`: files, folders, DICOM; results on each scan's own grid."""

import csv
import json
import re
import shutil
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pytest
import scipy
import SimpleITK
import torch
from safetensors.torch import load_file, save_file
from tiny import AFFINE, SHAPE, blob, files, save

import saccade
from saccade.cli.main import main
from saccade.cli.processes import device_of_process
from saccade.data.volume import Volume
from saccade.tasks.segmentation.cleanup import CleanUp, clean_up


def predict(run: Path, *arguments: object) -> int:
    return main(["predict", str(run), *map(str, arguments)])


@pytest.fixture(scope="module")
def eager(trained: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run with another last bias, by which half of case0 is organ; not to be written to."""
    run = shutil.copytree(trained, tmp_path_factory.mktemp("eager") / "run")
    found = saccade.load(run).segment(pairs / "images/case0.nii.gz", probabilities=["label 1"])
    state = load_file(run / "model.safetensors")
    middle = float(np.median(found.probabilities["label 1"].array))
    state["head.mix.bias"] += torch.tensor([0.0, float(scipy.special.logit(1 - middle))])
    save_file(state, run / "model.safetensors")
    return run


def test_turned_and_oblique_scans_keep_their_grid(trained, tmp_path, capsys) -> None:
    turn = nib.eulerangles.euler2mat(0.3, 0.2, -0.1)
    affines = {
        "plain": np.diag([1.0, 1.0, 2.0, 1.0]),
        "flipped": np.array([[0, 0, -2.0, 9], [1.0, 0, 0, -5], [0, -1.0, 0, 3], [0, 0, 0, 1]]),
        "oblique": nib.affines.from_matvec(turn @ np.diag([0.8, -1.1, 2.3]), (3, 5, 7)),
    }
    for number, (name, affine) in enumerate(affines.items()):
        save(tmp_path / f"in/{name}.nii.gz", (100 * blob(number)[0]).astype(np.int16), affine)
    assert predict(trained, tmp_path / "in", "--out", tmp_path / "out", "--attention") == 0
    assert capsys.readouterr().out.split() == [f"{tmp_path}/out/{name}.nii.gz" for name in sorted(affines)]
    for name in affines:
        scan = nib.load(tmp_path / f"in/{name}.nii.gz")
        found = nib.load(tmp_path / f"out/{name}.nii.gz")
        maps = [nib.load(path) for path in (tmp_path / "out/attention").glob(f"{name}_*.nii.gz")]
        assert maps
        for result, dtype in ((found, np.uint8), *((map_, np.float32) for map_ in maps)):
            np.testing.assert_array_equal(result.affine, scan.affine)
            assert result.shape == SHAPE
            assert result.get_data_dtype() == dtype
        assert all(0 <= map_.get_fdata().min() < map_.get_fdata().max() <= 1 for map_ in maps)
    rows = list(csv.DictReader((tmp_path / "out/volumes.csv").open()))
    for row in rows:
        found = nib.load(tmp_path / f"out/{row['case']}.nii.gz")
        voxel_ml = abs(np.linalg.det(found.affine[:3, :3])) / 1000
        assert abs(float(row["label 1 (ml)"]) - (found.get_fdata() == 1).sum() * voxel_ml) < 1e-3
    assert json.loads((tmp_path / "out/labels.json").read_text("utf-8"))


def test_a_dicom_folder(eager, tmp_path) -> None:
    image = (100 * blob(3)[0]).astype(np.int16)
    folder = tmp_path / "series"
    folder.mkdir()
    for k in range(SHAPE[2]):
        slice_ = SimpleITK.GetImageFromArray(np.ascontiguousarray(image[:, :, k].T))
        slice_.SetSpacing((1.0, 1.0))
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4", "0008|0018": f"1.2.3.{k + 1}", "0020|000d": "1.2.3",
            "0020|000e": "1.2.3.4", "0008|0060": "MR", "0020|0032": f"0\\0\\{2 * k}", "0020|0013": str(k + 1),
            "0020|0037": "1\\0\\0\\0\\1\\0", "0018|0050": "2",
        }  # fmt: skip
        for tag, value in tags.items():
            slice_.SetMetaData(tag, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{k:02}.dcm"))
        writer.Execute(slice_)
    assert predict(eager, folder, "--out", tmp_path / "out", "--dicom-seg") == 0
    found = nib.load(tmp_path / "out/series.nii.gz")
    segments = highdicom.seg.segread(tmp_path / "out/dicom_seg/series.dcm")
    volume = segments.get_volume(combine_segments=True)
    affine = np.diag([-1.0, -1, 1, 1]) @ volume.affine[:, [2, 1, 0, 3]]
    values = volume.array.transpose(2, 1, 0)
    place = nib.affines.apply_affine(np.linalg.inv(found.affine) @ affine, np.indices(values.shape).reshape(3, -1).T)
    assert np.abs(place - np.rint(place)).max() < 1e-3
    np.testing.assert_array_equal(found.get_fdata()[tuple(np.rint(place).astype(int).T)], values.ravel())
    assert found.get_fdata().sum() == values.sum()
    assert found.get_fdata().any()
    assert found.shape == SHAPE
    # patients lie left to right, front to back in DICOM: the same voxels with two signs turned
    np.testing.assert_allclose(found.affine, np.diag([-1.0, -1.0, 2.0, 1.0]), atol=1e-6)
    same = save(tmp_path / "same.nii.gz", image, np.diag([-1.0, -1.0, 2.0, 1.0]))
    assert predict(eager, same, "--out", tmp_path / "again") == 0
    np.testing.assert_array_equal(nib.load(tmp_path / "again/same.nii.gz").get_fdata(), found.get_fdata())


def test_other_formats_and_several_inputs(trained, tmp_path) -> None:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(blob(0)[0].T))
    SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd"))
    SimpleITK.WriteImage(image, str(tmp_path / "b.mha"))
    assert predict(trained, tmp_path / "a.nrrd", tmp_path / "b.mha", "--out", tmp_path / "out") == 0
    assert {"a.nii.gz", "b.nii.gz"} <= files(tmp_path / "out")
    one, two = (nib.load(tmp_path / f"out/{name}.nii.gz") for name in "ab")
    np.testing.assert_array_equal(one.get_fdata(), two.get_fdata())


def test_mirroring_and_overlap_reach_the_windows(trained, pairs, tmp_path, monkeypatch) -> None:
    seen = []
    from saccade.tasks.segmentation import predictor

    once = predictor.SegmentationPredictor._once

    def counting(self, windows, flat, names):
        seen.append(windows.shape)
        return once(self, windows, flat, names)

    monkeypatch.setattr(predictor.SegmentationPredictor, "_once", counting)
    monkeypatch.setattr(predictor, "window_bytes", lambda *_: (0, [2]))  # which sends a window of its own
    counts = []
    for options in (["--overlap", "0"], ["--overlap", "0", "--mirror", "0,2"], ["--overlap", "0.75", "--mirror", ""]):
        seen.clear()
        assert predict(trained, pairs / "images/case0.nii.gz", "--out", tmp_path / "out", *options) == 0
        counts.append(len(seen))
    # 17 x 13 x 11 in windows of 8: 3 x 2 x 2; mirrored over two axes four times; with steps of 2: 6 x 4 x 3
    assert counts == [12, 48, 72]


def test_what_it_says(trained, pairs, tmp_path, capfd) -> None:
    """Results on stdout; the memory expected, the time taken and what is skipped on stderr."""
    arguments = (pairs / "images/case0.nii.gz", "--out", tmp_path / "out")
    assert predict(trained, *arguments) == 0
    out, err = capfd.readouterr()
    assert out == f"{tmp_path}/out/case0.nii.gz\n"
    before, after = err.splitlines()
    assert re.fullmatch(r"case0: memory expected at most [0-9.]+ [MG]B", before)
    stages = " s, ".join(rf"{stage} \d+\.\d" for stage in ("read", "prepare", "network", "restore", "write"))
    assert re.fullmatch(rf"case0: {stages} s", after)
    assert predict(trained, *arguments) == 0
    skipped = "1 of 1 scans: finished before, skipped; --overwrite does them again\n"
    assert capfd.readouterr() == ("", skipped)
    assert predict(trained, *arguments, "--overwrite") == 0
    assert capfd.readouterr().out == out


def test_everything_at_once(eager, trained, pairs, tmp_path, capfd) -> None:
    scan, rules = pairs / "images/case0.nii.gz", {"organs": {"label 1": {"keep_largest": True}}}
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    both = ("--ensemble", trained)
    options = ("--probabilities", "all", "--probabilities", "background", "--uncertainty", "--max-memory", "64 GB",
               "--clean-up", tmp_path / "rules.json")  # fmt: skip
    assert predict(eager, scan, "--out", tmp_path / "out", *both, *options) == 0
    organ, background, entropy, labels = (
        nib.load(tmp_path / "out" / f"{name}.nii.gz").get_fdata()
        for name in ("probabilities/case0/label_1", "probabilities/case0/background", "uncertainty/case0", "case0")
    )
    np.testing.assert_allclose(organ + background, 1, atol=1e-5)
    np.testing.assert_allclose(entropy, scipy.special.entr([organ, background]).sum(0), atol=1e-4)
    plain = Volume((organ > background).astype(np.uint8), AFFINE)
    assert plain.array.any()
    cleaned = clean_up(plain, CleanUp.parse(rules, "t"), {1: "label 1"})
    np.testing.assert_array_equal(labels, cleaned.array)
    one = saccade.load(eager).segment(scan, probabilities=["label 1"]).probabilities["label 1"].array
    two = saccade.load(trained).segment(scan, probabilities=["label 1"]).probabilities["label 1"].array
    # logits are blended where one network speaks, probabilities where several do: not quite the same
    assert np.abs(organ - (one + two) / 2).mean() < 0.1 * np.abs(one - two).mean()
    capfd.readouterr()
    run = shutil.copytree(eager, tmp_path / "run")
    assert predict(run, scan, "--out", tmp_path / "auto", "--clean-up", "auto") == 0
    assert capfd.readouterr().err.startswith("clean-up tuned on 1 validation case: ")
    assert json.loads((run / "clean_up.json").read_text("utf-8"))["tuning"]["cases"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-memory", "lots"], "--max-memory: must be a size such as 4GB, 512MB or 1.5GiB, got 'lots'."),
        (["--max-memory", "0"], "--max-memory: must be a size such as 4GB, 512MB or 1.5GiB, got '0'."),
        (["--probabilities", "liver"], "predict: unknown organ 'liver'. Known: label 1, background, all."),
        (["--clean-up", "gone.json"], "gone.json: cannot be read as JSON ("),
        (["--ensemble", "gone"], "gone: must be the folder of a run, there is no such folder."),
        (["--dicom-seg"], "SCAN: --dicom-seg needs a DICOM series, this is none."),
    ],
)
def test_options_that_cannot_be_met(trained, pairs, tmp_path, capfd, options, message) -> None:
    scan = pairs / "images/case0.nii.gz"
    assert predict(trained, scan, "--out", tmp_path / "out", *options) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"saccade: {message}".replace("SCAN", str(scan)))
    assert not (tmp_path / "out").exists()


def test_too_little_memory_is_refused_before_work_begins(trained, pairs, tmp_path, capfd) -> None:
    scan = pairs / "images/case0.nii.gz"
    assert predict(trained, scan, "--out", tmp_path / "out", "--max-memory", "1MB") == 2
    assert f"saccade: {scan}: to segment it takes " in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_processes_of_torchrun_begin_at_different_scans(trained, pairs, tmp_path, capfd, monkeypatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert predict(trained, pairs / "images", "--out", tmp_path / "out") == 0
    assert [Path(line).name[4] for line in capfd.readouterr().out.splitlines()] == ["2", "3", "4", "0", "1"]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [device_of_process(name) for name in ("cuda", "cpu", "cuda:0")] == ["cuda:1", "cpu", "cuda:0"]


def test_maps_of_a_network_without_attention_are_refused(tmp_path, capfd, short_check, pairs) -> None:
    from tiny import train

    assert train(pairs, tmp_path / "run", system="unet") == 0
    capfd.readouterr()
    assert predict(tmp_path / "run", pairs / "images", "--out", tmp_path / "out", "--attention") == 2
    assert capfd.readouterr().err == "saccade: predict: unet has no attention maps to write; leave --attention out.\n"
    assert not (tmp_path / "out").exists()
