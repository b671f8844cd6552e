"""Studies of a few steps, in the tests' own process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_study import BOTH, SMALL


def in_this_process(patch: pytest.MonkeyPatch) -> None:
    """Trainings start without a process of their own, and their check is short."""
    patch.setattr("saccade.study.compare_runs.alone", lambda function, job, say: function(job, say))
    patch.setattr("saccade.tasks.check.STEPS", 2)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)


@pytest.fixture(scope="session")
def study(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Two systems on two folds of `pairs`: the folder, and what was returned. Not to be written to."""
    from saccade.study.compare import compare_systems

    out = tmp_path_factory.mktemp("studies") / "study"
    with pytest.MonkeyPatch.context() as patch:
        in_this_process(patch)
        found = compare_systems(BOTH, pairs, out, folds=2, preset="tiny", settings=SMALL)
    return out, found


@pytest.fixture
def compare(here: None) -> Callable[..., dict[str, Any]]:
    """`compare_systems` with small settings."""
    from saccade.study.compare import compare_systems

    def run(data: Path, out: Path, **wanted: Any) -> dict[str, Any]:
        systems = wanted.pop("systems", BOTH)
        return compare_systems(systems, data, out, **{"preset": "tiny", "settings": SMALL, **wanted})

    return run
