"""A store as its methods use it: opened, asked, closed, and left alone in a forked child."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from outlast.errors import OutlastError
from outlast.storage.base import Append, CommitSeam, Durability, GraphKey, NewRun, Settle
from outlast.storage.sqlite.connection import Synchronous, require_sqlite
from outlast.storage.sqlite.machinery import Machinery, start
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.place import DEFAULT_LEAST_FREE, Room
from outlast.storage.sqlite.refusals import dead, forked, not_open
from outlast.storage.sqlite.sql import SqlValue, many, one

__all__ = ["StoreAccess"]

T = TypeVar("T")

_open_stores: weakref.WeakSet[StoreAccess] = weakref.WeakSet()
# What a forked child inherited, by path. It must not close it, so it keeps it to its end. Nor must it open these files
# again: the SQLite in it believes that it holds the locks that its parent holds.
_inherited: dict[str, Machinery] = {}


class StoreAccess:
    """The life of a store in this process, and the ways of asking it; what is asked is the store's own business."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Synchronous = "full",
        allow_network_filesystem: bool = False,
        least_free: int = DEFAULT_LEAST_FREE,
        seam: CommitSeam | None = None,
    ) -> None:
        # Resolved, because the locks lie beside the file: two names of it must lead to the same locks.
        self._path = os.path.realpath(path)
        self._synchronous: Synchronous = durability
        self._allow_network_filesystem = allow_network_filesystem
        self._seam = seam
        self._room = Room(self._path, least_free=least_free)
        self._machinery: Machinery | None = None
        self._refusal: Callable[[], OutlastError] | None = not_open
        self._claims = 0  # so that whom an odd place goes to changes from claim to claim

    @property
    def path(self) -> str:
        """Where the file is, resolved."""
        return self._path

    @property
    def durability(self) -> Durability:
        """What a commit waits for."""
        return Durability(survives_power_loss=self._synchronous == "full")

    async def open(self) -> None:
        """Make the store ready; creates what is missing and brings an older schema up to date. Idempotent.

        Raises:
            ConfigurationError: The path or the SQLite library cannot be used; do what the message says.
            SchemaVersionError: Not an Outlast store, or a newer one; choose another path or update Outlast.
            NetworkFilesystemError: Move the file to a local disk.
            StoreUnavailableError: It did not answer; try again.
            ForkedAppError: The file was open in the parent when this process was forked; open it after forking only.
        """
        if self._machinery is not None:
            return
        if self._path in _inherited:
            raise forked()
        require_sqlite()
        self._machinery = await start(
            self._path,
            synchronous=self._synchronous,
            allow_network_filesystem=self._allow_network_filesystem,
            seam=self._seam,
            on_death=self._die,
        )
        self._refusal = None
        _open_stores.add(self)

    async def close(self) -> None:
        """Wait for the writes that were handed over, then let go of everything. Idempotent."""
        machinery, self._machinery = self._machinery, None
        self._refusal = self._refusal or not_open
        _open_stores.discard(self)
        if machinery is not None:
            await machinery.close()

    def has_changed(self) -> bool:
        """Say whether another process may have written since the last call."""
        return self._usable().writer.has_changed()

    def _usable(self) -> Machinery:
        if self._refusal is not None:
            raise self._refusal()
        assert self._machinery is not None  # noqa: S101 - open exactly while nothing is refused
        return self._machinery

    def _die(self) -> None:
        self._refusal = dead
        if self._machinery is not None:
            self._machinery.kill()

    def let_go_in_child(self) -> None:
        """Refuse everything in a forked child, and touch nothing of the parent's."""
        self._refusal = forked
        if self._machinery is not None:
            _inherited[self._path] = self._machinery
            self._machinery = None

    def _submit(self, write: NewRun | Append, settle: Settle) -> None:
        if self._refusal is forked:
            raise forked()  # the loop of the parent does not turn here: nobody could be told
        if self._refusal is not None:
            asyncio.get_running_loop().call_soon(settle, self._refusal())
        else:
            self._usable().writer.submit(write, settle)

    async def _read_earliest(self, name: str, graphs: Sequence[GraphKey]) -> int | None:
        if not graphs:
            return None
        rows = await self._read(many(name, len(graphs)), tuple(graphs))
        earliest: int | None = rows[0][0]
        return earliest

    async def _read_one(self, name: str, *values: str | int) -> tuple[Any, ...] | None:
        rows = await self._read_all(name, *values)
        return rows[0] if rows else None

    async def _read_all(self, name: str, *values: str | int) -> list[tuple[Any, ...]]:
        return await self._read(one(name), values)

    async def _read(self, statement: str, values: tuple[SqlValue, ...]) -> list[tuple[Any, ...]]:
        return await self._usable().readers.read(lambda connection: connection.execute(statement, values).fetchall())

    async def _perform(self, operation: Operation[T]) -> T:
        """Hand an operation to the writer, in line with everything else, and wait for its answer."""
        writer = self._usable().writer
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def take_back(outcome: T) -> None:  # whoever asked does not wait any more
            if (undo := operation.undo(outcome)) is not None:
                writer.submit(undo, _ignore)

        def settle(outcome: T | OutlastError) -> None:
            if isinstance(outcome, OutlastError):
                if not future.done():
                    future.set_exception(outcome)
            elif not future.done():
                future.set_result(outcome)
            else:
                take_back(outcome)

        writer.submit(operation, settle)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and future.exception() is None:  # between the answer and the turn to take it in
                take_back(future.result())
            raise


def _ignore(outcome: object) -> None:
    pass


def _let_go_in_child() -> None:
    for store in list(_open_stores):
        store.let_go_in_child()


os.register_at_fork(after_in_child=_let_go_in_child)
