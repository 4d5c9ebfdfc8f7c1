"""What the processes take of the machine, sampled: memory, file descriptors, and the length of the log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

__all__ = ["Gauge"]

_MB = 1024 * 1024


class Gauge:
    """Samples of processes that live through the whole soak."""

    def __init__(self, database: Path) -> None:
        self._log = database.with_name(database.name + "-wal")
        self._memory: dict[int, list[float]] = {}
        self._descriptors: dict[int, list[int]] = {}
        self.longest_log_mb = 0.0

    def sample(self, pids: Sequence[int]) -> None:
        for pid in pids:
            memory = _resident_mb(pid)
            if memory is not None:
                self._memory.setdefault(pid, []).append(memory)
                self._descriptors.setdefault(pid, []).append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
        if self._log.exists():
            self.longest_log_mb = max(self.longest_log_mb, self._log.stat().st_size / _MB)

    @property
    def memory_growth_mb(self) -> float:
        """The largest growth of the median between the second and the last quarter of a process's life."""
        return max((_growth(samples) for samples in self._memory.values()), default=0.0)

    @property
    def descriptor_growth(self) -> float:
        """The same for file descriptors."""
        return max((_growth(samples) for samples in self._descriptors.values()), default=0.0)


def _growth(samples: Sequence[float]) -> float:
    quarter = len(samples) // 4
    if not quarter:
        return 0.0
    return median(samples[-quarter:]) - median(samples[quarter : 2 * quarter])


def _resident_mb(pid: int) -> float | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmRSS")), None)
    return None if line is None else int(line.split()[1]) / 1024
