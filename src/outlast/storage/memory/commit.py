"""How writes reach the database: all that were handed over in one turn of the loop are one transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, TypeVarTuple

from outlast.errors import OutlastError, StoreUnavailableError
from outlast.storage.base import Append, CommitSeam, Receipt, Settle
from outlast.storage.memory.database import MemoryDatabase

__all__ = ["Committer", "QueuedAppend", "QueuedWrite", "unwrap"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Queued(Protocol):
    """What the committer needs of a write, whatever its answer looks like."""

    def changes(self) -> bool: ...
    def apply(self) -> None: ...
    def refuse(self, error: OutlastError) -> None: ...
    def settle(self) -> None: ...


class QueuedWrite(Generic[T, *Ts]):
    """A write between the call that hands it over and its answer."""

    __slots__ = ("_apply", "_args", "_changes", "_outcome", "_settle")

    def __init__(
        self,
        changes: Callable[[*Ts], bool],
        apply: Callable[[*Ts], T | OutlastError],
        settle: Callable[[T | OutlastError], None],
        *args: *Ts,
    ) -> None:
        self._changes = changes
        self._apply = apply
        self._settle = settle
        self._args = args
        self._outcome: T | OutlastError

    def changes(self) -> bool:
        """Say whether it would change anything if it were applied now."""
        return self._changes(*self._args)

    def apply(self) -> None:
        """Do it."""
        self._outcome = self._apply(*self._args)

    def refuse(self, error: OutlastError) -> None:
        """Answer with an error instead."""
        self._outcome = error

    def settle(self) -> None:
        """Deliver the answer."""
        self._settle(self._outcome)


class QueuedAppend:
    """As `QueuedWrite`, for the one write that happens all the time: a single object instead of four."""

    __slots__ = ("_database", "_outcome", "_settle", "_write")

    def __init__(self, database: MemoryDatabase, write: Append, settle: Settle) -> None:
        self._database = database
        self._write = write
        self._settle = settle
        self._outcome: Receipt | OutlastError

    def changes(self) -> bool:
        """Say whether it would change anything if it were applied now."""
        return self._database.would_append(self._write)

    def apply(self) -> None:
        """Do it."""
        self._outcome = self._database.append(self._write)

    def refuse(self, error: OutlastError) -> None:
        """Answer with an error instead."""
        self._outcome = error

    def settle(self) -> None:
        """Deliver the answer."""
        self._settle(self._outcome)


class Committer:
    """Collects the writes of one store, commits them once per turn, and answers them in order."""

    def __init__(self, database: MemoryDatabase, seam: CommitSeam | None, on_death: Callable[[], None]) -> None:
        self._database = database
        self._seam = seam
        self._on_death = on_death
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[_Queued] = []
        self._answered: deque[_Queued] = deque()
        self.own_commits = 0
        """How many of the database's commits are of this store."""
        self.is_dead = False
        """Whether the seam stood for the death of the process."""

    def bind(self) -> None:
        """Work for the running loop from now on."""
        self._loop = asyncio.get_running_loop()

    def put(self, write: _Queued) -> None:
        """Queue a write for the commit at the end of this turn."""
        if not self._waiting:
            loop = self._loop if self._loop is not None else asyncio.get_running_loop()
            loop.call_soon(self._flush)
        self._waiting.append(write)

    async def ask(
        self,
        changes: Callable[[*Ts], bool],
        apply: Callable[[*Ts], T | OutlastError],
        *args: *Ts,
        undo: Callable[[T], object] | None = None,
    ) -> T:
        """Queue a write and wait for its answer.

        Args:
            changes: Whether it would change anything.
            apply: Does it.
            args: What both are given.
            undo: Takes it back, given its answer, if whoever asked is canceled meanwhile.
        """
        answer: asyncio.Future[T | OutlastError] = asyncio.get_running_loop().create_future()

        def take_back(outcome: T | OutlastError) -> None:
            if undo is not None and not isinstance(outcome, OutlastError):
                self.put(QueuedWrite(_always, undo, _ignore, outcome))

        def settle(outcome: T | OutlastError) -> None:
            if answer.done():  # whoever asked was canceled
                take_back(outcome)
            else:
                answer.set_result(outcome)

        self.put(QueuedWrite(changes, apply, settle, *args))
        try:
            outcome = await answer
        except asyncio.CancelledError:
            if not answer.cancelled():  # between the answer and the turn in which to take it
                take_back(answer.result())
            raise
        return unwrap(outcome)

    def commit(self, writes: Sequence[_Queued]) -> None:
        """Apply writes in one transaction; all of them are refused if it fails, and nothing is recorded.

        A fault in a write itself, which has no business to happen, comes too late for that: nothing here can be undone.
        Then what was applied before it stands and is answered so, of that write it is not known what is recorded, and
        those behind it are refused and not applied, because they may build on it.
        """
        with self._database.lock:
            try:
                self._transact(writes)
            except StoreUnavailableError as error:
                _refuse(writes, error)
            except Exception as error:  # noqa: BLE001 - nobody may wait for ever
                _refuse(writes, _faulty("nothing is recorded", error))

    def _transact(self, writes: Sequence[_Queued]) -> None:
        if self.is_dead:
            raise StoreUnavailableError("this store died at a commit; open another one")
        changes = _change_something(writes)
        if changes and self._seam is not None:
            self._pass_seam(self._seam.before_commit, is_lossless=False)
        for write in writes:
            try:
                write.apply()
            except Exception as error:  # noqa: BLE001 - nobody may wait for ever
                write.refuse(_faulty("it is not known what is recorded", error))
                behind = writes[writes.index(write) + 1 :]
                _refuse(behind, _faulty("in a write before this one, of which nothing is recorded", error))
                break
        if changes:
            self._database.commits += 1
            self.own_commits += 1
        if changes and self._seam is not None:
            self._pass_seam(self._seam.after_commit, is_lossless=True)

    def _pass_seam(self, pass_through: Callable[[], None], *, is_lossless: bool) -> None:
        try:
            pass_through()
        except BaseException as exc:  # the contract of the seam: anything may come
            if not isinstance(exc, Exception):
                self.is_dead = True
                self._on_death()
                raise StoreUnavailableError(
                    "the store died at this commit; the journal tells what is recorded"
                ) from exc
            if not is_lossless:  # a lost answer is looked up, and in memory the outcome is at hand
                raise StoreUnavailableError(f"the commit failed and nothing is recorded: {exc!r}") from exc

    def _flush(self) -> None:
        writes, self._waiting = self._waiting, []
        self.commit(writes)
        self._answered.extend(writes)
        self._settle()

    def _settle(self) -> None:
        """Answer in order. If a callback raises, the loop reports it and the others get their answers a turn later."""
        answered = self._answered
        try:
            while answered:
                answered.popleft().settle()
        finally:
            if answered:
                asyncio.get_running_loop().call_soon(self._settle)


def unwrap(outcome: T | OutlastError) -> T:
    """Return an answer, or raise what it was refused with."""
    if isinstance(outcome, OutlastError):
        raise outcome
    return outcome


def _always(_answer: object) -> bool:
    return True


def _ignore(_outcome: object) -> None:
    pass


def _refuse(writes: Sequence[_Queued], error: StoreUnavailableError) -> None:
    for write in writes:
        write.refuse(error)


def _faulty(consequence: str, error: Exception) -> StoreUnavailableError:
    refusal = StoreUnavailableError(f"a fault in the store, {consequence}: {error!r}")
    refusal.__cause__ = error  # it is handed over and not raised here
    return refusal


def _change_something(writes: Sequence[_Queued]) -> bool:
    """Say so of writes before they are applied: if none changes anything as things are, none does after the others."""
    for write in writes:  # noqa: SIM110 - `any` would close a generator that has not ended, at the price of an exception
        if write.changes():
            return True
    return False
