"""A trained segmentation network, applied to scans: labels on the scan's own grid, and the maps of its attention."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.tap import AttentionMap, Tap, record
from saccade.data.prepare import Normalise, check_channels, prepare_image, prepared_grid
from saccade.data.volume import Volume, read_volume
from saccade.errors import InputError, unknown_name
from saccade.networks.inference import for_inference
from saccade.tasks.apply import mirrorings, precision_of, usable_device
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.memory import FLOAT, Need, prediction_need, readable_bytes, window_bytes
from saccade.tasks.segmentation.results import Canvas, Segmentation, label_dtype
from saccade.tasks.segmentation.tiling import Tiling
from saccade.tasks.segmentation.windows import blend_windows
from saccade.tasks.settings import merge

__all__ = ["Segmentation", "SegmentationPredictor", "mirrorings", "readable", "usable_device"]

SLICES_AT_ONCE = 8  # a 2D network gets this many slices in a batch

Progress = Callable[[int, int], None]


class SegmentationPredictor:
    """Applies a trained network.

    Args:
        network: In any state; it is put into evaluation mode. What works on scans is a copy that is rearranged for
            inference.
        config: The run it was trained by.
        device: Where to compute.
    """

    def __init__(self, network: nn.Module, config: SegmentationConfig, *, device: str = "cpu") -> None:
        self.device = usable_device(device)
        self.network, self.config = network.eval().to(self.device), config
        exported = next(network.parameters(), None) is None  # by another tool, which has arranged it for itself
        self._arranged = self.network if exported else for_inference(self.network)
        self._window_needs: dict[bool, tuple[int, list[int]]] = {}  # of `window_bytes`, by whether maps are wanted

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

    @torch.inference_mode()
    def segment(
        self,
        scan: Volume | Path | str,
        *,
        attention: bool = False,
        probabilities: Sequence[str] = (),
        uncertainty: bool = False,
        max_memory: int | None = None,
        progress: Progress | None = None,
    ) -> Segmentation:
        """Label map of a scan, and what else is asked for.

        Scores of all classes are held for the part of the scan that the windows are passing, never for all of it.

        Args:
            scan: A file, a DICOM folder or a `Volume`.
            attention: Whether to give each gate's map.
            probabilities: Organs (names of ``config.data.label_names``, or ``background``) whose softmax probability is
                wanted.
            uncertainty: Whether to give the entropy of the softmax.
            max_memory: Bytes that the whole process may come to hold. Where `expected_peak_bytes` is more, fewer slices
                go through the network at once, then scores are summed in half precision; where that is still too much,
                the scan is refused before work begins.
            progress: Called with (windows done, windows in all).

        Raises:
            InputError: As `predict`; for an unknown organ; if ``max_memory`` is not enough.
        """
        start = perf_counter()
        chosen = self._channels_of(probabilities)
        volume = self._usable(scan)
        seconds = {"read": perf_counter() - start, "prepare": 0.0, "network": 0.0, "restore": 0.0}
        way, need = _Way(self._batch, torch.float32), None
        if max_memory is not None:
            way, need = self._affordable(volume, attention, len(chosen) + uncertainty, max_memory)
        start = perf_counter()
        data = self.config.data
        normalise = Normalise(**data.intensity.model_dump())
        image, grid = prepare_image(volume, spacing_mm=data.spacing_mm, normalise=normalise)
        seconds["prepare"] = perf_counter() - start
        names: list[str] = []

        def scores_and_maps(windows: Tensor) -> list[Tensor]:
            begin = perf_counter()
            outputs = self._windows(windows, names if attention else None)
            seconds["network"] += perf_counter() - begin
            return outputs

        start = perf_counter()
        tiling = Tiling(image.shape[1:], data.patch_size, self.config.inference.overlap)
        canvas = Canvas(
            grid, image.shape[1:], self.config.classes, self._probabilities, chosen=chosen, uncertainty=uncertainty
        )
        pieces = blend_windows(scores_and_maps, image, tiling, batch=way.batch, sums=way.sums, progress=progress)
        for place, (scores, *maps) in pieces:
            canvas.write(place, scores, maps)
            del scores, maps  # gone before the next window needs the space
        seconds["restore"] = perf_counter() - start - seconds["network"]
        return canvas.segmentation(
            names,
            seconds=seconds,
            expected_peak_bytes=None if need is None else need.peak,
            half_precision_sums=way.sums == torch.float16,
        )

    def expected_peak_bytes(
        self,
        scan: Volume | Path | str,
        *,
        attention: bool = False,
        probabilities: Sequence[str] = (),
        uncertainty: bool = False,
    ) -> int:
        """The most memory that this process will hold during `segment`, in bytes, known before work begins.

        What the process holds now, the prepared scan, the scores of unfinished parts, the results and one batch of
        windows on its way through the network; on another device than the processor its own memory is not counted.

        Args:
            scan: As in `segment`; a path is read. Voxels are not looked at.
            attention: As in `segment`.
            probabilities: As in `segment`.
            uncertainty: As in `segment`.

        Raises:
            InputError: If the scan cannot be read or has another number of channels; for an unknown organ.
        """
        chosen = self._channels_of(probabilities)
        volume = scan if isinstance(scan, Volume) else read_volume(scan)
        check_channels(volume, self.config.data.channels, str(volume.source or "scan"))
        return self._need(volume, _Way(self._batch, torch.float32), attention, len(chosen) + uncertainty).peak

    @property
    def _batch(self) -> int:
        return SLICES_AT_ONCE if self.config.data.patch_size[2] == 1 else 1

    def _usable(self, scan: Volume | Path | str) -> Volume:
        volume = scan if isinstance(scan, Volume) else read_volume(scan)
        where = str(volume.source or "scan")
        check_channels(volume, self.config.data.channels, where)
        if volume.array.dtype.kind == "f" and not np.isfinite(volume.array).all():
            raise InputError(f"{where}: voxels must be finite numbers, found NaN or infinity.")
        if volume.array.min() == volume.array.max():
            raise InputError(f"{where}: voxels must differ from one another, all are {volume.array.flat[0]}.")
        return volume

    def _channels_of(self, organs: Sequence[str]) -> dict[str, int]:
        """Output channel of each organ."""
        names = self.config.data.label_names
        known = {"background": 0, **{names[value]: n for n, value in enumerate(self.config.classes) if value}}
        for organ in organs:
            if organ not in known:
                raise unknown_name("predict", "class", organ, list(known))
        return {organ: known[organ] for organ in organs}

    def _affordable(self, volume: Volume, attention: bool, maps: int, limit: int) -> tuple["_Way", Need]:
        """The first way of working that stays within a limit in bytes: the usual one, if it does."""
        ways = [_Way(self._batch, torch.float32), _Way(1, torch.float32), _Way(1, torch.float16)]
        for way in ways:
            need = self._need(volume, way, attention, maps)
            if need.peak <= limit:
                return way, need
        raise InputError(
            f"{volume.source or 'scan'}: to segment it takes {readable_bytes(need.peak)} "
            f"({readable_bytes(need.held)} are held already), the limit is {readable_bytes(limit)}. "
            "Allow more memory, ask for fewer maps, or lower the overlap."
        )

    def _need(self, volume: Volume, way: "_Way", attention: bool, maps: int) -> Need:
        data = self.config.data
        if attention not in self._window_needs:
            names: list[str] = []
            self._window_needs[attention] = window_bytes(
                lambda windows: self._windows(windows, names if attention else None),
                (data.channels, *data.patch_size),
                self.device,
            )
        network, channels = self._window_needs[attention]
        shape, grid = prepared_grid(volume, data.spacing_mm)
        labels = np.dtype(label_dtype(self.config.classes)).itemsize
        return prediction_need(
            grid,
            Tiling(shape, data.patch_size, self.config.inference.overlap),
            shape,
            channels=channels,
            results_bytes_per_voxel=labels + FLOAT * (maps + len(channels) - 1),
            network=network * way.batch,
            sums=way.sums,
        )

    def _probabilities(self, scores: Float[Tensor, "k a b d"]) -> Float[Tensor, "k a b d"]:
        """Probability of each class from blended scores."""
        return scores.softmax(0)

    def _windows(self, windows: Float[Tensor, "n c a b d"], names: list[str] | None) -> list[Tensor]:
        """Logits of windows, averaged over mirror images; then each spatial attention map, on the windows' grid."""
        flat = windows.shape[-1] == 1 and self.config.data.patch_size[2] == 1
        total: list[Tensor] = []
        for axes in mirrorings(self.config.inference.mirror_axes):
            dims = [axis + 2 for axis in axes]
            outputs = self._once(windows.flip(dims) if dims else windows, flat, names)
            if not dims:
                total = outputs
                continue
            # a mirror image is a copy, so it can be added to; what the network gave may be its own
            total = [output.flip(dims).add_(before) for output, before in zip(outputs, total, strict=True)]
        count = 2 ** len(self.config.inference.mirror_axes)
        return [output.div_(count) for output in total] if count > 1 else total

    def _once(self, windows: Tensor, flat: bool, names: list[str] | None) -> list[Tensor]:
        x = (windows.squeeze(-1) if flat else windows).to(self.device)
        listening: AbstractContextManager[Mapping[str, AttentionMap]] = (
            record(self._arranged) if names is not None else nullcontext({})
        )
        with precision_of(self.config.training.precision, self.device), listening as maps:
            outputs = [self._arranged(x).float()]
            if names is not None:
                spatial = {name: m.tensor.float() for name, m in maps.items() if m.kind == "spatial"}
                mode = "bilinear" if flat else "trilinear"
                outputs += [
                    F.interpolate(m.mean(1, keepdim=True), size=x.shape[2:], mode=mode, align_corners=False)
                    for m in spatial.values()
                ]
                names[:] = [readable(name) for name in spatial]
        return [(output[..., None] if flat else output).cpu() for output in outputs]


@dataclass(frozen=True)
class _Way:
    """How much is done at once: windows per batch, and numbers in which scores are summed."""

    batch: int
    sums: torch.dtype


def readable(name: str) -> str:
    """A tap's module path as part of a file name: the trailing name of the tap itself says nothing."""
    return name.removesuffix(".map").replace(".", "_") or "attention"
