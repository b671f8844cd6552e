"""What every evidence script shares: running commands, keeping what is finished, writing the record."""

import json
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from saccade.files import read_json, write_json
from saccade.study.statistics import Paired
from saccade.tasks.environment import fast_bfloat16, machine

HERE = Path(__file__).parent
PARTS = HERE / "parts"  # what each finished run gave; kept in the repository, so that anyone can compute the rest again
Scores = dict[str, dict[str, float]]  # case -> structure -> score


def saccade(*arguments: object) -> None:
    """Run the command line in a process of its own, so that memory is measured apart and threads start fresh."""
    subprocess.run([sys.executable, "-m", "saccade", *map(str, arguments)], check=True)


def once(part: str, make: Any) -> Any:
    """What a finished run gave, made by calling ``make`` if it is not there yet: a study stopped goes on here."""
    path = PARTS / f"{part}.json"
    if not path.is_file():
        about = {"machine": machine(), "date": datetime.now(UTC).date().isoformat()}
        numbers = "bfloat16" if fast_bfloat16() else "float32"
        write_json(path, {**make(), **about, "numbers": numbers}, indent=None)  # thousands of cases, read by programs
    return read_json(path)


def run_script(name: str, **options: object) -> dict[str, Any]:
    """Run a script of this folder and read the JSON of its last line."""
    arguments = [str(part) for key, value in options.items() for part in (f"--{key}", value)]
    done = subprocess.run([sys.executable, HERE / name, *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def mean_per_case(scores: Scores) -> dict[str, float]:
    """Mean over structures of each case."""
    return {case: sum(found.values()) / len(found) for case, found in scores.items()}


def comparison(paired: Paired) -> dict[str, Any]:
    """The part of a record that says who was better."""
    return {
        "score": paired.mean_a,
        "control_score": paired.mean_b,
        "difference": paired.difference,
        "interval_95": [paired.low, paired.high],
        "p_wilcoxon": paired.p,
        "verdict": paired.verdict,
        "cases": paired.n,
    }


def write_record(system: str, record: dict[str, Any]) -> Path:
    """Write ``evidence/<system>.json`` with machine, date and command."""
    path = HERE / f"{system}.json"
    about = {
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"make evidence SYSTEM={system}"
        + (" DATA=<folder of the data>" if "source" in record["data"] else ""),
        "command_here": shlex.join(["python", *map(_shown, sys.argv)]),
    }
    write_json(path, {"system": system, **record, **about})
    return path


def _shown(argument: str) -> str:
    """Absolute paths are nobody's business but this machine's."""
    path = Path(argument)
    return path.name if path.is_absolute() else argument
