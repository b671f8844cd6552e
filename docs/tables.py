"""Writes the tables of README and docs, between their markers: ``python docs/tables.py``.

They quote `evidence/*.json` (a file that is not there has no row) and the presets; nothing in them is typed by hand.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from saccade.files import read_json, write_text
from saccade.systems.attention_unet import PRESETS
from saccade.systems.unet_settings import UNetSettings
from saccade.tasks.segmentation.config import Augmentation, Training
from saccade.tasks.segmentation.plan import FEWEST_PATCH_VOXELS, MOST_PATCH_VOXELS

ROOT = Path(__file__).parents[1]
NONE_YET = "No measurement has been made yet.\n"
Record = Mapping[str, Any]


def read_evidence(folder: Path) -> dict[str, Record]:
    """The records of a folder, by system, in order of their names."""
    return {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}


def results_table(records: Mapping[str, Record], link: str = "evidence") -> str:
    """A row for each record: score, control, difference, and the shortcut that comes closest.

    Args:
        records: From `read_evidence`.
        link: Path of the evidence folder as the page sees it.
    """
    if not records:
        return NONE_YET
    head = ["system", "score", "control", "its score", "difference", "cases", "best shortcut"]
    rows = [
        [
            f"[{name}]({link}/{name}.json)",
            _score(record["score"]),
            record["control"],
            _score(record["control_score"]),
            _difference(record),
            str(record.get("cases", "")),
            _best_shortcut(record),
        ]
        for name, record in records.items()
    ]
    return _table(head, rows)


def studies_list(records: Mapping[str, Record]) -> str:
    """Of each record what its score is, on which data, all shortcuts, the p of the difference, what was cut, and the
    command that makes it."""
    return "\n".join(_study(name, record) for name, record in records.items()) if records else NONE_YET


def _study(name: str, record: Record) -> str:
    p = f" p of Wilcoxon's signed ranks: {record['p_wilcoxon']:.2g}." if "p_wilcoxon" in record else ""
    said = [
        f"Score: {record['metric']}.{p}",
        f"Data: {_data(record['data'])}.",
        f"Control: {record['control']}.",
        f"Shortcuts: {_shortcuts(record.get('shortcut_baselines', ''))}." if record.get("shortcut_baselines") else "",
        *record.get("notes", []),
        f"Made by `{record['command']}`.",
    ]
    return f"## {name}\n\n" + "".join(f"- {line}\n" for line in said if line)


def comparisons_table(records: Mapping[str, Record], systems: list[str]) -> str:
    """Every comparison in the records of some systems, those against further controls included."""
    rows = [
        [
            name,
            where,
            str(part.get("control", "")),
            _score(part["score"]),
            _score(part["control_score"]),
            _difference(part),
            _p(part),
            str(part.get("cases", "")),
        ]
        for name in systems
        if name in records
        for where, part in _comparisons(records[name], "all")
    ]
    head = ["system", "comparison", "control", "score", "its score", "difference", "p", "cases"]
    return _table(head, rows) if rows else NONE_YET


def networks_table(record: Record) -> str:
    """What each network of a study scores and costs on each of its sets, from the ``table`` of the record."""
    scores = {"balanced_accuracy": "balanced accuracy", "auroc": "AUROC", "log_loss": "log loss"}
    head = ["set", "network", *scores.values(), "parameters", "MFLOP", "ms an image", "training"]
    rows = []
    for name, networks in record["table"].items():
        for network, row in networks.items():
            cost = [f"{row['parameters']:,}", f"{row['mflop']:.1f}", f"{row['seconds_per_image'] * 1e3:.1f}"]
            told = [_score(row[score]) for score in scores]
            rows.append([name, network, *told, *cost, f"{row['training_seconds']:.0f} s"])
    return _table(head, rows)


def sweep_table(record: Record) -> str:
    """AP50 at each place of the focal loss's table of gamma and alpha."""
    names, scores = zip(*record["gamma_and_alpha"].items(), strict=True)
    return _table(["focal loss", *names], [["AP50, one seed", *map(_score, scores)]])


def maps_table(record: Record) -> str:
    """Where the maps of each network lie, from the ``localisation`` of a record."""
    shown = {
        "pointing": "peak inside",
        "energy": "share inside",
        "energy_in_box_over_its_area": "in its box, times by chance",
        "localised": "boxes that overlap by half",
    }
    rows = [
        [network, name, *(_score(map_[key]) for key in shown)]
        for network, found in record["localisation"].items()
        for name, map_ in found["maps"].items()
    ]
    chance = record["localisation"][rows[0][0]]["chance"]
    by_chance = ["by chance", "", _score(chance["pointing_in_fan"]), _score(chance["area"]), _score(1.0), ""]
    return _table(["network", "map", *shown.values()], [*rows, by_chance])


