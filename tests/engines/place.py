"""Where the tests of the local engine keep their runs: both stores, opened as often as a test likes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from outlast import CommittedWorkflow, Outlast, RunResult, Step, Workflow
from outlast.storage.base import CommitSeam, RunRow, Store
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.storage.sqlite import SqliteStore

__all__ = ["Place", "one_step"]


class Place:
    """One set of data; each `store()` and each `app()` is one more process on it."""

    def __init__(self, kind: str, directory: Path) -> None:
        database = MemoryDatabase()
        stores: dict[str, Callable[[CommitSeam | None], Store]] = {
            "memory": lambda seam: MemoryStore(database, seam=seam),
            "sqlite": lambda seam: SqliteStore(
                directory / "store.db", durability="normal", allow_network_filesystem=True, seam=seam
            ),
        }
        self._open_store = stores[kind]

    def store(self, seam: CommitSeam | None = None) -> Store:
        """Make a store on the data."""
        return self._open_store(seam)

    def app(self, *workflows: CommittedWorkflow[Any, Any], **options: Any) -> Outlast:
        return Outlast(workflows, store=self.store(), **options)

    async def run(
        self,
        workflow: CommittedWorkflow[Any, Any],
        input_data: object = None,
        *,
        request_context: dict[str, Any] | None = None,
        **ids: str,
    ) -> RunResult[Any]:
        """Run a workflow in an app of its own, from start to rest."""
        async with self.app(workflow) as app:
            run = await app.create_run(workflow, **ids)
            return await run.start(input_data=input_data, request_context=request_context)

    async def row(self, run_id: str) -> RunRow | None:
        store = self.store()
        await store.open()
        try:
            return await store.find_run(run_id)
        finally:
            await store.close()


def one_step(body: Step[Any, Any], **options: Any) -> CommittedWorkflow[Any, Any]:
    """Make a workflow of one step."""
    return Workflow("single", **options).then(body).commit()
