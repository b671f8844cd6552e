"""The pages on explanation quote their evidence files and nothing else."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from doc_scripts import load_doc_script

ROOT = Path(__file__).parents[1]
EVIDENCE = {name: ROOT / "evidence" / f"{name}.json" for name in ("respond-cam", "cam-faithfulness")}


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return load_doc_script("explanation_tables")


def marked(page: str, key: str) -> str:
    text = (ROOT / "docs" / page).read_text("utf-8")
    found = re.search(rf"<!-- {key}: [^\n]*-->\n(.*?)<!-- end -->", text, re.DOTALL)
    assert found, f"{page} has no table '{key}'"
    return found[1]


def test_pages_have_the_numbers_of_the_evidence(tables) -> None:
    respond, faithful = (json.loads(path.read_text("utf-8")) for path in EVIDENCE.values())
    assert marked("tomogram-cnn.md", "respond-cam") == tables.respond_table(respond)
    for dims in ("2D", "3D"):
        assert marked("explaining.md", f"methods {dims}") == tables.faithfulness_table(faithful, dims)


def test_a_cell_is_the_number_of_its_row_and_column(tables) -> None:
    respond, faithful = (json.loads(path.read_text("utf-8")) for path in EVIDENCE.values())
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in tables.respond_table(respond).splitlines()]
    first = respond["table"]["CNN-1, SNR inf"]
    assert rows[2][0] == "CNN-1, SNR inf"
    assert rows[2][2].startswith(f"{first['Respond-CAM']['L1']:.3f} ")
    assert rows[2][3].startswith(f"{first['Grad-CAM']['tau']:.3f} ")
    assert rows[6][:3] == ["CNN-1, SNR inf, the paper's", "15.344", "0.601"]
    lines = tables.faithfulness_table(faithful, "3D").splitlines()
    (row,) = [line for line in lines if line.startswith("| `occlusion` |")]
    assert row.split("|")[2].strip() == f"{faithful['table']['3D']['occlusion']['pointing']:.2f}"