def presets_table(presets: Mapping[str, Mapping[str, Any]]) -> str:
    """A column for each preset of a system, a row for what sets them apart."""
    columns = [_preset(chosen) for chosen in presets.values()]
    rows = [[row, *(column[row] for column in columns)] for row in columns[0]]
    return _table(["", *(f"`{name}`" for name in presets)], rows)


def shortcuts_table(
    scores: Mapping[str, Mapping[str, float]],
    network: Mapping[str, Mapping[str, Any]],
    cases: int,
    unseen: int,
    steps: int,
) -> str:
    """What shortcuts score on simulated data, and the network of the demo beside them.

    Args:
        scores: From `saccade.data.synthetic.shortcut_scores`.
        network: The summary of the demo's ``metrics.json``.
        cases: How many cases the shortcuts had, half to be fitted on.
        unseen: How many the network was tested on.
        steps: Of the network's training.
    """
    head = ["organ", "HU window", "position", "both", "Attention U-Net of `make demo`"]
    rows = []
    for organ in scores["both"]:
        shortcuts = [_score(scores[kind][organ]) for kind in ("threshold", "position", "both")]
        rows.append([organ, *shortcuts, _score(network[organ]["dice"]["mean"])])
    held_out = cases - cases // 2
    said = f"Shortcuts: {held_out} of the demo's {cases} abdomens; network: {unseen} unseen ones, after {steps} steps."
    return f"{_table(head, rows)}\n{said}\n"


def costs_table(found: Record) -> str:
    """What each mechanism costs in 2D and 3D, as `benchmarks/attention.py` found it."""
    head = ["mechanism", "parameters", "MFLOP", "ms", "MB", "parameters in 3D", "MFLOP", "ms", "MB"]
    rows = []
    for name in [key.removesuffix(", 2D") for key in found if key.endswith(", 2D")]:
        costs = [found[f"{name}, {dims}D"] for dims in (2, 3)]
        rows.append([name, *(cell for cost in costs for cell in _cost(cost))])
    return f"{_table(head, rows)}\n{_machine(found)}\n"


def ratios_table(found: Record) -> str:
    """Non-local blocks beside the map of all pairs, and the volume for which no map could be held."""
    rows, volume = [], found["NonLocal, concatenation, 64 x 64 x 64"]
    for name, one in found.items():
        if "plain_ms" in one:
            ours, plain = ("{:.4g} ms, {:,.0f} MB".format(*pair) for pair in _pairs(one))
            rows.append([name.removeprefix("NonLocal, "), ours, plain, f"{one['ratio']:.1f}"])
    said = "{:.1f} s, {:,.0f} MB".format(volume["ms"] / 1e3, volume["process_megabytes"])
    said = f"{_machine(found)} Concatenation on 64 x 64 x 64 positions: {said} for the whole process."
    return f"{_table(['form', 'as it is', 'through the map', 'ratio'], rows)}\n{said}\n"


def between_markers(path: Path, key: str, text: str) -> None:
    """Replace what stands between ``<!-- key: ... -->`` and the next ``<!-- end -->`` of a page.

    Raises:
        ValueError: If the page has no such markers.
    """
    page = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {re.escape(key)}: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
    changed, count = pattern.subn(lambda found: f"{found[1]}{text}{found[2]}", page)
    if count != 1:
        raise ValueError(f"{path}: must have the markers of '{key}' once, found {count}.")
    if changed != page:
        write_text(path, changed)


def write_tables(root: Path = ROOT) -> None:
    """Bring README and docs up to date with the evidence folder and the presets."""
    records = read_evidence(root / "evidence")
    between_markers(root / "README.md", "results", results_table(records))
    between_markers(root / "docs" / "evidence.md", "studies", studies_list(records))
    for page in sorted((root / "docs").glob("*.md")):
        for found in re.findall(r"<!-- evidence ([^:]+):", page.read_text(encoding="utf-8")):
            between_markers(page, f"evidence {found}", comparisons_table(records, found.split()))
    between_markers(root / "docs" / "training.md", "presets", presets_table(PRESETS))
    if "ag-sononet" in records:
        between_markers(root / "docs" / "ag-sononet.md", "maps", maps_table(records["ag-sononet"]))
    if "ssd-shapes" in records:
        between_markers(root / "docs" / "detection.md", "sweep", sweep_table(records["ssd-shapes"]))
    if "resnet" in records:
        between_markers(root / "docs" / "classification-networks.md", "resnets", networks_table(records["resnet"]))


