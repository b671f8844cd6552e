"""What a study found, as tables: for Markdown, the terminal and the page."""

from collections.abc import Mapping
from typing import Any

from saccade.study.detections import SCORES as DETECTION_SCORES
from saccade.study.protocols_paper import CT_82, paper_figures, paper_organ
from saccade.study.tables import COLUMNS, Table, markdown, number, span, unknown
from saccade.study.targets import SCORES

COST = ("Parameters", "Forward pass", "Training", "Peak memory")
TARGET_SCORES = ("accuracy", "balanced_accuracy", "kappa", "auroc", "mae", "r2", "spearman")
SHOWN = ("dice", "precision", "recall", "surface_distance_mm")  # as the paper has them, in its order
PAPER = "paper, its own data: "


def study_markdown(study: Mapping[str, Any]) -> str:
    """The tables of a study under their titles, and its notes."""
    text = "".join(f"**{table.title}**\n\n{markdown(table.rows)}\n" for table in study_tables(study))
    return text + "".join(f"- {note}\n" for note in study["notes"])


def study_tables(study: Mapping[str, Any]) -> list[Table]:
    """Arms with their costs, comparisons, and organs with the paper's figures where the study follows a protocol."""
    if study.get("task") == "classification":
        return _target_tables(study)
    if study.get("task") == "detection":
        return _detection_tables(study)
    tables = [_arms(study)]
    if study["comparisons"]:
        tables.append(_comparisons(study))
    tables.append(_organs_by_arm(study) if study["protocol"] == CT_82 else _organs(study))
    return tables


def _arms(study: Mapping[str, Any]) -> Table:
    head = ["System", "Cases", "Mean Dice", "95 % interval", *COST]
    rows = []
    for name, arm in study["arms"].items():
        mean, cost = arm["mean_dice"], arm["cost"]
        cells = [name, str(mean["n"]), _spread(mean["mean"], mean["std"]), span(mean)]
        rows.append([*cells, *_cost_cells(cost)])
    return Table("mean over organs of the Dice of the held-out cases, and what it cost", [head, *rows])


def _target_tables(study: Mapping[str, Any]) -> list[Table]:
    """Arms with their costs, and comparisons."""
    arms = study["arms"]
    shown = [name for name in TARGET_SCORES if any(name in arm["summary"] for arm in arms.values())]
    rows = [["System", "Cases", *(SCORES[name] for name in shown), *COST]]
    for name, arm in arms.items():
        cells = [f"{number(arm['summary'][s]['value'])} ({span(arm['summary'][s])})" for s in shown]
        rows.append([name, str(len(arm["cases"])), *cells, *_cost_cells(arm["cost"])])
    tables = [Table("scores of the held-out cases with 95 % intervals, and what they cost", rows)]
    if study["comparisons"]:
        rows = [["System", "Against", "Score", "Pairs", "Difference", "95 % interval", "p", "p (Holm)", "Verdict"]]
        for pair in study["comparisons"]:
            for score, found in pair["scores"].items():
                p = [number(found["p"], ".2g"), number(found["p_holm"], ".2g")]
                cells = [score, str(found["n"]), number(found["difference"], "+.3f"), span(found), *p]
                rows.append([pair["arm"], pair["against"], *cells, found["verdict"]])
        tables.append(Table("differences case by case, of being right and of the loss", rows))
    return tables


def _detection_tables(study: Mapping[str, Any]) -> list[Table]:
    """Arms with their costs, and comparisons."""
    rows = [["System", "Images", *DETECTION_SCORES.values(), *COST]]
    for name, arm in study["arms"].items():
        cells = [f"{number(arm['summary'][s]['value'])} ({span(arm['summary'][s])})" for s in DETECTION_SCORES]
        rows.append([name, str(len(arm["cases"])), *cells, *_cost_cells(arm["cost"])])
    tables = [Table("scores of the held-out images with 95 % intervals, and what they cost", rows)]
    if study["comparisons"]:
        rows = [["System", "Against", "Score", "Images", "Difference", "95 % interval", "Verdict"]]
        for pair in study["comparisons"]:
            for score, found in pair["scores"].items():
                cells = [str(found["n"]), number(found["difference"], "+.3f"), span(found)]
                rows.append([pair["arm"], pair["against"], DETECTION_SCORES[score], *cells, found["verdict"]])
        tables.append(Table("differences, over the same draws of images", rows))
    return tables


