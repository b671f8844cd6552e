"""Writes the tables of explaining.md and tomogram-cnn.md, between their markers: ``python docs/explanation_tables.py``.

They quote evidence/respond-cam.json and evidence/cam-faithfulness.json; nothing in them is typed by hand.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tables import ROOT, _table, between_markers

from saccade.files import read_json

Record = Mapping[str, Any]
COLUMNS = {
    "pointing": "peak in the object",
    "pointing at decoy": "in the decoy",
    "energy": "energy in the object",
    "box overlap": "overlap of boxes",
    "deletion": "deletion",
    "insertion": "insertion",
    "randomised similarity": "with random weights",
    "faithful": "called faithful",
}


def respond_table(record: Record) -> str:
    """L1 and Kendall's tau of both methods, ours and the paper's, and how well each network does."""
    head = ["network, ratio", "L1 Grad-CAM", "L1 Respond-CAM", "tau Grad-CAM", "tau Respond-CAM", "accuracy"]
    rows = []
    for name, found in record["table"].items():
        cells = [
            f"{found[method][measure]:.3f} ± {found[method][f'{measure}_std']:.3f}"
            for measure in ("L1", "tau")
            for method in ("Grad-CAM", "Respond-CAM")
        ]
        accuracy = sum(found["accuracy_per_seed"]) / len(found["accuracy_per_seed"])
        rows.append([name, *cells, f"{accuracy:.3f}"])
    for name, paper in record["paper_table"].items():
        cells = [f"{paper[method][measure]:.3f}" for measure in ("L1", "tau") for method in ("Grad-CAM", "Respond-CAM")]
        rows.append([f"{name}, the paper's", *cells, ""])
    return _table(head, rows)


def faithfulness_table(record: Record, dims: str) -> str:
    """A row for each method: where it points, what its map is worth, and what it costs."""
    rows = [
        [f"`{name}`", *(f"{found[key]:.2f}" for key in COLUMNS), f"{found['seconds_per_map'] * 1e3:.1f}"]
        for name, found in record["table"][dims].items()
    ]
    return _table(["method", *COLUMNS.values(), "ms a map"], rows)


def write_explanation_tables(root: Path = ROOT) -> None:
    """Bring both pages up to date with the evidence folder."""
    respond, faithful = (read_json(root / "evidence" / f"{name}.json") for name in ("respond-cam", "cam-faithfulness"))
    between_markers(root / "docs" / "tomogram-cnn.md", "respond-cam", respond_table(respond))
    for dims in ("2D", "3D"):
        between_markers(root / "docs" / "explaining.md", f"methods {dims}", faithfulness_table(faithful, dims))


if __name__ == "__main__":
    write_explanation_tables()