def write_costs(root: Path = ROOT) -> None:
    """Bring the pages on costs up to date with what `benchmarks/attention.py` found."""
    costs = read_json(root / "benchmarks" / "attention.json")
    between_markers(root / "docs" / "attention-costs.md", "costs", costs_table(costs))
    between_markers(root / "docs" / "attention-non-local.md", "ratios", ratios_table(costs))


def _preset(chosen: Mapping[str, Any]) -> dict[str, str]:
    plan, data = chosen.get("plan", {}), chosen.get("data", {})
    training, augmentation = Training(**chosen.get("training", {})), Augmentation(**chosen.get("augmentation", {}))
    network = UNetSettings(**chosen.get("network", {}))
    spacing = "the data's median"
    if "volume_voxels" in plan:
        spacing += f", coarser where a volume then has over {plan['volume_voxels']:,} voxels"
    if "spacing_mm" in data:
        spacing = " x ".join(f"{size:g}" for size in data["spacing_mm"]) + " mm"
    patch = f"a 64th of the volume, but {FEWEST_PATCH_VOXELS:,} to {MOST_PATCH_VOXELS:,} voxels"
    if "patch_voxels" in plan:
        patch = f"up to {plan['patch_voxels']:,} voxels"
    if "patch_size" in data:
        patch = " x ".join(map(str, data["patch_size"]))
    changes = {
        f"rotation {augmentation.rotation_degrees:g} degrees": augmentation.rotation_degrees,
        "scale {:g} to {:g}".format(*augmentation.scale): augmentation.scale != (1, 1),
        f"shift {augmentation.shift_fraction:g}": augmentation.shift_fraction,
        f"flips of axes {', '.join(map(str, augmentation.flip_axes))}": augmentation.flip_axes,
        f"noise {augmentation.noise:g}": augmentation.noise,
        f"brightness {augmentation.brightness:g}": augmentation.brightness,
        "contrast {:g} to {:g}".format(*augmentation.contrast): augmentation.contrast != (1, 1),
    }
    steps = f"{training.steps_per_epoch} steps" if training.steps_per_epoch else "every case once"
    return {
        "voxel size": spacing,
        "patch": patch,
        "widths": ", ".join(map(str, network.channels)),
        "deep supervision": "yes" if network.deep_supervision else "no",
        "loss": f"`{training.loss}`",
        "optimiser": f"`{training.optimiser}`, {training.learning_rate:g}, `{training.schedule}`",
        "epochs": f"{training.epochs} of {steps}",
        "batch": str(training.batch_size),
        "weight averaging": f"{training.weight_averaging:g}" if training.weight_averaging else "no",
        "augmentation": ", ".join(text for text, wanted in changes.items() if wanted),
    }


def _cost(one: Record) -> list[str]:
    return [f"{one['parameters']:,}", f"{one['mflop']:.1f}", f"{one['ms']:.1f}", f"{one['megabytes']:.0f}"]


def _pairs(one: Record) -> tuple[tuple[float, float], tuple[float, float]]:
    return (one["ms"], one["megabytes"]), (one["plain_ms"], one["plain_megabytes"])


def _machine(found: Record) -> str:
    return f"{found['machine']['name']}, {found['machine']['threads']} threads, float32, forward and backward."


def _comparisons(part: Record, where: str) -> Iterator[tuple[str, Record]]:
    if {"score", "control_score", "difference"} <= set(part):
        yield where, part
    for key, inner in part.items():
        if isinstance(inner, Mapping):
            name = key.replace("_", " ")
            inside = where if key == "comparisons" else name if where == "all" else f"{where}, {name}"
            yield from _comparisons(inner, inside)


def _score(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _difference(part: Record) -> str:
    text = f"{part['difference']:+.3f}"
    return text + " [{:+.3f}, {:+.3f}]".format(*part["interval_95"]) if "interval_95" in part else text


def _p(part: Record) -> str:
    return f"{part['p_wilcoxon']:.2g}" if "p_wilcoxon" in part else ""


def _shortcuts(said: str | Mapping[str, float]) -> str:
    return said if isinstance(said, str) else "; ".join(f"{name} {_score(value)}" for name, value in said.items())


def _best_shortcut(record: Record) -> str:
    """The highest of those whose name says most of the record's metric: other scores are no measure for it."""
    said = record.get("shortcut_baselines", "")
    if isinstance(said, str):
        return said
    metric = record["metric"].lower()
    named = [name for name in said if "no shortcut" not in name]
    shared = {name: sum(word.replace("_", " ") in metric for word in name.lower().split(", ")) for name in named}
    alike = [name for name, count in shared.items() if count == max(shared.values())]
    best = max(alike, key=lambda name: said[name])
    return f"{best} {_score(said[best])}"


def _data(about: Record) -> str:
    return ", ".join(str(about[key]) for key in ("name", "source", "licence") if key in about)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, [":--"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    write_tables()
    write_costs()
