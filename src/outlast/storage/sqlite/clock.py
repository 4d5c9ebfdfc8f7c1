"""The clock of leases: it counts from boot, goes on while the machine sleeps, and nobody can set it."""

from __future__ import annotations

import ctypes
import sys
import time
from functools import cache
from pathlib import Path

__all__ = ["boot_id", "now_ns"]

# macOS: CLOCK_MONOTONIC goes on during sleep there, CLOCK_MONOTONIC_RAW is the same without slewing.
_CLOCK = time.CLOCK_MONOTONIC_RAW if sys.platform == "darwin" else time.CLOCK_BOOTTIME


def now_ns() -> int:
    """Return nanoseconds since boot."""
    return time.clock_gettime_ns(_CLOCK)


@cache
def boot_id() -> str:
    """Return what tells this boot of the machine from every other."""
    if sys.platform == "darwin":
        return _sysctl(b"kern.bootsessionuuid") or _boot_minute()
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return _boot_minute()


def _boot_minute() -> str:
    # A last resort: the time of boot, coarse enough that small corrections of the wall clock do not change it often.
    return f"minute-{(time.time_ns() - now_ns()) // 60_000_000_000}"


def _sysctl(name: bytes) -> str:
    libc = ctypes.CDLL(None)
    buffer = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(buffer))
    failed = libc.sysctlbyname(name, buffer, ctypes.byref(size), None, ctypes.c_size_t(0))
    return "" if failed else buffer.value.decode("ascii", "replace")
