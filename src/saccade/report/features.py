"""Features before and after the gates of a run's network: one picture for each case, a block for each gated level."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.data.layouts import Case as Source
from saccade.data.layouts import load_case
from saccade.errors import SaccadeError
from saccade.report.feature_picture import Level, Slice, draw_slice
from saccade.report.gather import Colour, Run, on_dark
from saccade.report.viewer import FULL_CASES

if TYPE_CHECKING:
    from torch import Tensor

    from saccade.tasks.segmentation.predictor import SegmentationPredictor

SHARE = 0.05  # of the page's room, for the pictures of all cases together
_DPI = (100, 80, 60, 45)  # a picture that has no room at one is drawn at the next


@dataclass(frozen=True)
class FeaturePicture:
    """A case's picture as a data URI, and in words where in the scan it lies."""

    case: str
    source: str
    place: str


def open_network(path: Path, run: Run, notices: list[str]) -> "SegmentationPredictor | None":
    """The network of a run, if it has gates. Runs whose cases have no attention maps are not opened.

    Args:
        path: The run's folder.
        run: What was read from it.
        notices: Gets a line if the network attends but is missing or cannot be opened.
    """
    if not any(case.attention for case in run.cases):
        return None
    if not (path / "model.safetensors").is_file():
        notices.append(f"{run.name}/model.safetensors is missing: no features before and after the gates.")
        return None
    from saccade.explain.activations import gates_of  # torch comes with it
    from saccade.runs import load_segmentation

    try:
        predictor = load_segmentation(path)
    except (SaccadeError, OSError) as error:
        notices.append(f"Features before and after the gates: {error}")
        return None
    return predictor if gates_of(predictor.network) else None


def draw_features(
    predictor: "SegmentationPredictor", run: Run, entries: list[dict[str, Any]], most_bytes: float, notices: list[str]
) -> list[FeaturePicture]:
    """The pictures of the first ten shown cases, as many as fit: the axial slice in which their planes first meet.

    The network sees one window around that place, in float32; nothing is blended, and of what passes its gates one
    plane is held. A level's colours are the same before and after.

    Args:
        predictor: From `open_network`.
        run: What was read from the run.
        entries: The cases that the viewer shows (`saccade.report.viewer.Viewer`).
        most_bytes: For all pictures together, as text in the page.
        notices: Gets a line for each case that cannot be drawn.
    """
    sources = {case.name: case.source for case in run.cases}
    known = run.colours()
    colours = {index: on_dark(known[value]) for index, value in enumerate(predictor.config.classes) if value in known}
    pictures: list[FeaturePicture] = []
    used = 0
    for entry in entries[:FULL_CASES]:
        source = sources[entry["name"]]
        assert source is not None  # or it would not be shown
        try:
            seen, place = _look(predictor, source, entry)
        except (SaccadeError, OSError, RuntimeError, MemoryError) as error:  # torch's out of memory is a RuntimeError
            reason = (str(error).strip() or "out of memory").split("\n")[0]
            notices.append(f"Features before and after the gates of {entry['name']}: {reason}")
            continue
        room = (most_bytes - used) / (min(len(entries), FULL_CASES) - len(pictures))
        text = _encoded(seen, colours, room)
        if text is None:
            break
        used += len(text)
        pictures.append(FeaturePicture(entry["name"], text, place))
    return pictures


def _encoded(seen: Slice, colours: dict[int, Colour], room: float) -> str | None:
    for dpi in _DPI:
        text = f"data:image/jpeg;base64,{base64.b64encode(draw_slice(seen, colours, dpi)).decode('ascii')}"
        if len(text) <= room:
            return text
    return None


def _look(predictor: "SegmentationPredictor", source: Source, entry: dict[str, Any]) -> tuple[Slice, str]:
    """One window of a case through the network, and of what passes its gates one axial plane; where that lies."""
    import torch

    from saccade.data.prepare import Normalise, prepare_image, prepare_labels
    from saccade.explain.activations import gate_activations

    config = predictor.config
    volume, label = load_case(source)
    normalise = Normalise(**config.data.intensity.model_dump())
    image, _ = prepare_image(volume, spacing_mm=config.data.spacing_mm, normalise=normalise)
    shape = tuple(image.shape[1:])
    truth = None if label is None else prepare_labels(label, shape, config.classes).numpy()
    del volume, label
    parts = [(at + 0.5) / size for at, size in zip(entry["start"], entry["shape"], strict=True)]
    centre = [int(part * size) for part, size in zip(parts, shape, strict=True)]
    patch = config.data.patch_size
    window, first = _window(image, centre, patch)
    depth = (centre[2] - first[2] + 0.5) / patch[2]
    flat = patch[2] == 1

    def plane(tensor: "Tensor") -> "Tensor":
        return tensor if flat else tensor[..., int(depth * tensor.shape[-1])]

    x = window[None, ..., 0] if flat else window[None]
    activations = gate_activations(predictor.network, x.to(predictor.device), keep=plane)
    spacing = [step * size / n for step, size, n in zip(entry["spacing"], entry["shape"], shape, strict=True)]
    cut = image[0, ..., centre[2]]
    if config.data.intensity.kind == "ct_window":  # the viewer's first window, in HU
        greys = normalise(torch.tensor(entry["windows"][0][1:]).reshape(1, 2, 1, 1)).flatten()
    else:
        greys = cut.quantile(torch.tensor([0.01, 0.99]))
    seen = Slice(
        image=cut.numpy(),
        greys=(float(greys[0]), float(greys[1])),
        truth=None if truth is None else truth[..., centre[2]],
        pixel_mm=(spacing[0], spacing[1]),
        window=((first[0], first[0] + patch[0]), (first[1], first[1] + patch[1])),
        levels=[
            Level(name, *(part[0].float().cpu().numpy() for part in (found.before, found.coefficients, found.after)))
            for name, found in activations.items()
        ],
    )
    return seen, f"axial slice {centre[2] + 1} of {shape[2]}, {spacing[2]:.3g} mm apart"


def _window(image: "Tensor", centre: list[int], patch: tuple[int, int, int]) -> tuple["Tensor", list[int]]:
    """A patch of the image around a voxel and where it begins; a smaller image's border is continued on both sides."""
    from torch.nn import functional as F

    missing = [max(width - size, 0) for width, size in zip(patch, image.shape[1:], strict=True)]
    padded = F.pad(image[None], [n for m in reversed(missing) for n in (m // 2, m - m // 2)], mode="replicate")[0]
    begins = [
        min(max(at + m // 2 - width // 2, 0), size - width)
        for at, m, width, size in zip(centre, missing, patch, padded.shape[1:], strict=True)
    ]
    cut = tuple(slice(begin, begin + width) for begin, width in zip(begins, patch, strict=True))
    return padded[(slice(None), *cut)], [begin - m // 2 for begin, m in zip(begins, missing, strict=True)]
