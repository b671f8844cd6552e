"""Held-out images as the network saw them, the worst errors first, with where its attention lay."""

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow

from saccade.errors import InputError, SaccadeError
from saccade.report.gather import as_mapping

if TYPE_CHECKING:
    from saccade.data.classification.case import Case
    from saccade.tasks.classification.predictor import ClassificationPredictor

SMALLEST, LARGEST = 96, 224  # pixels of a picture's longer side
NAMED = 3  # probabilities that are written out


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
    """

    case: str
    source: str
    attention: str
    truth: str
    said: str
    loss: float
    wrong: bool


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
    cards, gone = [], []
    for id in worst:
        score = scores[id]
        source = attention = ""
        if predictor is not None and id in known:
            try:
                source, attention = _draw(predictor, known[id])
            except (InputError, OSError):
                gone.append(id)
        elif predictor is not None:
            gone.append(id)
        truth, said = _words(score)
        cards.append(Card(id, source, attention, truth, said, float(score["loss"]), score.get("correct") is False))
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


def _draw(predictor: "ClassificationPredictor", case: "Case") -> tuple[str, str]:
    """An image as the network takes it, of a volume its middle slice, and the same under the last spatial map."""
    import torch

    from saccade.attention.tap import record
    from saccade.explain.render import map_scale, overlay

    image = predictor.prepared(case.source)
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
    factor = max(1, math.ceil(SMALLEST / longer)) if longer < SMALLEST else min(1.0, LARGEST / longer)
    size = tuple(max(1, round(side * factor)) for side in made.size)
    made = made.resize((size[0], size[1]), Pillow.Resampling.NEAREST if factor > 1 else Pillow.Resampling.LANCZOS)
    content = io.BytesIO()
    made.save(content, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _words(score: Mapping[str, Any]) -> tuple[str, str]:
    """Truth and prediction of a case."""
    if "probabilities" in score:
        said = sorted(score["probabilities"].items(), key=lambda pair: -pair[1])[:NAMED]
        return str(score["truth"]), ", ".join(f"{name} {value:.3f}" for name, value in said)
    truth = ", ".join(f"{name} {value:g}" for name, value in score["truth"].items() if value is not None)
    return truth, ", ".join(f"{name} {value:.3g}" for name, value in score["prediction"].items())
