"""Everything a report shows, read from a run folder into plain values; what is missing becomes a notice."""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from saccade.data.labels import label_colour
from saccade.data.layouts import Case as Source
from saccade.data.layouts import find_dataset
from saccade.errors import InputError
from saccade.files import read_json

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
    """One validation case: its scores and where its volumes lie.

    ``source`` is the case in the data set, None if it is gone; ``truth`` is the run's own copy of the true label.
    """

    name: str
    scores: dict[str, dict[str, Any]]
    prediction: Path | None
    source: Source | None
    truth: Path | None
    attention: dict[str, Path]

    @property
    def mean_dice(self) -> float | None:
        """The mean over the organs whose Dice is defined."""
        return _mean([organ.get("dice") for organ in self.scores.values()])


@dataclass(frozen=True)
class Run:
    """What a run folder holds. ``cases`` are sorted by mean Dice, worst first; those without scores come last."""

    name: str
    config: dict[str, Any]
    config_text: str
    summary: dict[str, Any]
    environment: dict[str, Any]
    splits: dict[str, Any]
    curves: list[dict[str, float]]
    organs: dict[str, dict[str, Any]]
    cases: list[Case]
    labels: dict[int, str]
    notices: list[str] = field(default_factory=list)

    @property
    def mean_dice(self) -> float | None:
        """The mean over organs of their mean Dice over cases."""
        return _mean([(metrics.get("dice") or {}).get("mean") for metrics in self.organs.values()])

    def colour(self, organ: str) -> Colour | None:
        """The colour of an organ given by name, or by its number as text."""
        values = [value for value, name in self.labels.items() if name == organ]
        values += [int(organ)] if organ.isdecimal() else []
        return _rgb(values[0]) if values else None

    def colours(self) -> dict[int, Colour]:
        """The colour of every label value that has a name or a score."""
        numbers = [int(organ) for organ in self.organs if organ.isdecimal()]
        return {value: _rgb(value) for value in [*self.labels, *numbers]}


def on_dark(colour: Colour) -> Colour:
    """A colour mixed with as much white as it needs to be seen on a scan; `colourOf` of viewer.js has the same rule."""
    red, green, blue = colour
    light = 0.3 * red + 0.6 * green + 0.1 * blue
    share = max(0.0, (100 - light) / (255 - light)) if light < 255 else 0.0
    red, green, blue = (round(part + share * (255 - part)) for part in colour)
    return red, green, blue


def gather(run: Path) -> Run:
    """Read a run folder.

    Raises:
        InputError: If there is no such folder, or it has no readable ``config.yaml``.
    """
    config, text = read_run_config(run)
    notices: list[str] = []
    splits = read_optional(run / "splits.json", notices)
    metrics = read_optional(run / "validation" / "metrics.json", notices)
    data = as_mapping(config.get("data"))
    return Run(
        name=run.resolve().name,
        config=config,
        config_text=text,
        summary=read_optional(run / "summary.json", notices),
        environment=read_optional(run / "environment.json", notices),
        splits=splits,
        curves=read_curves(run / "metrics.csv", notices),
        organs={str(k): as_mapping(v) for k, v in as_mapping(metrics.get("summary")).items()},
        cases=_find_cases(run / "validation", as_mapping(metrics.get("cases")), splits, data, notices),
        labels={int(k): str(v) for k, v in as_mapping(data.get("label_names")).items() if str(k).isdecimal()},
        notices=notices,
    )


def read_run_config(run: Path) -> tuple[dict[str, Any], str]:
    """A run's ``config.yaml`` as values and as text.

    Raises:
        InputError: If there is no such folder, or it has no readable ``config.yaml``.
    """
    if not run.is_dir():
        raise InputError(f"report: {run} must be the folder of a run, but there is no such folder.")
    path = run / "config.yaml"
    if not path.is_file():
        raise InputError(f"report: {run} must be the folder of a run, but it has no config.yaml.")
    try:
        text = path.read_text(encoding="utf-8")
        config = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"report: {path} must be YAML, but it cannot be read ({reason}).") from error
    if not isinstance(config, dict):
        raise InputError(f"report: {path} must hold settings by name, got {type(config).__name__}.")
    return config, text


def read_optional(path: Path, notices: list[str]) -> dict[str, Any]:
    """The values of a JSON file by name; a notice and none where it cannot be read."""
    if not path.is_file():
        notices.append(f"{path.parent.name}/{path.name} is missing.")
        return {}
    try:
        content = read_json(path)
    except InputError as error:
        notices.append(str(error))
        return {}
    if not isinstance(content, dict):
        notices.append(f"{path.parent.name}/{path.name} must hold values by name, got {type(content).__name__}.")
    return as_mapping(content)


