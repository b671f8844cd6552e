"""What a run says it was made with."""

import json
import os
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from saccade.tasks.environment import PACKAGES, describe_environment, machine, peak_memory_bytes
from saccade.workers import cores


def test_versions_date_and_machine() -> None:
    found = describe_environment()
    assert found["packages"] == {name: version(name) for name in PACKAGES}
    assert datetime.fromisoformat(found["date"]).tzinfo is not None
    assert found["machine"] == machine()
    json.dumps(found)


def test_the_machine_is_one_line() -> None:
    assert f", {cores()} cores, {os.uname().sysname} " in machine()
    assert "\n" not in machine()
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_peak_memory_is_what_the_kernel_says() -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs Linux: compares with /proc")
    peak = next(int(line.split()[1]) for line in status.read_text("utf-8").splitlines() if line.startswith("VmHWM"))
    assert peak_memory_bytes() == pytest.approx(peak * 1024, rel=0.02)
