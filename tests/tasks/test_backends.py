"""Exported networks give what the network gives, and refuse to stand in for other weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from saccade.errors import InputError, RunError
from saccade.networks import AttentionUNet, UNet
from saccade.tasks.backends import export_network, export_run, exported_network

openvino = pytest.importorskip("openvino", reason="openvino is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
SHAPE = (1, 12, 11, 8)


@pytest.fixture(scope="module")
def network() -> AttentionUNet:
    torch.manual_seed(0)
    return AttentionUNet(1, 3, channels=(4, 8, 16)).eval()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("run")
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, run / "model.safetensors")
    for format in ("onnx", "openvino"):
        export_run(network, SHAPE, run / "model.safetensors", run / "export", format)
    return run


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_scores_are_equal_whatever_the_batch(network, exported, backend) -> None:
    other = exported_network(exported / "export", exported / "model.safetensors", backend)
    generator = torch.Generator().manual_seed(1)
    kept = []
    for batch in (1, 3):
        x = torch.randn(batch, *SHAPE, generator=generator)
        with torch.no_grad():
            expected, found = network(x), other(x)
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-2 * float(expected.abs().max()))
        assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.99
        kept.append((found, found.clone()))
    assert torch.equal(*kept[0])  # a later call leaves the result of an earlier one alone


def test_onnx_is_equal_in_float32(network, exported) -> None:
    other = exported_network(exported / "export", exported / "model.safetensors", "onnx")
    x = torch.randn(2, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(other(x), network(x), rtol=1e-4, atol=1e-4)


def test_slices_and_torch_export(tmp_path) -> None:
    torch.manual_seed(0)
    network, x = UNet(1, 2, spatial_dims=2, channels=(4, 8)).eval(), torch.randn(2, 1, 10, 12)
    export_network(network, (1, 10, 12), tmp_path / "model.pt2", "pt2")
    again = torch.export.load(tmp_path / "model.pt2").module()
    with torch.no_grad():
        torch.testing.assert_close(again(x), network(x), rtol=1e-4, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]


class Hesitant(torch.nn.Module):
    """What it computes depends on what it sees, which no exported file can express."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.mean() > 0 else -x


class Fussy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise LookupError("no such\nlayer")


@pytest.mark.parametrize("format", ["onnx", "openvino", "pt2"])
@pytest.mark.parametrize("network", [Hesitant(), Fussy()])
def test_a_network_that_cannot_be_exported_is_one_line(tmp_path, network, format) -> None:
    with pytest.raises(RunError, match=rf"^export: the network cannot be written as {format} \(.+\)\.$") as caught:
        export_network(network, (1, 8, 8, 8), tmp_path / "model", format)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_stand_in_is_refused(network, exported, tmp_path) -> None:
    weights = exported / "model.safetensors"
    with pytest.raises(InputError, match=r"there is no such file\. Run: saccade export .* --format onnx"):
        exported_network(tmp_path, weights, "onnx")
    with pytest.raises(InputError, match="unknown backend 'tensorrt'"):
        exported_network(exported / "export", weights, "tensorrt")
    with pytest.raises(InputError, match="unknown format 'tf'"):
        export_run(network, SHAPE, weights, tmp_path, "tf")
    other = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(InputError, match="was made from other weights than the run has now"):
        exported_network(exported / "export", other, "openvino")


@pytest.mark.parametrize(("backend", "file"), [("onnx", "model.onnx"), ("openvino", "model.xml")])
def test_a_damaged_file_is_one_line(network, exported, tmp_path, backend, file) -> None:
    for path in (exported / "export").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:50])
    with pytest.raises(InputError, match=f"cannot be read by {backend}") as caught:
        exported_network(tmp_path, exported / "model.safetensors", backend)
    assert "\n" not in str(caught.value)
