"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from importlib.metadata import version
from pathlib import Path

__all__ = ["describe", "filesystem_of"]

MEMORY_FILESYSTEMS = {"tmpfs", "ramfs"}


def describe(directory: Path) -> dict[str, str]:
    filesystem = filesystem_of(directory)
    if filesystem in MEMORY_FILESYSTEMS:
        filesystem += " (memory: fsync costs nothing here; choose a disk with --dir)"
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "filesystem": filesystem,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "pydantic": version("pydantic"),
        "outlast": version("outlast"),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def filesystem_of(path: Path) -> str:
    """Return the type of the file system that a path is on, or `unknown` where /proc does not tell."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    where = path.resolve()
    types: dict[int, str] = {}
    for line in mounts:
        _, point, kind, *_ = line.split(" ")
        if where.is_relative_to(point.replace("\\040", " ")):
            types[len(point)] = kind  # of two mounts on one point, the later one hides the other
    return types[max(types)] if types else "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
