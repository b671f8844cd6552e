"""A trained segmentation network, applied to scans: labels on the scan's own grid, and the maps of its attention."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.tap import AttentionMap, Tap, record
from saccade.data.prepare import Normalise, check_channels, prepare_image, restore, restore_array
from saccade.data.volume import Volume, read_volume
from saccade.errors import InputError
from saccade.tasks.environment import fast_bfloat16
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.windows import apply_windows
from saccade.tasks.settings import merge

SLICES_AT_ONCE = 8  # a 2D network gets this many slices in a batch

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Segmentation:
    """What a network says of a scan.

    Attributes:
        labels: uint8 (uint16 where a label value needs it) on the scan's grid.
        attention: Gate name -> float32 map in the gate's range on the scan's grid; empty unless asked for.
    """

    labels: Volume
    attention: dict[str, Volume] = field(default_factory=dict)


class SegmentationPredictor:
    """Applies a trained network.

    Args:
        network: In any state; it is put into evaluation mode.
        config: The run it was trained by.
        device: Where to compute.
    """

    def __init__(self, network: nn.Module, config: SegmentationConfig, *, device: str = "cpu") -> None:
        self.device = usable_device(device)
        self.network, self.config = network.eval().to(self.device), config

    def with_inference(self, changes: Mapping[str, object]) -> "SegmentationPredictor":
        """The same network with other inference settings, for example ``{"mirror_axes": [0]}``."""
        values = merge(self.config.model_dump(), {"inference": changes})
        config = SegmentationConfig.parse(values, "predict")
        return SegmentationPredictor(self.network, config, device=str(self.device))

    @property
    def attends(self) -> bool:
        """Whether the network has maps to show."""
        return any(isinstance(module, Tap) and module.kind == "spatial" for module in self.network.modules())

    @overload
    def predict(self, scan: np.ndarray) -> np.ndarray: ...
    @overload
    def predict(self, scan: Volume | Path | str) -> Volume: ...
    def predict(self, scan: "Volume | Path | str | np.ndarray") -> "Volume | np.ndarray":
        """Label map of a scan.

        Args:
            scan: A file, a DICOM folder, a `Volume`, or an array (i, j, k[, c]) whose axes run along right, anterior,
                superior with the voxel size of ``config.data.spacing_mm``.

        Returns:
            The label values on the scan's grid: an array for an array, a `Volume` otherwise.

        Raises:
            InputError: If the scan cannot be read, is constant, has NaN or infinite voxels, or another number of
                channels.
        """
        if not isinstance(scan, np.ndarray):
            return self.segment(scan).labels
        if scan.ndim not in (3, 4):
            raise InputError(f"predict: an array must be (i, j, k) or (i, j, k, channels), got shape {scan.shape}.")
        affine = np.diag([*(self.config.data.spacing_mm or (1.0, 1.0, 1.0)), 1.0])
        return self.segment(Volume(scan, affine, None, None)).labels.array

    def segment(
        self, scan: Volume | Path | str, *, attention: bool = False, progress: Progress | None = None
    ) -> Segmentation:
        """Label map and, when asked for, the attention maps of a scan."""
        volume = scan if isinstance(scan, Volume) else read_volume(scan)
        where = str(volume.source or "scan")
        check_channels(volume, self.config.data.channels, where)
        if volume.array.dtype.kind == "f" and not np.isfinite(volume.array).all():
            raise InputError(f"{where}: voxels must be finite numbers, found NaN or infinity.")
        if volume.array.min() == volume.array.max():
            raise InputError(f"{where}: voxels must differ from one another, all are {volume.array.flat[0]}.")
        data = self.config.data
        normalise = Normalise(**data.intensity.model_dump())
        image, grid = prepare_image(volume, spacing_mm=data.spacing_mm, normalise=normalise)
        names: list[str] = []
        outputs = apply_windows(
            lambda windows: self._windows(windows, names if attention else None),
            image,
            data.patch_size,
            overlap=self.config.inference.overlap,
            batch=SLICES_AT_ONCE if data.patch_size[2] == 1 else 1,
            progress=progress,
        )
        indices = restore(outputs[0], grid).argmax(0).numpy()
        values = np.array(self.config.classes)
        values = values.astype(np.uint8 if values.max() < 256 else np.uint16)
        labels = volume.like(restore_array(values[indices], grid))
        maps = {
            name: volume.like(restore_array(restore(map_, grid)[0].numpy(), grid))
            for name, map_ in zip(names, outputs[1:], strict=True)
        }
        return Segmentation(labels, maps)

    def _windows(self, windows: Float[Tensor, "n c a b d"], names: list[str] | None) -> list[Tensor]:
        """Logits of windows, averaged over mirror images; then each spatial attention map, on the windows' grid."""
        flat = windows.shape[-1] == 1 and self.config.data.patch_size[2] == 1
        total: list[Tensor] = []
        for axes in mirrorings(self.config.inference.mirror_axes):
            dims = [axis + 2 for axis in axes]
            outputs = self._once(windows.flip(dims) if dims else windows, flat, names)
            outputs = [output.flip(dims) if dims else output for output in outputs]
            total = [a + b for a, b in zip(total, outputs, strict=True)] if total else outputs
        count = 2 ** len(self.config.inference.mirror_axes)
        return [output / count for output in total]

    def _once(self, windows: Tensor, flat: bool, names: list[str] | None) -> list[Tensor]:
        x = (windows.squeeze(-1) if flat else windows).to(self.device)
        listening: AbstractContextManager[Mapping[str, AttentionMap]] = (
            record(self.network) if names is not None else nullcontext({})
        )
        with self._precision(), listening as maps:
            outputs = [self.network(x).float()]
            if names is not None:
                spatial = {name: m.tensor.float() for name, m in maps.items() if m.kind == "spatial"}
                mode = "bilinear" if flat else "trilinear"
                outputs += [
                    F.interpolate(m.mean(1, keepdim=True), size=x.shape[2:], mode=mode, align_corners=False)
                    for m in spatial.values()
                ]
                names[:] = [readable(name) for name in spatial]
        return [(output[..., None] if flat else output).cpu() for output in outputs]

    def _precision(self) -> AbstractContextManager[None]:
        """As the network was trained, but never in numbers that this device is slow with."""
        half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.config.training.precision)
        if half is None or (half == torch.bfloat16 and not fast_bfloat16(self.device.type)):
            return nullcontext()
        return torch.autocast(self.device.type, dtype=half)


def usable_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        InputError: If there is no such kind of device, or none on this machine.
    """
    kinds = ("cpu", "cuda", "mps", "xpu")
    if name.split(":")[0] not in kinds:
        raise InputError(f"device: must be {', '.join(kinds)}, with a number behind a colon, got '{name}'.")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:  # each backend has its own error for "not here"
        raise InputError(f"device: '{name}' cannot be used on this machine ({_first_line(error)}). Use cpu.") from None
    return device


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


def mirrorings(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """All subsets of the axes, the empty one first."""
    subsets: list[tuple[int, ...]] = [()]
    for axis in axes:
        subsets += [(*subset, axis) for subset in subsets]
    return subsets


def readable(name: str) -> str:
    """A tap's module path as part of a file name: the trailing name of the tap itself says nothing."""
    return name.removesuffix(".map").replace(".", "_") or "attention"
