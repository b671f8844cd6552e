"""How the attention of fixed slices develops while a network is trained: the figure of attention over epochs."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from jaxtyping import Float
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention.tap import Tap, record
from saccade.errors import InputError
from saccade.files import atomic
from saccade.tasks.segmentation.dataset import PreparedCases
from saccade.tasks.segmentation.module import SegmentationModule
from saccade.tasks.segmentation.predictor import readable
from saccade.tasks.segmentation.windows import apply_windows

CASES = 4
OVERLAP = 0.25
FILE = Path("attention") / "epochs.npz"


@dataclass(frozen=True)
class SliceHistory:
    """One axial slice of a held-out case over the epochs, on the prepared grid: i runs to the right, j to the front.

    Attributes:
        case: Id.
        epochs: E numbers of finished epochs, rising.
        gates: G names of maps.
        image: (i, j) prepared values of the first channel, float32.
        truth: (i, j) class indices, uint8.
        prediction: (E, i, j) class indices, uint8.
        attention: (E, G, i, j) the gates' coefficients, interpolated to the slice, float16.
        spacing_mm: Pixel size along i and j.
    """

    case: str
    epochs: tuple[int, ...]
    gates: tuple[str, ...]
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    attention: np.ndarray
    spacing_mm: tuple[float, float]


class AttentionSnapshots(Callback):
    """Look at the slices after chosen epochs and keep what is seen in the run's ``attention/epochs.npz``.

    The file is a NumPy archive without pickled objects, written whole each time: ``epochs`` (E,), ``gates`` (G,) and
    ``cases`` (C,) as text, ``spacing_mm`` (2,), and for the n-th case ``image_n``, ``truth_n``, ``prediction_n`` and
    ``attention_n`` with the shapes and types of `SliceHistory`. `read_snapshots` reads it. A network without spatial
    maps leaves no file.

    Args:
        run: The run's folder.
        held_out: Cases; of up to four the slice with the most labelled voxels is looked at.
        epochs: After how many epochs.
    """

    def __init__(self, run: Path, held_out: PreparedCases, epochs: Sequence[int]) -> None:
        self.path, self.held_out, self.epochs = run / FILE, held_out, epochs

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        done = trainer.current_epoch + 1
        if done in self.epochs and trainer.is_global_zero:
            self.take(module, done)

    def take(self, module: SegmentationModule, done: int) -> None:
        """Look now, ``done`` epochs being finished; what the file has of this epoch and later ones is replaced."""
        network = module.best_network
        if not self.epochs or not _attends(network):
            return
        before = {item.case: item for item in read_snapshots(self.path)} if self.path.is_file() else {}
        items = []
        modes = {part: part.training for part in network.modules()}
        try:
            for number, case in enumerate(self.held_out.cases[:CASES]):
                items.append(self._look(module, number, case.id, done, before.get(case.id)))
        finally:
            for part, training in modes.items():
                part.training = training
        if items:
            _write(self.path, items)

    def _look(
        self, module: SegmentationModule, number: int, case: str, done: int, before: SliceHistory | None
    ) -> SliceHistory:
        image, labels, _ = self.held_out[number]
        depth, patch = image.shape[3], module.config.data.patch_size
        place = int((labels > 0).sum((0, 1)).argmax())
        first = max(0, min(place - patch[2] // 2, depth - patch[2]))
        slab = image[..., first : first + patch[2]]
        names: list[str] = []
        outputs = apply_windows(lambda windows: _see(module, windows, names), slab, patch, overlap=OVERLAP)
        prediction, *maps = (output[..., place - first] for output in outputs)
        found = prediction.argmax(0).to(torch.uint8).numpy()
        seen = torch.cat(maps).half().numpy()
        kept = [n for n, epoch in enumerate(before.epochs) if epoch < done] if before else []
        return SliceHistory(
            case=case,
            epochs=(*(before.epochs[n] for n in kept), done) if before else (done,),
            gates=tuple(names),
            image=image[0, ..., place].numpy(),
            truth=labels[..., place].to(torch.uint8).numpy(),
            prediction=np.stack([*(before.prediction[n] for n in kept), found] if before else [found]),
            attention=np.stack([*(before.attention[n] for n in kept), seen] if before else [seen]),
            spacing_mm=(self.held_out.spacing_mm[0], self.held_out.spacing_mm[1]),
        )


def read_snapshots(path: Path) -> list[SliceHistory]:
    """The slices of a run's ``attention/epochs.npz``.

    Raises:
        InputError: If the file cannot be read as one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return [
                SliceHistory(
                    case=str(case),
                    epochs=tuple(int(epoch) for epoch in file["epochs"]),
                    gates=tuple(str(gate) for gate in file["gates"]),
                    spacing_mm=(float(file["spacing_mm"][0]), float(file["spacing_mm"][1])),
                    **{part: file[f"{part}_{n}"] for part in ("image", "truth", "prediction", "attention")},
                )
                for n, case in enumerate(file["cases"])
            ]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: cannot be read as attention over epochs ({reason}). Remove it.") from None


def _write(path: Path, items: Sequence[SliceHistory]) -> None:
    arrays: dict[str, Any] = {
        "epochs": np.array(items[0].epochs),
        "gates": np.array(items[0].gates),
        "cases": np.array([item.case for item in items]),
        "spacing_mm": np.array(items[0].spacing_mm),
    }
    for n, item in enumerate(items):
        arrays |= {f"{part}_{n}": getattr(item, part) for part in ("image", "truth", "prediction", "attention")}
    with atomic(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def _attends(network: nn.Module) -> bool:
    return any(isinstance(part, Tap) and part.kind == "spatial" for part in network.modules())


def _see(module: SegmentationModule, windows: Float[Tensor, "n c a b d"], names: list[str]) -> list[Tensor]:
    """Logits of windows, then each spatial map, averaged over its channels, on the windows' grid."""
    x = module.in_dimensions(windows.to(module.device))
    network = module.best_network.eval()
    with module.trainer.precision_plugin.forward_context(), record(network) as maps:
        outputs = [network(x).float()]
    spatial = {name: seen.tensor.float() for name, seen in maps.items() if seen.kind == "spatial"}
    names[:] = [readable(name) for name in spatial]
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    outputs += [
        F.interpolate(seen.mean(1, keepdim=True), size=x.shape[2:], mode=mode, align_corners=False)
        for seen in spatial.values()
    ]
    return [(output[..., None] if x.ndim == 4 else output).cpu() for output in outputs]
