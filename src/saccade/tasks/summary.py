"""The summary of a run: its scores, and what they cost."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from saccade.files import write_json
from saccade.tasks.callbacks import Keeper, TrainingClock
from saccade.tasks.config import RunConfig
from saccade.tasks.environment import peak_memory_bytes


def write_summary(
    config: RunConfig,
    network: torch.nn.Module,
    run: Path,
    *,
    keeper: Keeper,
    clock: TrainingClock,
    scores: dict[str, Any],
) -> None:
    """Write ``summary.json``: scores of the held-out cases (if there are any), length and cost of the training."""
    summary: dict[str, Any] = {"system": config.system, "preset": config.preset, **scores}
    with suppress(OSError):
        summary["weights_bytes"] = (run / "model.safetensors").stat().st_size
    write_json(
        run / "summary.json",
        summary
        | {
            "kept_epoch": keeper.best_epoch,
            "epochs": keeper.epochs,
            "steps": keeper.rows[-1]["step"],
            "training_seconds": round(clock.seconds, 1),
            "waiting_share": round(clock.waiting / max(clock.seconds, 1e-9), 3),
            "parameters": sum(p.numel() for p in network.parameters()),
            "peak_memory_bytes": peak_memory_bytes(),
        },
    )
