"""The page of a run: gathered values and drawings poured into one template."""

import base64
import hashlib
import importlib
import math
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from saccade.errors import InputError
from saccade.files import write_text
from saccade.report import boxes, charts
from saccade.report.epochs import draw_epochs
from saccade.report.features import SHARE, draw_features, open_network
from saccade.report.gather import gather, read_run_config
from saccade.report.scenes import MAP_LARGEST
from saccade.report.viewer import build_viewer

METRICS = (  # name in metrics.json, heading, decimals
    ("dice", "Dice", 3),
    ("precision", "precision", 3),
    ("recall", "recall", 3),
    ("surface_distance_mm", "surface distance, mm", 2),
    ("hd95_mm", "HD95, mm", 1),
    ("surface_dice", "surface Dice", 3),
    ("volume_error_ml", "volume error, ml", 1),
)
MOST_MEGABYTES = 80.0
# Of the tasks with a page of another form, the function that makes it.
PAGES = {
    "classification": ("saccade.report.target_report", "render_targets"),
    "detection": ("saccade.report.detection_report", "render_detections"),
    "landmarks": ("saccade.report.landmark_report", "render_landmarks"),
}
HERE = Path(__file__).parent


def write_report(
    run: Path, out: Path | None = None, *, cases: int | None = None, max_megabytes: float | None = None
) -> Path:
    """Write one self-contained HTML page about a run: scores, the cases in a viewer worst first, curves, provenance.

    Args:
        run: The run's folder.
        out: The file to write; default ``report.html`` in the run.
        cases: How many cases are shown in the viewer, the worst ones; default as many as fit (of a classification 60
            images). Scores are always those of all.
        max_megabytes: For the scans in the page, and what a network's gates made of them; default 80. A scan gets a
            tenth of it, or more when there are fewer cases, and is shown as finely as that allows.

    Returns:
        The file written.

    Raises:
        InputError: If ``run`` is not the folder of a run, ``out`` is a folder, ``cases`` is negative, or
            ``max_megabytes`` is not above 0 or given for a classification. Anything else that is missing is named on
            the page instead.
    """
    run, out = Path(run), Path(out) if out is not None else Path(run) / "report.html"
    if out.is_dir():
        raise InputError(f"report: the output must be a file, got the folder {out}. Try {out}/report.html.")
    if cases is not None and cases < 0:
        raise InputError(f"report: the number of cases shown must be 0 or more, got {cases}.")
    if max_megabytes is not None and not max_megabytes > 0:
        raise InputError(f"report: the size of the page must be above 0 megabytes, got {max_megabytes:g}.")
    task = read_run_config(run)[0].get("task")
    if task in PAGES:
        if max_megabytes is not None:
            raise InputError(f"report: --max-megabytes is for scans, this run is a {task}. Use --cases.")
        module, function = PAGES[task]
        write_text(out, getattr(importlib.import_module(module), function)(run, cases=cases))
        return out
    record = gather(run)
    room = (MOST_MEGABYTES if max_megabytes is None else max_megabytes) * 1e6
    network = open_network(run, record, record.notices) if cases != 0 else None
    viewer = build_viewer(record, cases, room if network is None else (1 - SHARE) * room)
    features = (
        draw_features(network, record, viewer.entries, SHARE * room, record.notices) if network is not None else []
    )
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in ("slices.js", "viewer.js"))
    page = page_template("run.html.j2").render(
        run=record,
        title=str(record.config.get("system", "Run")),
        fallback=record.summary.get("mean_dice", record.summary.get("score")),
        facts=facts_of(record.summary, ("mean dice", "score")),
        metrics=[entry for entry in METRICS if any(entry[0] in cells for cells in record.organs.values())],
        plots=boxes.draw_boxes(record),
        boxes_frame=boxes.FRAME,
        epochs=draw_epochs(run, record, record.notices),
        charts=charts.draw_charts(record.curves),
        frame=charts.FRAME,
        features=features,
        viewer=viewer,
        viewer_data=viewer.json(record),
        shown={entry["name"]: number for number, entry in enumerate(viewer.entries)},
        left_out=len(viewer.notices) < len(record.cases),
        map_largest=MAP_LARGEST,
        splits=split_rows(record.splits),
        version=version("saccade"),
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=_hash(script),
    )
    write_text(out, page)
    return out


def _hash(script: str) -> str:
    """How the page's policy names the one script that may run, so that none in a name from a file ever could."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}"


def page_template(name: str) -> Any:
    """A template in which every value is escaped and a missing one is an error."""
    # autoescape must be said: by default it is decided from the file's suffix, and names come from the user's files
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(show=show, fixed=fixed, nested=nested)
    return environment.get_template(name)


def show(value: Any) -> str:
    """A value for a reader: four significant digits, thousands set apart, a dash for nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return fixed(value)
    text = f"{value:,}" if isinstance(value, int) or abs(value) >= 1e4 else f"{value:.4g}"
    if isinstance(value, float) and abs(value) >= 1e4:
        text = f"{value:,.0f}"
    return text.replace(",", "\u202f")


def fixed(value: Any, digits: int = 3) -> str:
    """A number with fixed decimals, so that columns align; a dash for nothing."""
    if not isinstance(value, int | float) or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}".replace("-", "−")


def nested(value: Any) -> str:
    """A nested value as text, a line per entry."""
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)).strip()


def facts_of(summary: dict[str, Any], left_out: Collection[str]) -> list[tuple[str, Any]]:
    """The plain entries of a summary under readable names; those of the page's heading are left out."""
    facts: list[tuple[str, Any]] = []
    for key, value in summary.items():
        name = str(key).replace("_", " ")
        if name in ("system", "preset", *left_out) or not isinstance(value, str | int | float):
            continue
        if name.endswith(" bytes") and isinstance(value, int | float):
            facts.append((name.removesuffix(" bytes"), f"{show(float(value) / 1e6)} MB"))
        elif name.endswith("seconds") and isinstance(value, int | float) and 100 <= value < math.inf:
            minutes, seconds = divmod(round(value), 60)
            facts.append((name.replace("seconds", "time"), f"{minutes} min {seconds} s"))
        else:
            facts.append((name, value))
    return facts


def split_rows(splits: dict[str, Any]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Case, its part and (file, hash) pairs, for every case named in the splits."""
    files = splits.get("files")
    rows = []
    for part, names in splits.items():
        if part == "files" or not isinstance(names, list):
            continue
        for name in map(str, names):
            entry = files.get(name) if isinstance(files, dict) else None
            hashes = entry.get("sha256") if isinstance(entry, dict) else None
            pairs = [(str(k), str(v)) for k, v in hashes.items()] if isinstance(hashes, dict) else []
            rows.append((name, part, pairs))
    return rows
