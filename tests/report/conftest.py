"""Modules beside the tests; importlib mode does not put them on the path."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for browsing.py


def pytest_terminal_summary(terminalreporter) -> None:
    """Say it plainly when nobody looked at the page: a quiet run shows a skip as one letter."""
    for skipped in terminalreporter.stats.get("skipped", []):
        if "test_browser" in skipped.nodeid:
            terminalreporter.write_line(f"The report was not tested in a browser: {skipped.longrepr[2]}")
            break


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fake_run", Path(__file__).with_name("fake_run.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(fake: ModuleType, tmp_path: Path) -> Path:
    folder: Path = fake.make_run(tmp_path)
    return folder
