"""`saccade predict`: files, folders, DICOM; results on each scan's own grid."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK
from tiny import SHAPE, blob, files, save

from saccade.cli.main import main


def predict(run: Path, *arguments: object) -> int:
    return main(["predict", str(run), *map(str, arguments)])


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
    assert json.loads((tmp_path / "out/labels.json").read_text())


def test_a_dicom_folder(trained, tmp_path) -> None:
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
    assert predict(trained, folder, "--out", tmp_path / "out") == 0
    found = nib.load(tmp_path / "out/series.nii.gz")
    assert found.shape == SHAPE
    # patients lie left to right, front to back in DICOM: the same voxels with two signs turned
    np.testing.assert_allclose(found.affine, np.diag([-1.0, -1.0, 2.0, 1.0]), atol=1e-6)
    same = save(tmp_path / "same.nii.gz", image, np.diag([-1.0, -1.0, 2.0, 1.0]))
    assert predict(trained, same, "--out", tmp_path / "again") == 0
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
    counts = []
    for options in (["--overlap", "0"], ["--overlap", "0", "--mirror", "0,2"], ["--overlap", "0.75", "--mirror", ""]):
        seen.clear()
        assert predict(trained, pairs / "images/case0.nii.gz", "--out", tmp_path / "out", *options) == 0
        counts.append(len(seen))
    # 17 x 13 x 11 in windows of 8: 3 x 2 x 2; mirrored over two axes four times; with steps of 2: 6 x 4 x 3
    assert counts == [12, 48, 72]


def test_it_is_calm(trained, pairs, tmp_path, capfd) -> None:
    assert predict(trained, pairs / "images/case0.nii.gz", "--out", tmp_path / "out") == 0
    assert capfd.readouterr() == (f"{tmp_path}/out/case0.nii.gz\n", "")


def test_maps_of_a_network_without_attention_are_refused(tmp_path, capfd, short_check, pairs) -> None:
    from tiny import train

    assert train(pairs, tmp_path / "run", system="unet") == 0
    capfd.readouterr()
    assert predict(tmp_path / "run", pairs / "images", "--out", tmp_path / "out", "--attention") == 2
    assert capfd.readouterr().err == "saccade: predict: unet has no attention maps to write; leave --attention out.\n"
    assert not (tmp_path / "out").exists()
