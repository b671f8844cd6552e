"""What many tests share: the path to `tiny.py`, one thread, a data set and a trained run."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors do not gain from more, and sums of floats are the same bit for bit only on equally many."""
    torch.set_num_threads(1)


@pytest.fixture
def short_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look before training takes two steps instead of forty."""
    monkeypatch.setattr("saccade.tasks.segmentation.check.STEPS", 2)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five small labelled scans; not to be written to."""
    import tiny

    return tiny.make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def trained(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of attention-unet on `pairs`; not to be written to."""
    import tiny

    run = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.tasks.segmentation.check.STEPS", 2)
        assert tiny.train(pairs, run) == 0
    return run
