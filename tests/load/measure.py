"""What this process takes of the machine."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

__all__ = ["forget_peak", "needs_proc", "peak_megabytes", "resident_megabytes"]

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")

needs_proc = pytest.mark.skipif(not _RESET.exists(), reason="needs /proc to see its own memory")


def resident_megabytes() -> float:
    """Return the memory in use, without what is only garbage."""
    gc.collect()
    return _read("VmRSS")


def peak_megabytes() -> float:
    """Return the most memory in use since the peak was forgotten."""
    return _read("VmHWM")


def forget_peak() -> None:
    """Begin to look for the peak from here on."""
    gc.collect()
    _RESET.write_text("5")


def _read(name: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024
