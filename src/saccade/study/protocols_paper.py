"""The figures of Oktay et al. 2018, arXiv:1804.03999, on its own scans."""

import json
from pathlib import Path
from typing import Any

CT_82 = "ct82"
FIGURES = Path(__file__).with_name("protocols_paper.json")
ORGANS = ("pancreas", "spleen", "kidney")  # of the paper's tables


def paper_figures(protocol: str) -> dict[str, Any]:
    """What the paper reports of a protocol: ``{"data", "rows": {name: {organ: {metric: [mean, std]}, ...}}}``."""
    content = json.loads(FIGURES.read_text(encoding="utf-8"))
    figures: dict[str, Any] = content[protocol]
    return figures


def paper_organ(name: str) -> str | None:
    """The organ of the paper's tables that a name means; its kidney stands for either of the two."""
    return next((organ for organ in ORGANS if organ in name.casefold()), None)
