"""Held-out images as the network saw them, the worst errors first, with where its attention lay and how it decided."""

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from PIL import Image as Pillow

from saccade.errors import InputError, SaccadeError
from saccade.report.gather import as_mapping
from saccade.report.illustration import Illustration

if TYPE_CHECKING:
    from torch import Tensor, nn

    from saccade.data.classification.case import Case
    from saccade.tasks.classification.predictor import ClassificationPredictor

SMALLEST, LARGEST = 96, 224  # pixels of a picture's longer side
FINEST = 2 * LARGEST  # pixels kept of an illustration's longer side, for fine screens
NAMED = 3  # probabilities that are written out


@dataclass(frozen=True)
class Shown:
    """An illustration as the page has it.

    Attributes:
        title: What it shows.
        source: The picture as a data URI.
        columns, rows: The extent of the overlay's coordinates.
        width, height: On the page, in its pixels.
        overlay: SVG elements.
    """

    title: str
    source: str
    columns: int
    rows: int
    width: int
    height: int
    overlay: Markup


@dataclass(frozen=True)
class Card:
    """One image.

    Attributes:
        case: Its id.
        source: The picture as a data URI; empty if the image is gone.
        attention: The same with the attention over it; empty where the network has none.
        truth, said: In words.
        loss: Its error.
        wrong: Whether the class is another one than was said.
        illustrations: How the network decided, where its system can show that.
    """

    case: str
    source: str
    attention: str
    truth: str
    said: str
    loss: float
    wrong: bool
    illustrations: Sequence[Shown] = field(default=())


def draw_gallery(
    run: Path, config: Mapping[str, Any], result: Mapping[str, Any], shown: int, notices: list[str]
) -> list[Card]:
    """Cards of the cases with the largest loss.

    Args:
        run: The run's folder.
        config: Its ``config.yaml``.
        result: Its scores.
        shown: How many.
        notices: Gets a line for what cannot be shown.
    """
    scores = as_mapping(result.get("cases"))
    worst = sorted(scores, key=lambda id: (-(scores[id]["loss"] or 0.0), id))[:shown]
    predictor, known = _open(run, config, notices) if worst else (None, {})
    illustrate = _illustrator(config) if predictor is not None else None
    cards, gone = [], []
    for id in worst:
        score = scores[id]
        source = attention = ""
        illustrations: list[Shown] = []
        if predictor is not None and id in known:
            try:
                image = predictor.prepared(known[id].source)
            except (InputError, OSError):
                gone.append(id)
            else:
                source, attention = _draw(predictor, image)
                if illustrate is not None:
                    illustrations = _illustrated(illustrate, predictor, image, notices)
        elif predictor is not None:
            gone.append(id)
        truth, said = _words(score)
        wrong = score.get("correct") is False
        cards.append(Card(id, source, attention, truth, said, float(score["loss"]), wrong, illustrations))
    if gone:
        more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
        notices.append(f"The image is not to be found or read for: {', '.join(gone[:5])}{more}.")
    return cards


def _open(
    run: Path, config: Mapping[str, Any], notices: list[str]
) -> "tuple[ClassificationPredictor | None, dict[str, Case]]":
    """The network and the data set's cases; without them no image is shown, and a notice says why."""
    from saccade.data.classification.layouts import scan_image_dataset
    from saccade.runs import load

    data = as_mapping(config.get("data"))
    try:
        predictor = load(run)
        dataset = scan_image_dataset(str(data.get("root", "")), data.get("columns"))
    except (SaccadeError, OSError) as error:
        notices.append(f"Images: {error}")
        return None, {}
    from saccade.tasks.classification.predictor import ClassificationPredictor

    assert isinstance(predictor, ClassificationPredictor)
    return predictor, {case.id: case for case in dataset.cases}


def _illustrator(config: Mapping[str, Any]) -> "Callable[[nn.Module, Tensor], Sequence[Illustration]] | None":
    """What the system shows of its decisions, if it can."""
    from saccade.systems import find_implementation

    found = find_implementation(str(config["system"]), as_mapping(config.get("network")), "classification")
    return getattr(found, "illustrate", None)