def read_curves(path: Path, notices: list[str]) -> list[dict[str, float]]:
    """The rows of a ``metrics.csv``; a notice and none where it cannot be read."""
    if not path.is_file():
        notices.append(f"{path.parent.name}/{path.name} is missing: no training curves.")
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{k: n for k, v in row.items() if (n := _number(v)) is not None} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        notices.append(f"{path} cannot be read as CSV ({error}).")
        return []
    broken = {k for row in rows for k, v in row.items() if not math.isfinite(v)}
    notices.extend(f"{name} was not finite at times (gaps in its curve)." for name in sorted(broken))
    return rows


def _find_cases(
    folder: Path, scores: dict[str, Any], splits: dict[str, Any], data: dict[str, Any], notices: list[str]
) -> list[Case]:
    if not folder.is_dir():
        notices.append("The run has no validation folder: no cases to show.")
        return []
    predictions, truths = _volumes(folder), _volumes(folder / "truth")
    names = list(dict.fromkeys([*map(str, scores), *predictions]))
    attention = _attention_files(folder / "attention", names)
    if names and not any(attention.values()):
        notices.append("The run has no attention maps for its validation cases.")
    locate = _locator(splits, str(data.get("root", "")))
    cases = []
    for name in names:
        organs = {str(k): as_mapping(v) for k, v in as_mapping(scores.get(name)).items()}
        cases.append(Case(name, organs, predictions.get(name), locate(name), truths.get(name), attention[name]))
    _say_what_is_gone(cases, notices)
    return sorted(cases, key=lambda case: (case.mean_dice is None, case.mean_dice or 0.0, case.name))


def _say_what_is_gone(cases: list[Case], notices: list[str]) -> None:
    for what, gone in (
        ("scan", [case.name for case in cases if case.source is None]),
        (
            "true label",
            [case.name for case in cases if case.truth is None and (case.source is None or case.source.label is None)],
        ),
        ("prediction", [case.name for case in cases if case.prediction is None]),
    ):
        gone.sort()
        if gone:
            more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
            notices.append(f"The {what} is not to be found for: {', '.join(gone[:5])}{more}.")


def _volumes(folder: Path) -> dict[str, Path]:
    return {path.name.removesuffix(".nii.gz"): path for path in sorted(folder.glob("*.nii.gz"))}


def _attention_files(folder: Path, names: list[str]) -> dict[str, dict[str, Path]]:
    """Gate name -> file for each case; a file belongs to the longest case name that it starts with."""
    found: dict[str, dict[str, Path]] = {name: {} for name in names}
    for path in sorted(folder.glob("*.nii.gz")):
        stem = path.name.removesuffix(".nii.gz")
        owners = [name for name in names if stem.startswith(f"{name}_")]
        if owners:
            owner = max(owners, key=len)
            found[owner][stem[len(owner) + 1 :]] = path
    return found


def _locator(splits: dict[str, Any], root: str) -> Callable[[str], Source | None]:
    """Where a case's scan and truth are: as the data's layout says, else as the splits say, else nowhere."""
    files = as_mapping(splits.get("files"))
    try:
        dataset = find_dataset(root) if root else None
    except InputError:
        dataset = None
    known = {case.id: case for case in dataset.cases} if dataset is not None else {}

    def locate(name: str) -> Source | None:
        if name in known:
            return known[name]
        entry = as_mapping(files.get(name))
        images = entry.get("image") or []
        found = [_existing(path, root) for path in (images if isinstance(images, list) else [images])]
        if not found or None in found:
            return None
        return Source(name, tuple(path for path in found if path is not None), _existing(entry.get("label"), root))

    return locate


def _existing(path: Any, root: str) -> Path | None:
    candidates = [Path(str(path)), Path(root) / str(path)] if path else []
    return next((candidate for candidate in candidates if candidate.exists()), None)


def as_mapping(value: Any) -> dict[Any, Any]:
    """Values by name, none where it is something else."""
    return value if isinstance(value, dict) else {}


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _mean(values: list[Any]) -> float | None:
    numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    return sum(numbers) / len(numbers) if numbers else None


def _rgb(value: int) -> Colour:
    red, green, blue = label_colour(value)
    return int(red), int(green), int(blue)
