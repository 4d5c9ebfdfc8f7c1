"""The workflows of the Temporal peer, in a module of their own: its sandbox loads it anew for each workflow."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity, workflow

__all__ = ["Chain", "Mapping", "add"]

_LIMIT = timedelta(minutes=5)


@activity.defn
async def add(n: int) -> int:
    return n + 1


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, steps: int, n: int) -> int:
        for _ in range(steps):
            n = await workflow.execute_activity(add, n, start_to_close_timeout=_LIMIT)
        return n


@workflow.defn
class Mapping:
    @workflow.run
    async def run(self, numbers: list[int], width: int) -> list[int]:
        places = asyncio.Semaphore(width)

        async def one(n: int) -> int:
            async with places:
                return await workflow.execute_activity(add, n, start_to_close_timeout=_LIMIT)

        return list(await asyncio.gather(*(one(n) for n in numbers)))
