"""Share of the training time in which the network waits for its next batch, by where the prepared cases are kept.

    python benchmarks/input_pipeline.py [--steps 30] [--json FILE]

Simulated abdomens, attention-unet in its tiny preset, on this machine's CPU. "decoded each time" is a training set
that is larger than the memory it may take (``training.cache_memory_gb``); the folder is ``training.cache``.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import saccade
from saccade.data.synthetic import make_abdomen
from saccade.tasks.environment import machine

CASES = 6
SETTINGS: dict[str, dict[str, Any]] = {
    "in memory": {},
    "in memory, one worker": {"workers": 1},
    "in a folder": {"cache": "folder", "cache_memory_gb": 0},
    "decoded each time": {"cache_memory_gb": 0},
}


def measure(data: Path, run: Path, steps: int, settings: dict[str, Any]) -> dict[str, float]:
    """Train for some steps; gives seconds per step and the share of them spent waiting."""
    saccade.train("attention-unet", data, run, preset="tiny", folds=CASES, epochs=1, steps_per_epoch=steps, **settings)
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return {"seconds_per_step": summary["training_seconds"] / steps, "waiting_share": summary["waiting_share"]}


def main() -> None:
    """Measure every setting and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_abdomen(root / "data", CASES, 0)
        for name, settings in SETTINGS.items():
            here = {key: root / "cache" if key == "cache" else value for key, value in settings.items()}
            results[name] = measure(root / "data", root / name, given.steps, here)
    print(f"{machine()}; {given.steps} steps each")
    for name, found in results.items():
        print(f"{name:25} {found['seconds_per_step']:6.2f} s a step, {100 * found['waiting_share']:5.1f} % waiting")
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "steps": given.steps, **results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
