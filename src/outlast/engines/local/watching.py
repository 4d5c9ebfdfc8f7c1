"""Who reads journals while they grow: woken by what this process records, and by what others did to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from outlast.core.record import Record
from outlast.errors import OutlastError, RunNotFoundError
from outlast.graph.nodes import Graph
from outlast.storage.base import Head, RunKey, RunRow, RunStore

__all__ = ["LocalJournal", "Reader", "Watch"]


@dataclass(slots=True, eq=False)
class Reader:
    """Somebody who waits for a journal to grow."""

    after: int
    follow: bool
    woken: asyncio.Future[None]
    has_looked: bool = False

    @property
    def is_parked(self) -> bool:
        """Whether there is nothing new for it, as far as it is known here."""
        return self.has_looked and not self.woken.done()

    def is_served(self, head: Head | None) -> bool:
        """Say whether there is something to tell this reader."""
        return head is None or head.seq > self.after or (head.status.is_terminal and not self.follow)

    def wake(self) -> None:
        """Let it look."""
        if not self.woken.done():
            self.woken.set_result(None)


class Watch:
    """Knows which runs are read, and wakes their readers. A run that nobody reads costs one look into a dict."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._readers: dict[RunKey, set[Reader]] = {}

    @property
    def is_watching(self) -> bool:
        """Whether anybody waits."""
        return bool(self._readers)

    @property
    def waits(self) -> Sequence[Reader]:
        """All who wait."""
        return [each for readers in self._readers.values() for each in readers]

    def recorded(self, run: RunKey) -> None:
        """Wake the readers of a run whose journal has grown by the hand of this process."""
        for reader in self._readers.get(run, ()):
            reader.wake()

    async def look(self) -> None:
        """Wake the readers of runs that changed by whatever hand. One query, however many are read."""
        if not self._readers:
            return
        heads = await self._store.load_heads(list(self._readers))
        for run, readers in self._readers.items():
            for reader in readers:
                if reader.is_served(heads.get(run)):
                    reader.wake()

    def close(self, error: OutlastError) -> None:
        """Let nobody wait any longer."""
        for reader in [each for readers in self._readers.values() for each in readers if not each.woken.done()]:
            reader.woken.set_exception(error)

    @contextmanager
    def reading(self, run: RunKey, *, after: int, follow: bool) -> Generator[Reader]:
        """Give a reader that is woken when there may be more. Look at the run inside: then nothing is missed."""
        reader = Reader(after, follow, asyncio.get_running_loop().create_future())
        readers = self._readers.setdefault(run, set())
        readers.add(reader)
        try:
            yield reader
        finally:
            readers.discard(reader)
            if not readers:
                self._readers.pop(run, None)


class LocalJournal:
    """Implements `outlast.engines.base.Journal` over the store."""

    def __init__(
        self,
        row: RunRow,
        graph: Graph,
        *,
        store: RunStore,
        watch: Watch,
        look_up: Callable[[str], Awaitable[RunRow | None]],
    ) -> None:
        self._run = row.key
        self._run_id = row.run_id
        self._graph = graph
        self._store = store
        self._watch = watch
        self._look_up = look_up

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._run_id

    @property
    def graph(self) -> Graph:
        """The graph that the run is on."""
        return self._graph

    async def load_head(self) -> int:
        """Return the `seq` of the latest event, of either class.

        Raises:
            RunNotFoundError: The run is not kept any more.
        """
        return (await self._head()).seq

    async def load_records(self, *, after: int, limit: int, most_bytes: int) -> Sequence[Record]:
        """Return durable events of both classes with `seq` over `after`, in order; empty if there are none yet."""
        return await self._store.load_records(self._run, after=after, limit=limit, most_bytes=most_bytes)

    async def load_facts(self, *, after: int, until: int, limit: int, most_bytes: int) -> Sequence[Record]:
        """Return the facts among the events with `after < seq <= until`, in order."""
        return await self._store.load_facts(self._run, after=after, until=until, limit=limit, most_bytes=most_bytes)

    async def wait(self, *, after: int, follow: bool) -> bool:
        """Wait until an event with `seq` over `after` is durable; False, without `follow`, if none comes by itself.

        Raises:
            RunNotFoundError: The run is not kept any more.
            StoreUnavailableError: The app was closed; the run is not affected.
        """
        while True:
            with self._watch.reading(self._run, after=after, follow=follow) as reader:
                head = await self._head()
                if head.seq > after:
                    return True
                if head.status.is_terminal and not follow:
                    return False
                reader.has_looked = True
                await reader.woken

    async def _head(self) -> Head:
        """Look the run up by its id: its number may belong to another one once it is deleted."""
        row = await self._look_up(self._run_id)
        if row is None or row.key != self._run:
            raise RunNotFoundError(self._run_id)
        return Head(row.head, row.status)
