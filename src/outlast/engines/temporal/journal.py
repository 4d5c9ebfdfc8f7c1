"""The journal of a run for those who read it while it grows: streams follow the history of its workflow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import islice
from typing import Final

from temporalio.service import RPCError

from outlast.core.record import Record
from outlast.engines.temporal.reading import Reading
from outlast.engines.temporal.rpc import is_cut_off, translated
from outlast.graph.nodes import Graph

__all__ = ["TemporalJournal"]

_LOOK_AGAIN: Final = 1.0
"""Seconds until somebody who follows a run that has ended looks whether another execution was opened."""


class TemporalJournal:
    """Reads one run. What was read stays in memory, and what comes is read once."""

    def __init__(self, run_id: str, graph: Graph, read_anew: Callable[[], Reading]) -> None:
        self._run_id = run_id
        self._graph = graph
        self._read_anew = read_anew
        self._reading = read_anew()
        self._pages: AsyncGenerator[None, None] | None = None

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._run_id

    @property
    def graph(self) -> Graph:
        """The graph that the run is on."""
        return self._graph

    async def load_head(self) -> int:
        """Return the `seq` of the latest event."""
        reading = self._read_anew()
        with translated(self._run_id):
            await reading.read()
        return len(reading.records)

    async def load_records(self, *, after: int, limit: int, most_bytes: int) -> Sequence[Record]:
        """Return events with `seq` over `after`, in order; empty if there are none yet."""
        await self._read_beyond(after)
        return _cut(self._reading.records[after : after + limit], most_bytes)

    async def load_facts(self, *, after: int, until: int, limit: int, most_bytes: int) -> Sequence[Record]:
        """Return the facts among the events with `after < seq <= until`."""
        await self._read_beyond(after)
        facts = (record for record in islice(self._reading.records, after, until) if record.is_fact)
        return _cut(list(islice(facts, limit)), most_bytes)

    async def wait(self, *, after: int, follow: bool) -> bool:
        """Wait until there is an event with `seq` over `after`; False if the run has ended and there is none."""
        with translated(self._run_id):
            return await self._wait(after, follow=follow)

    async def _wait(self, after: int, *, follow: bool) -> bool:
        while len(self._reading.records) <= after:
            if self._pages is None:
                self._reading = self._read_anew()
                self._pages = self._reading.follow()
            try:
                await anext(self._pages)
            except RPCError as error:
                self._pages = None
                if not is_cut_off(error):
                    raise
            except StopAsyncIteration:
                self._pages = None
                self._reading = self._read_anew()
                await self._reading.read()
                if len(self._reading.records) <= after:  # else another execution was opened meanwhile
                    if not follow:
                        return False
                    await asyncio.sleep(_LOOK_AGAIN)
            except BaseException:
                self._pages = None  # what was interrupted cannot go on
                raise
        return True

    async def _read_beyond(self, after: int) -> None:
        if len(self._reading.records) <= after and self._pages is None:
            self._reading = self._read_anew()
            with translated(self._run_id):
                await self._reading.read()


def _cut(records: Sequence[Record], most_bytes: int) -> Sequence[Record]:
    """Return the first records, up to the one with which they reach this size."""
    size = 0
    for number, record in enumerate(records, start=1):
        size += len(record.body or b"") + len(record.payload or b"")
        if size >= most_bytes:
            return records[:number]
    return records
