"""A worker that is killed with SIGKILL at a commit of its scheduler: `scheduler_process.py store commit before|after`.

Its clock stands at one o'clock, at which its schedule, made an hour before, is due.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from outlast import CommittedWorkflow, Outlast, Schedule, Workflow, step
from outlast.engines.clock import WallClock
from outlast.engines.local.engine import LocalEngine
from outlast.storage.sqlite import SqliteStore
from outlast.testing.faults import KillAt

MIDNIGHT = datetime(2030, 1, 1, tzinfo=UTC)


class Standing(WallClock):
    """A clock that stands still."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now_ms(self) -> int:
        return round(self.at.timestamp() * 1000)


@step
async def double(n: int) -> int:
    return 2 * n


HOURLY = Workflow("hourly", input=int, output=int, schedule=Schedule("0 * * * *", input_data=21)).then(double).commit()


def app_on(store: SqliteStore, clock: Standing, *workflows: CommittedWorkflow[Any, Any]) -> Outlast:
    app = Outlast(workflows, store=store)
    options = replace(app._engine._options, clock=clock)  # type: ignore[attr-defined] # noqa: SLF001
    app._engine = LocalEngine(store, workflows, options)  # noqa: SLF001
    return app


async def main(path: str, commit: int, mode: Any) -> None:
    seam = KillAt(commit, mode, on_strike=lambda: os.kill(os.getpid(), signal.SIGKILL))
    store = SqliteStore(path, allow_network_filesystem=True, seam=seam)
    async with app_on(store, Standing(MIDNIGHT.replace(hour=1)), HOURLY):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
