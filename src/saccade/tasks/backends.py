"""A run's network outside PyTorch: as files for ONNX Runtime and OpenVINO, and those files at work."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.data.splits import file_hash
from saccade.errors import InputError, RunError, unknown_name
from saccade.files import atomic, read_json, write_json
from saccade.networks.inference import for_inference

FORMATS = {"onnx": "model.onnx", "openvino": "model.xml", "pt2": "model.pt2"}
BACKENDS = ("torch", "onnx", "openvino")  # a pt2 archive may hold pickles, so it is written and never read here
ABOUT = "export.json"


def export_network(network: nn.Module, shape: tuple[int, ...], path: Path, format: str) -> None:
    """Write a network as a file of another tool; its batch may have any size, the rest of its input has not.

    Args:
        network: Takes one tensor, gives one.
        shape: Of one input, (c, *space).
        path: The file; OpenVINO's weights come to lie beside it, with the suffix ``.bin``.
        format: One of `FORMATS`.

    Raises:
        InputError: For an unknown format, or if the tool is not installed.
        RunError: If the network cannot be written in that format.
    """
    if format not in FORMATS:
        raise unknown_name("export", "format", format, list(FORMATS))
    _need(format)
    example = (torch.zeros(2, *shape),)
    dynamic = ({0: torch.export.Dim("batch", min=1, max=1024)},)
    try:
        with torch.no_grad():
            program = torch.export.export(for_inference(network), example, dynamic_shapes=dynamic)
            with atomic(path) as temporary:
                _WRITERS[format](program, temporary)
    except OSError:  # the machine's, not the network's
        raise
    except Exception as error:  # a network of the user's own fails in ways of its own
        reason = (str(error).strip() or type(error).__name__).split("\n")[0][:200]
        raise RunError(f"export: the network cannot be written as {format} ({reason}).") from error


def export_run(network: nn.Module, shape: tuple[int, ...], weights: Path, out: Path, format: str) -> Path:
    """Write a run's network into a folder, with a note of the weights that it was made from.

    Args:
        network: As `export_network` takes it.
        shape: Of one input, (c, *space).
        weights: The file the network's weights came from.
        out: The folder; other formats in it stay.
        format: One of `FORMATS`.

    Returns:
        The file to be opened by the other tool.
    """
    if format not in FORMATS:
        raise unknown_name("export", "format", format, list(FORMATS))
    path = out / FORMATS[format]
    export_network(network, shape, path, format)
    made = read_json(out / ABOUT) if (out / ABOUT).is_file() else {}
    made[format] = {"weights_sha256": file_hash(weights), "input": ["batch", *shape]}
    write_json(out / ABOUT, made)
    return path


def exported_network(out: Path, weights: Path, backend: str) -> nn.Module:
    """A network at work in ONNX Runtime or OpenVINO, on the processor.

    Args:
        out: Folder that `export_run` wrote into.
        weights: The run's weights as they are now.
        backend: ``onnx`` or ``openvino``.

    Raises:
        InputError: If the tool is not installed, nothing was exported, or it was exported from other weights.
    """
    if backend not in BACKENDS[1:]:
        raise unknown_name("predict", "backend", backend, list(BACKENDS))
    _need(backend)
    path, again = out / FORMATS[backend], f"Run: saccade export {weights.parent} --format {backend}"
    if not weights.is_file():
        raise InputError(f"{weights}: there is no such file. Restore it, or train again.")
    if not path.is_file() or not (out / ABOUT).is_file():
        raise InputError(f"{path}: there is no such file. {again}")
    digest = file_hash(weights)
    if read_json(out / ABOUT).get(backend, {}).get("weights_sha256") != digest:
        raise InputError(f"{path}: was made from other weights than the run has now. {again}")
    try:
        network = OnnxNetwork(path) if backend == "onnx" else OpenVinoNetwork(path)
    except Exception as error:  # neither tool has an error of its own for a damaged file
        reason = str(error).strip().split("\n")[0][:120]
        raise InputError(f"{path}: cannot be read by {backend} ({reason}). {again}") from None
    # it has no weights of its own that its results could be known by
    network.register_buffer("weights_sha256", torch.tensor([*bytes.fromhex(digest)], dtype=torch.uint8))
    return network


class OnnxNetwork(nn.Module):
    """An ONNX file as a module: float32 in, float32 out.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b k *grid"]:
        (scores,) = self.session.run(None, {self.session.get_inputs()[0].name: _array(x)})
        return torch.from_numpy(scores)


class OpenVinoNetwork(nn.Module):
    """An OpenVINO file as a module: float32 in, float32 out; the processor may compute in bfloat16 in between.

    Args:
        path: The ``.xml`` file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        import openvino

        settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
        self.compiled = openvino.Core().compile_model(path, "CPU", settings)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b k *grid"]:
        # the compiled network uses its output's memory again at the next call
        return torch.from_numpy(self.compiled(_array(x))[0].copy())


def _array(x: Tensor) -> np.ndarray:
    return x.detach().float().contiguous().numpy()


def _need(tool: str) -> None:
    from importlib.util import find_spec

    for package in {"onnx": ("onnxscript", "onnxruntime"), "openvino": ("onnxscript", "openvino")}.get(tool, ()):
        if find_spec(package) is None:
            raise InputError(f"{tool}: needs the package {package}. Install it with: pip install 'saccade[export]'")


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    written = torch.onnx.export(program, dynamo=True, verbose=False)
    assert written is not None
    written.save(path, external_data=False)


def _write_openvino(program: torch.export.ExportedProgram, path: Path) -> None:
    import openvino

    with TemporaryDirectory() as folder:
        _write_onnx(program, Path(folder) / "model.onnx")
        model = openvino.convert_model(Path(folder) / "model.onnx")
    final = path.with_name(FORMATS["openvino"]).with_suffix(".bin")
    with atomic(final) as weights:
        openvino.save_model(model, path, compress_to_fp16=False)
        path.with_suffix(".bin").replace(weights)


_WRITERS: dict[str, Callable[[torch.export.ExportedProgram, Path], None]] = {
    "onnx": _write_onnx,
    "openvino": _write_openvino,
    "pt2": torch.export.save,
}
