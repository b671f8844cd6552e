"""What a run was made with: versions, machine, seed, data."""

import importlib.metadata
import platform
import resource
import sys
from datetime import UTC, datetime
from typing import Any

import torch

from saccade.workers import cores

PACKAGES = ("saccade", "torch", "lightning", "monai", "numpy", "nibabel", "SimpleITK")


def describe_environment() -> dict[str, Any]:
    """Versions of what computes, and the machine in words."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "machine": machine(),
    }


def machine() -> str:
    """Processor, its cores and the operating system, in one line."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {cores()} cores, {platform.system()} {platform.release()}"


def fast_bfloat16(device: str = "cpu") -> bool:
    """Whether a device has instructions for bfloat16; without them it is many times slower than float32."""
    if not device.startswith("cpu"):
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("bf16"))  # the last on ARM


def peak_memory_bytes() -> int:
    """The most memory this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
