"""A workflow whose step does not end before its process says so: what a killed worker leaves behind."""

from __future__ import annotations

import asyncio

from benchmarks.ours import Count
from outlast import Workflow, step

__all__ = ["Gate", "gate", "held"]


class Gate:
    """Counts the bodies that have come, and holds them back until it is opened."""

    def __init__(self) -> None:
        self._came = 0
        self._wanted = 0
        self._all_came = asyncio.Event()
        self._is_open = asyncio.Event()

    def reset(self, wanted: int) -> None:
        self.__init__()
        self._wanted = wanted

    async def pass_through(self) -> None:
        self._came += 1
        if self._came == self._wanted:
            self._all_came.set()
        await self._is_open.wait()

    async def until_all_came(self) -> None:
        await self._all_came.wait()

    def open(self) -> None:
        self._is_open.set()


gate = Gate()


@step
async def wait_at_gate(count: Count) -> Count:
    await gate.pass_through()
    return {"n": count["n"] + 1}


held = Workflow(id="held", input=Count, output=Count).then(wait_at_gate).commit()
