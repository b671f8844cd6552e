"""README and docs quote `evidence/*.json` and nothing else: row by row, number by number."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from doc_scripts import load_doc_script

from saccade.systems.attention_unet import PRESETS

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "evidence"


tables = load_doc_script("tables")


def record(**changes: Any) -> dict[str, Any]:
    return {
        "system": "attention-unet",
        "score": 0.88449,
        "control": "unet",
        "control_score": 0.88151,
        "difference": 0.00298,
        "interval_95": [-0.00104, 0.00712],
        "p_wilcoxon": 0.0432,
        "cases": 217,
        "metric": "mean Dice",
        "data": {"name": "hippocampus", "source": "http://medicaldecathlon.com", "licence": "CC-BY-SA 4.0"},
        "shortcut_baselines": "none: the data are real",
        "command": "make evidence SYSTEM=attention-unet DATA=<folder of the data>",
        **changes,
    }


def marked(page: Path, key: str) -> str:
    found = re.search(rf"<!-- {re.escape(key)}: [^\n]*-->\n(.*?)<!-- end -->", page.read_text("utf-8"), re.DOTALL)
    assert found, f"{page.name} has no table '{key}'"
    return found[1]


def rows_of(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines[2:]]


def quoted(table: str) -> dict[str, list[str]]:
    """System -> the numbers of its row, as they are printed."""
    names = {row[0].split("]")[0].strip("["): row for row in rows_of(table)}
    return {name: re.findall(r"[+-]?\d+\.\d+", " ".join([row[1], row[3], row[4]])) for name, row in names.items()}


def as_printed(one: dict[str, Any]) -> list[str]:
    plain = [f"{one[key]:.3f}" for key in ("score", "control_score")]
    return plain + [f"{value:+.3f}" for value in (one["difference"], *one.get("interval_95", []))]


def test_readme_has_a_row_for_each_evidence_file_and_no_other() -> None:
    files = {path.stem: json.loads(path.read_text("utf-8")) for path in EVIDENCE.glob("*.json")}
    assert quoted(marked(ROOT / "README.md", "results")) == {name: as_printed(one) for name, one in files.items()}


def test_tables_are_those_that_the_evidence_gives() -> None:
    records = tables.read_evidence(EVIDENCE)
    assert marked(ROOT / "README.md", "results") == tables.results_table(records)
    seen = []
    for page in (ROOT / "docs").glob("*.md"):
        for systems in re.findall(r"<!-- evidence ([^:]+):", page.read_text("utf-8")):
            assert marked(page, f"evidence {systems}") == tables.comparisons_table(records, systems.split())
            seen += systems.split()
    assert len(seen) == len(set(seen))
    assert set(seen) <= set(records)
    assert {"attention-unet", "unet", "homework-unet-3d", "stn", "nonlocal-c2d"} <= set(seen)


def test_costs_are_those_that_the_benchmark_found() -> None:
    found = json.loads((ROOT / "benchmarks" / "attention.json").read_text("utf-8"))
    costs, ratios = tables.costs_table(found), tables.ratios_table(found)
    assert marked(ROOT / "docs" / "attention-costs.md", "costs") == costs
    assert marked(ROOT / "docs" / "attention-non-local.md", "ratios") == ratios
    gate = found["AttentionGate, 3D"]
    assert f"| {gate['parameters']:,} | {gate['mflop']:.1f} | {gate['ms']:.1f} | {gate['megabytes']:.0f} |" in costs
    assert f"| {found['NonLocal, dot_product, 16384 positions']['ratio']:.1f} |" in ratios


def test_a_row_says_what_its_file_says() -> None:
    table = tables.results_table({"attention-unet": record()})
    assert rows_of(table) == [
        [
            "[attention-unet](evidence/attention-unet.json)",
            "0.884",
            "unet",
            "0.882",
            "+0.003 [-0.001, +0.007]",
            "217",
            "none: the data are real",
        ]
    ]
    assert quoted(table) == {"attention-unet": as_printed(record())}


def test_the_page_of_evidence_says_what_a_score_is() -> None:
    one = record(notes=["Half of it was cut."], shortcut_baselines={"threshold": 0.21049, "mean position": 0.1})
    assert tables.studies_list({"attention-unet": one}).splitlines() == [
        "## attention-unet",
        "",
        "- Score: mean Dice. p of Wilcoxon's signed ranks: 0.043.",
        "- Data: hippocampus, http://medicaldecathlon.com, CC-BY-SA 4.0.",
        "- Control: unet.",
        "- Shortcuts: threshold 0.210; mean position 0.100.",
        "- Half of it was cut.",
        "- Made by `make evidence SYSTEM=attention-unet DATA=<folder of the data>`.",
    ]
    page = marked(ROOT / "docs" / "evidence.md", "studies")
    assert page == tables.studies_list(tables.read_evidence(EVIDENCE))


def test_a_record_without_an_interval_and_with_shortcuts() -> None:
    one = record(shortcut_baselines={"threshold": 0.21049, "mean position": 0.1})
    for key in ("interval_95", "p_wilcoxon", "cases"):
        del one[key]
    row = rows_of(tables.results_table({"discs": one}))[0]
    assert row[4:] == ["+0.003", "", "threshold 0.210"]


def test_the_best_shortcut_is_one_of_the_same_score() -> None:
    scores = {"pixels, balanced_accuracy": 0.6, "pixels, auroc": 0.8, "histogram, balanced_accuracy": 0.55}
    one = record(metric="balanced accuracy, seeds averaged", shortcut_baselines=scores)
    assert rows_of(tables.results_table({"a": one}))[0][-1] == "pixels, balanced_accuracy 0.600"


def test_further_controls_are_compared_on_the_systems_page() -> None:
    inner = {key: record()[key] for key in ("score", "control_score", "difference", "interval_95", "p_wilcoxon")}
    one = record(against_widened_unet=inner, against_monai={"300 s": {**inner, "control": "MONAI", "cases": 44}})
    rows = rows_of(tables.comparisons_table({"a": one, "b": record()}, ["a", "missing"]))
    assert [row[:3] + row[-1:] for row in rows] == [
        ["a", "all", "unet", "217"],
        ["a", "against widened unet", "", ""],
        ["a", "against monai, 300 s", "MONAI", "44"],
    ]


def test_without_evidence_there_is_no_row() -> None:
    assert tables.results_table({}) == tables.studies_list({}) == "No measurement has been made yet.\n"
    assert tables.comparisons_table({"a": record()}, ["b"]) == "No measurement has been made yet.\n"


def test_writing_replaces_what_stood_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "training.md").write_text("<!-- presets: x -->\n<!-- end -->\n", encoding="utf-8")
    (tmp_path / "evidence" / "attention-unet.json").write_text(json.dumps(record()), encoding="utf-8")
    (tmp_path / "docs" / "evidence.md").write_text("<!-- studies: x -->\n<!-- end -->\n", encoding="utf-8")
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- results: x -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    tables.write_tables(tmp_path)
    assert marked(page, "results") == tables.results_table({"attention-unet": record()})
    assert page.read_text("utf-8").startswith("before\n<!-- results: x -->\n|")
    assert page.read_text("utf-8").endswith("<!-- end -->\nafter\n")
    page.write_text("no markers\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"README.md: must have the markers of 'results' once, found 0\.$"):
        tables.write_tables(tmp_path)


def test_training_page_has_the_presets() -> None:
    table = marked(ROOT / "docs" / "training.md", "presets")
    assert table == tables.presets_table(PRESETS)
    paper = {row[0]: row[1 + list(PRESETS).index("paper")] for row in rows_of(table)}
    assert paper["voxel size"] == "2 x 2 x 2 mm"
    assert paper["patch"] == "160 x 160 x 96"
    assert paper["loss"] == "`squared_dice`"
    assert paper["optimiser"] == "`adam`, 0.0001, `halving`"
    assert paper["augmentation"] == "rotation 15 degrees, scale 0.7 to 1.3, shift 0.1, flips of axes 0, 1"


def test_shortcuts_stand_beside_the_network() -> None:
    scores = {kind: {"liver": value} for kind, value in (("threshold", 0.1), ("position", 0.2), ("both", float("nan")))}
    text = tables.shortcuts_table(scores, {"liver": {"dice": {"mean": 0.95}}}, cases=5, unseen=6, steps=7)
    assert rows_of(text) == [["liver", "0.100", "0.200", "-", "0.950"]]
    assert text.endswith("\nShortcuts: 3 of the demo's 5 abdomens; network: 6 unseen ones, after 7 steps.\n")


def test_the_page_on_ag_sononet_quotes_where_its_maps_lie() -> None:
    found = json.loads((EVIDENCE / "ag-sononet.json").read_text(encoding="utf-8"))
    assert marked(ROOT / "docs" / "ag-sononet.md", "maps") == tables.maps_table(found)