def _illustrated(
    illustrate: "Callable[[nn.Module, Tensor], Sequence[Illustration]]",
    predictor: "ClassificationPredictor",
    image: "Tensor",
    notices: list[str],
) -> list[Shown]:
    """The illustrations of an image; what a system cannot do is noted once."""
    try:
        return [_shown(one) for one in illustrate(predictor.network, image[None].to(predictor.device))]
    except Exception as error:  # whatever a stranger's module raises
        notice = f"How the network decided: {type(error).__name__}: {error}"
        if notice not in notices:
            notices.append(notice)
        return []


def _shown(one: Illustration) -> Shown:
    rows, columns = one.picture.shape[:2]
    longer = max(rows, columns)
    made = Pillow.fromarray(one.picture)
    if longer > FINEST:
        made = made.resize(scaled(columns, rows, FINEST / longer), Pillow.Resampling.LANCZOS)
    content = io.BytesIO()
    made.save(content, "PNG")
    width, height = scaled(columns, rows, LARGEST / longer)
    return Shown(one.title, data_uri(content, "png"), columns, rows, width, height, Markup(one.overlay))


def _draw(predictor: "ClassificationPredictor", image: "Tensor") -> tuple[str, str]:
    """An image as the network takes it, of a volume its middle slice, and the same under the last spatial map."""
    import torch

    from saccade.attention.tap import record
    from saccade.explain.render import map_scale, overlay

    with torch.inference_mode(), record(predictor.network) as maps:
        predictor.network(image[None].to(predictor.device))
    grey = _grey(image.numpy())
    picture = _uri(np.repeat(grey[..., None], 3, -1) if image.shape[0] != 3 else _colours(image.numpy()))
    spatial = [found.tensor for found in maps.values() if found.kind == "spatial"]
    if not spatial:
        return picture, ""
    mode = "bilinear" if image.ndim == 3 else "trilinear"
    map_ = torch.nn.functional.interpolate(
        spatial[-1].float().cpu().mean(1, keepdim=True), image.shape[1:], mode=mode, align_corners=False
    )[0, 0].numpy()
    seen = _slice(map_)
    scale = map_scale(float(seen.min()), float(seen.max()))
    return picture, _uri(overlay(grey, seen, limits=scale.limits, colormap=scale.colormap))


def _slice(values: np.ndarray) -> np.ndarray:
    """A picture as it is; of a volume the middle axial slice, the right on the left and the front at the top."""
    return values if values.ndim == 2 else np.flip(values[..., values.shape[-1] // 2]).T


def _grey(image: np.ndarray) -> np.ndarray:
    return _windowed(_slice(image.mean(0)))


def _colours(image: np.ndarray) -> np.ndarray:
    return _windowed(np.stack([_slice(channel) for channel in image], -1))


def _windowed(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, (1, 99))
    return np.clip((values - low) / max(high - low, 1e-6), 0, 1)


def _uri(picture: np.ndarray) -> str:
    made = Pillow.fromarray((picture * 255).round().astype(np.uint8))
    longer = max(made.size)
    factor = float(math.ceil(SMALLEST / longer)) if longer < SMALLEST else min(1.0, LARGEST / longer)
    way = Pillow.Resampling.NEAREST if factor > 1 else Pillow.Resampling.LANCZOS
    made = made.resize(scaled(*made.size, factor), way)
    content = io.BytesIO()
    made.save(content, "JPEG", quality=88)
    return data_uri(content, "jpeg")


def scaled(columns: int, rows: int, factor: float) -> tuple[int, int]:
    """A size times a factor, in whole pixels."""
    return max(1, round(columns * factor)), max(1, round(rows * factor))


def data_uri(content: io.BytesIO, kind: str) -> str:
    """A picture's file as the address that an <img> takes."""
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _words(score: Mapping[str, Any]) -> tuple[str, str]:
    """Truth and prediction of a case."""
    if "probabilities" in score:
        said = sorted(score["probabilities"].items(), key=lambda pair: -pair[1])[:NAMED]
        return str(score["truth"]), ", ".join(f"{name} {value:.3f}" for name, value in said)
    truth = ", ".join(f"{name} {value:g}" for name, value in score["truth"].items() if value is not None)
    return truth, ", ".join(f"{name} {value:.3g}" for name, value in score["prediction"].items())
