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
    monkeypatch.setattr("saccade.tasks.check.STEPS", 2)


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
        patch.setattr("saccade.tasks.check.STEPS", 2)
        assert tiny.train(pairs, run) == 0
    return run


@pytest.fixture(scope="session")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of cat and dog each, in class folders; not to be written to."""
    import image_sets

    return image_sets.class_folders(tmp_path_factory.mktemp("animals") / "set", 12)


@pytest.fixture(scope="session")
def classified(animals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of resnet that has learnt `animals`; not to be written to."""
    import image_sets

    run = tmp_path_factory.mktemp("classified") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.tasks.check.STEPS", 2)
        assert image_sets.train(animals, run, "--folds", "2", "--set", "training.epochs=6") == 0
    return run


@pytest.fixture(scope="session")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures with boxes of sun and hole; not to be written to."""
    import scene_sets

    return scene_sets.picture_table(tmp_path_factory.mktemp("boxed") / "set")


@pytest.fixture(scope="session")
def detected(boxed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ssd that has learnt `boxed`; not to be written to."""
    import scene_sets

    run = tmp_path_factory.mktemp("detected") / "run"
    settings = ("training.epochs=50", "training.validate_every=25", "augmentation.flip_axes=[]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.tasks.check.STEPS", 2)
        assert scene_sets.train(boxed, run, *(part for name in settings for part in ("--set", name))) == 0
    return run
