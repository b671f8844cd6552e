"""The page of a run: gathered values and drawings poured into one template."""

import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from saccade.errors import InputError
from saccade.files import write_text
from saccade.report import draw
from saccade.report.gather import Run, gather

METRICS = (  # name in metrics.json, heading
    ("dice", "Dice"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("surface_distance_mm", "surface distance, mm"),
    ("hd95_mm", "HD95, mm"),
    ("surface_dice", "surface Dice"),
    ("volume_error_ml", "volume error, ml"),
)
MOST_PICTURES = 40  # keeps the page of a large validation set below some tens of megabytes


def write_report(run: Path, out: Path | None = None, *, cases: int | None = None) -> Path:
    """Write one self-contained HTML page about a run: scores, curves, every case worst first, provenance.

    Args:
        run: The run's folder.
        out: The file to write; default ``report.html`` in the run.
        cases: How many cases are drawn, the worst ones; default all, up to 40. Scores are always those of all.

    Returns:
        The file written.

    Raises:
        InputError: If ``run`` is not the folder of a run, ``out`` is a folder, or ``cases`` is negative. Anything
            else that is missing is named on the page instead.
    """
    run, out = Path(run), Path(out) if out is not None else Path(run) / "report.html"
    if out.is_dir():
        raise InputError(f"report: the output must be a file, got the folder {out}. Try {out}/report.html.")
    if cases is not None and cases < 0:
        raise InputError(f"report: the number of cases drawn must be 0 or more, got {cases}.")
    record = gather(run)
    pictures = draw.draw_cases(record, record.cases[: MOST_PICTURES if cases is None else cases])
    page = _template().render(
        run=record,
        title=str(record.config.get("system", "Run")),
        fallback=record.summary.get("mean_dice", record.summary.get("score")),
        facts=_facts(record.summary),
        metrics=[entry for entry in METRICS if any(entry[0] in cells for cells in record.organs.values())],
        charts=draw.draw_charts(record.curves),
        frame=draw.FRAME,
        pictures=pictures,
        splits=_split_rows(record),
        version=version("saccade"),
    )
    write_text(out, page)
    return out


def _template() -> Any:
    # autoescape must be said: by default it is decided from the file's suffix, and names come from the user's files
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(show=show, fixed=fixed, nested=nested)
    return environment.get_template("run.html.j2")


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


def _facts(summary: dict[str, Any]) -> list[tuple[str, Any]]:
    """The plain entries of a summary under readable names; those of the page's heading are left out."""
    facts: list[tuple[str, Any]] = []
    for key, value in summary.items():
        name = str(key).replace("_", " ")
        if name in ("system", "preset", "mean dice", "score") or not isinstance(value, str | int | float):
            continue
        if name.endswith(" bytes") and isinstance(value, int | float):
            facts.append((name.removesuffix(" bytes"), f"{show(float(value) / 1e6)} MB"))
        elif name.endswith("seconds") and isinstance(value, int | float) and 100 <= value < math.inf:
            minutes, seconds = divmod(round(value), 60)
            facts.append((name.replace("seconds", "time"), f"{minutes} min {seconds} s"))
        else:
            facts.append((name, value))
    return facts


def _split_rows(run: Run) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Case, its part and (file, hash) pairs, for every case named in the splits."""
    files = run.splits.get("files")
    rows = []
    for part, names in run.splits.items():
        if part == "files" or not isinstance(names, list):
            continue
        for name in map(str, names):
            entry = files.get(name) if isinstance(files, dict) else None
            hashes = entry.get("sha256") if isinstance(entry, dict) else None
            pairs = [(str(k), str(v)) for k, v in hashes.items()] if isinstance(hashes, dict) else []
            rows.append((name, part, pairs))
    return rows
