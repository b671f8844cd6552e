"""`saccade export`, and `saccade predict --backend` with what it made."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from saccade.cli.main import main
from saccade.tasks.settings import read_yaml

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("openvino", reason="openvino is not installed")


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_labels_of_another_backend_are_the_same(trained, pairs, tmp_path, capsys, backend) -> None:
    scan = sorted((pairs / "images").iterdir())[0]
    run = shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("validation", "tensorboard"))
    assert main(["export", str(run), "--format", backend]) == 0
    assert main(["predict", str(run), str(scan), "--out", str(tmp_path / "torch")]) == 0
    assert main(["predict", str(run), str(scan), "--out", str(tmp_path / "other"), "--backend", backend]) == 0
    ours, theirs = (np.asarray(nib.load(tmp_path / name / scan.name).dataobj) for name in ("torch", "other"))
    assert (ours == theirs).mean() > 0.999
    assert read_yaml(run / "export" / "config.yaml") == read_yaml(trained / "config.yaml")


def test_what_cannot_be_done_is_one_line(trained, pairs, tmp_path, capsys) -> None:
    scan = str(sorted((pairs / "images").iterdir())[0])
    for arguments, message in [
        (["export", str(trained), "--format", "tf"], "unknown format 'tf'"),
        (["export", str(tmp_path / "no"), "--format", "onnx"], "there is no such folder"),
        (["predict", str(trained), scan, "--out", str(tmp_path / "a"), "--backend", "tvm"], "unknown backend 'tvm'"),
        (
            ["predict", str(trained), scan, "--out", str(tmp_path / "a"), "--backend", "onnx", "--device", "cuda"],
            "onnx works on the processor here, got device cuda",
        ),
    ]:
        assert main(arguments) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert message in lines[0]
    assert not (tmp_path / "a").exists()