def _cost_cells(cost: Mapping[str, Any]) -> list[str]:
    """What an arm cost, under the headings `COST`."""
    trained = cost["training_seconds"]
    return [
        f"{cost['parameters']:,}",
        f"{cost['forward_pass']['seconds']:.3f} s",
        f"{len(trained)} x {sum(trained) / len(trained):.0f} s",
        f"{cost['peak_memory_bytes'] / 1e9:.2f} GB",
    ]


def _comparisons(study: Mapping[str, Any]) -> Table:
    rows = [["System", "Against", "Pairs", "Difference", "95 % interval", "p", "p (Holm)", "Verdict"]]
    for pair in study["comparisons"]:
        found = pair["mean_over_organs"]["dice"]
        difference = "-" if unknown(found["difference"]) else f"{found['difference']:+.3f}"
        p = [number(found["p"], ".2g"), number(found["p_holm"], ".2g")]
        rows.append([pair["arm"], pair["against"], str(found["n"]), difference, span(found), *p, found["verdict"]])
    return Table("differences in mean Dice, case by case", rows)


def _organs(study: Mapping[str, Any]) -> Table:
    """A row for each organ and score, a column for each system, as in the paper's table on CT-150."""
    arms, paper = study["arms"], _paper_rows(study)
    rows = [["", *arms, *(f"{PAPER}{name}" for name in paper)]]
    for organ in _organ_names(study):
        for metric in SHOWN:
            ours = [_cell(arm, organ, metric) for arm in arms.values()]
            rows.append(
                [f"{organ} {COLUMNS[metric]}", *ours, *(_paper_cell(row, organ, metric) for row in paper.values())]
            )
    parameters = [f"{arm['cost']['parameters'] / 1e6:.2f} M" for arm in arms.values()]
    seconds = [f"{arm['cost']['forward_pass']['seconds']:.3f} s" for arm in arms.values()]
    rows.append(["Params", *parameters, *(f"{row['parameters_millions']:.2f} M" for row in paper.values())])
    rows.append(["Time", *seconds, *(f"{row['seconds']:.3f} s" for row in paper.values())])
    return Table(_title(study), rows)


def _organs_by_arm(study: Mapping[str, Any]) -> Table:
    """A row for each organ and arm, a column for each score, as in the paper's table on CT-82."""
    rows = [["Organ", "", *(COLUMNS[metric] for metric in SHOWN)]]
    for organ in _organ_names(study):
        for name, arm in study["arms"].items():
            rows.append([organ, name, *(_cell(arm, organ, metric) for metric in SHOWN)])
        for name, row in _paper_rows(study).items():
            if paper_organ(organ) in row:
                rows.append([organ, f"{PAPER}{name}", *(_paper_cell(row, organ, metric) for metric in SHOWN)])
    return Table(_title(study), rows)


def _title(study: Mapping[str, Any]) -> str:
    title = "mean ± standard deviation over the held-out cases"
    if study["protocol"] is None:
        return title
    about = paper_figures(study["protocol"])["data"]
    return f"{title}; beside it the paper's figures (Oktay et al. 2018) on {about}: other scans, not these"


def _organ_names(study: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(organ for arm in study["arms"].values() for organ in arm["summary"]))


def _paper_rows(study: Mapping[str, Any]) -> dict[str, Any]:
    rows: dict[str, Any] = {} if study["protocol"] is None else paper_figures(study["protocol"])["rows"]
    return rows


def _paper_cell(row: Mapping[str, Any], organ: str, metric: str) -> str:
    found = row.get(paper_organ(organ) or "", {}).get(metric)
    return "-" if found is None else _spread(*found)


def _cell(arm: Mapping[str, Any], organ: str, metric: str) -> str:
    found = arm["summary"].get(organ, {}).get(metric)
    return "-" if found is None else _spread(found["mean"], found["std"])


def _spread(mean: float | None, std: float | None) -> str:
    return "-" if unknown(mean) else f"{mean:.3f} ± {std:.3f}"
