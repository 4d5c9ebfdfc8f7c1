"""Runs of one test on a Temporal server, and worker processes that may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from outlast import CommittedWorkflow, Outlast
from outlast.engines.base import History
from outlast.engines.temporal import TemporalEngine
from temporal_server import TemporalServer

__all__ = ["Place"]

_TESTS = Path(__file__).resolve().parents[1]


class Place:
    """A prefix and a task queue of its own."""

    def __init__(self, server: TemporalServer, directory: Path) -> None:
        self.server = server
        self.name = uuid.uuid4().hex[:12]
        self.traces = directory / "traces"
        self._workers: list[subprocess.Popen[bytes]] = []

    @property
    def engine(self) -> TemporalEngine:
        return TemporalEngine(self.server.address, task_queue=self.name, prefix=f"{self.name}-")

    def app(self, *workflows: CommittedWorkflow[Any, Any], lease: float = 2, **options: Any) -> Outlast:
        return Outlast(workflows, engine=self.engine, lease=timedelta(seconds=lease), **options)

    def worker(self, *, lease: float = 2) -> subprocess.Popen[bytes]:
        """Start a worker process and wait until it works."""
        command = [sys.executable, "-m", "temporal.worker_process"]
        command += [self.server.address, self.name, f"{self.name}-", str(lease)]
        path = os.pathsep.join([str(_TESTS), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, "OUTLAST_TEST_TRACES": str(self.traces)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        self._workers.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a worker as the kernel does when memory is short."""
        process.send_signal(signal.SIGKILL)
        self._end(process)

    def close(self) -> None:
        for process in list(self._workers):
            self.kill(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._workers.remove(process)

    async def history(self, app: Outlast, run_id: str) -> History:
        history = await app._engine.load_history(run_id)  # noqa: SLF001
        assert history is not None
        return history
