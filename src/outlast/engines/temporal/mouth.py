"""What the bodies of one run say in this process, on its way into the history of the run (rules 14.1, 14.3, 19).

A body that is soon over sends what it said with its outcome, which costs nothing. What it says until then goes as
signals: each is one event of the history, and has the workflow called once, which is three more. So there are few of
them, and the fewer the longer it goes on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from temporalio.client import Client, WorkflowHandle

from outlast.core.chunk import StreamEntry
from outlast.engines.perform import DEFAULT_PAYLOAD_LIMIT
from outlast.engines.temporal.flow import SAID
from outlast.engines.temporal.messages import Task
from outlast.engines.temporal.past import Past
from outlast.engines.temporal.payloads import raw_value
from outlast.engines.temporal.rpc import translated
from outlast.engines.temporal.said import Said, Uttered
from outlast.engines.voice import Voice, entry_of
from outlast.errors import RunNotFoundError, StoreUnavailableError, StreamWriteError
from outlast.graph.saying import Saying

__all__ = ["Mouths", "Speaker"]

_log = logging.getLogger("outlast.worker")

_PAUSE: Final = 0.2
"""Seconds between two signals at least, unless much waits."""
_SHARE: Final = 1 / 500
"""The pause grows with the time for which is spoken: in a day there are some 4,000 signals."""
_BATCH_BYTES: Final = 256 * 1024
_BATCH_EVENTS: Final = 1_000
_MOST_SIGNALS: Final = 5_000
"""Of one process to one workflow, of which the server takes 10,000."""
_MOST_BYTES: Final = 16 * 1024 * 1024
"""The same in bytes: the server ends a workflow with a history of 50 MiB."""
_AGAIN: Final = 1.0
"""Seconds after which a signal is sent again that the server did not take."""


class Speaker:
    """One call of a body, which may say something."""

    def __init__(self, mouths: Mouths, task: Task, past: Past, run: tuple[str, str]) -> None:
        self.is_over = False
        """Whether nobody waits for it any more."""
        self.task = task
        """The call."""
        self.run = run
        """Ids of the workflow, and of the execution of it, that the call belongs to."""
        self._mouths = mouths
        self._past = past
        self._mouth: Mouth | None = None

    def say(self, saying: Saying) -> Awaitable[None]:
        """Take what the body says, in whatever thread.

        Raises:
            PayloadTooLargeError: It is larger than what may be recorded.
            StreamWriteError: It cannot be taken; the reason says why.
        """
        entry, payload = entry_of(
            self.task.path, self.task.attempt, saying, self._mouths.now_ms(), limit=self._mouths.limit
        )
        if self._mouth is None:
            self._mouth = self._mouths.open(self)
        return self._mouth.say(self, entry, payload)

    def uttered(self, entry: StreamEntry, payload: bytes | None) -> Uttered:
        """Return what travels of it."""
        return Uttered.of(entry, payload, restarts=self._past.restarts, crashes=self._past.crashes)

    async def finish(self) -> list[Uttered]:
        """Return what is to go with the outcome, when all else that was said is in the history."""
        self.is_over = True
        return [] if self._mouth is None else await self._mouth.finish(self)

    def leave(self) -> None:
        """Say nothing any more."""
        self.is_over = True
        if self._mouth is not None:
            self._mouths.leave(self, self._mouth)


class Mouths:
    """Those of the runs of which bodies in this process say something."""

    def __init__(self, client: Client, *, now_ms: Callable[[], int], most: int, limit: int) -> None:
        """Say how much may be said.

        Args:
            client: The server.
            now_ms: The time.
            most: How many events of a run there may be.
            limit: How large one of them may be.
        """
        self.now_ms = now_ms
        self.limit = min(limit, DEFAULT_PAYLOAD_LIMIT)
        self._client = client
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._opening = threading.Lock()
        self._mouths: dict[tuple[str, str], Mouth] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._mouths)

    def open(self, speaker: Speaker) -> Mouth:
        """Return the mouth of a run, for a call that begins to speak; called in whatever thread.

        Raises:
            StreamWriteError: The call is over.
        """
        with self._opening:
            if speaker.is_over:
                raise StreamWriteError(
                    speaker.task.path, "this attempt is over: nobody waits for what it says any more"
                )
            mouth = self._mouths.get(speaker.run)
            if mouth is None:
                workflow_id, part = speaker.run
                handle = self._client.get_workflow_handle(workflow_id, run_id=part)
                mouth = self._mouths[speaker.run] = Mouth(handle, self._loop, said=speaker.task.said, most=self._most)
            mouth.speakers[speaker.task.path] = speaker
            return mouth

    def leave(self, speaker: Speaker, mouth: Mouth) -> None:
        """Let go of a mouth with the last call that used it."""
        with self._opening:
            mouth.speakers.pop(speaker.task.path, None)
            if not mouth.speakers:
                self._mouths.pop(speaker.run, None)
                mouth.close()


class Mouth:
    """Sends what the bodies of one workflow say in this process, in order."""

    def __init__(
        self, handle: WorkflowHandle[Any, Any], loop: asyncio.AbstractEventLoop, *, said: int, most: int
    ) -> None:
        self.speakers: dict[str, Speaker] = {}
        """The calls that use it, by path."""
        self._handle = handle
        self._loop = loop
        self._source = uuid.uuid4().hex
        self._began = loop.time()
        self._signals = 0
        self._bytes = 0
        self._seq = 0
        self._sent = 0
        self._waiting: list[tuple[int, Uttered]] = []
        self._sending: asyncio.Task[None] | None = None
        self._turn = asyncio.Event()
        self._refusal: str | None = None
        self._voice = Voice(loop, record=self._record, flush=self._flush, flush_after=self._pause, said=said, most=most)

    def say(self, speaker: Speaker, entry: StreamEntry, payload: bytes | None) -> Awaitable[None]:
        """Queue what a body says.

        Raises:
            StreamWriteError: It cannot be taken; the reason says why.
        """
        if self._refusal is not None:
            raise StreamWriteError(entry.path, self._refusal)
        if self._signals >= _MOST_SIGNALS or self._bytes >= _MOST_BYTES:
            raise StreamWriteError(entry.path, "the history of the run takes no more of what its bodies say")
        return self._voice.put(speaker, entry, payload)

    async def finish(self, speaker: Speaker) -> list[Uttered]:
        """Send what waits, or return it if nothing is on its way, nobody else said any of it, and it is little.

        Raises:
            StreamWriteError: Something that was said is not taken.
        """
        self._voice.hand_over()
        waiting = [each for _, each in self._waiting]
        is_little = len(waiting) <= _BATCH_EVENTS and sum(each.size for each in waiting) <= _BATCH_BYTES
        is_ours = all(each.record.path == speaker.task.path for each in waiting)
        if self._sending is None and is_little and is_ours:
            self._waiting.clear()
            self._arrived(self._seq)
            return waiting
        last = self._seq
        self._send()
        while self._sent < last:
            await self._turn.wait()
        if self._refusal is not None:
            raise StreamWriteError(speaker.task.path, self._refusal)
        return []

    def close(self) -> None:
        """Let go of what nobody waits for any more."""
        self._voice.close()
        if self._sending is not None:
            self._sending.cancel()

    def _pause(self) -> float:
        return max(_PAUSE, (self._loop.time() - self._began) * _SHARE)

    def _record(self, entry: StreamEntry, payload: bytes | None) -> int:
        self._seq += 1
        uttered = self.speakers[entry.path].uttered(entry, payload)
        self._bytes += uttered.size
        self._waiting.append((self._seq, uttered))
        return self._seq

    def _flush(self) -> None:
        self._voice.hand_over()
        self._send()

    def _send(self) -> None:
        if self._sending is None and self._waiting:
            self._sending = self._loop.create_task(self._send_all(), name="outlast speech")

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = self._cut()
                if not await self._signal([each for _, each in batch]):
                    self._voice.close()
                    batch = list(self._waiting)
                del self._waiting[: len(batch)]
                self._arrived(batch[-1][0])
        finally:
            self._sending = None

    def _arrived(self, seq: int) -> None:
        self._sent = seq
        self._voice.became_durable(seq)
        self._turn.set()
        self._turn = asyncio.Event()

    def _cut(self) -> list[tuple[int, Uttered]]:
        size = 0
        for number, (_, uttered) in enumerate(self._waiting[:_BATCH_EVENTS]):
            size += uttered.size
            if size > _BATCH_BYTES:
                return self._waiting[: max(1, number)]
        return self._waiting[:_BATCH_EVENTS]

    async def _signal(self, uttered: list[Uttered]) -> bool:
        """Send a batch, as often as it takes; the workflow takes each once. False if it takes nothing any more."""
        message = Said(self._source, self._signals, uttered).to_bytes()
        self._signals += 1
        while True:
            try:
                with translated(self._handle.id):
                    await self._handle.signal(SAID, raw_value(message))
            except StoreUnavailableError as error:
                _log.warning("what bodies of '%s' say waits: %s", self._handle.id, error)
                await asyncio.sleep(_AGAIN)
            except RunNotFoundError:  # it has ended, or was ended: nobody waits for what becomes of its bodies
                return False
            except Exception as error:  # noqa: BLE001 - also what a data converter of the caller's raises
                self._refusal = f"what the bodies of the run say is not taken any more: {error}"
                return False
            else:
                return True
