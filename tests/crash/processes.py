"""The side of the test: real processes, forked by a nursery, spoken to line by line, and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Nursery", "WorkerProcess"]

Event = dict[str, Any]


class WorkerProcess:
    """A process with an app. `async with nursery.open(path) as process`; if still alive at the end, it is killed."""

    def __init__(self, channel: socket.socket, errors: Path, options: dict[str, Any]) -> None:
        self._channel = channel
        self._errors = errors
        self._options = options
        self._seen: list[Event] = []
        self.pid = 0

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(sock=self._channel)
        self._send(self._options)
        self.pid = (await self.event("open"))["pid"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    def do(self, verb: str, **options: object) -> None:
        """Give a command, without waiting for anything."""
        self._send({"do": verb, **options})

    async def event(self, name: str, **details: object) -> Event:
        """Wait for an event with these details; other events stay for later calls."""
        return await self.event_of((name,), **details)

    async def event_of(self, names: tuple[str, ...], **details: object) -> Event:
        """Wait for an event with one of several names."""

        def fits(event: Event) -> bool:
            return event["event"] in names and details.items() <= event.items()

        for event in self._seen:
            if fits(event):
                self._seen.remove(event)
                return event
        while True:
            event = await self._next()
            if event is None:
                raise AssertionError(f"ended before {names} {details}; seen {self._seen}; stderr:\n{self.stderr()}")
            if fits(event):
                return event
            if event["event"] == "error" and "error" not in names:  # else it is for another of these calls
                raise AssertionError(f"{event} while waiting for {names} {details}")
            self._seen.append(event)

    async def end(self) -> list[Event]:
        """Wait until it ended by itself, and return what it had reported and nobody waited for."""
        while (event := await self._next()) is not None:
            self._seen.append(event)
        self.pid = 0
        return self._seen

    async def close(self) -> None:
        """Leave `async with Outlast(...)` and wait for it."""
        self.do("close")
        await self.event("closed")

    async def kill(self) -> list[Event]:
        """Kill it with SIGKILL, wait until the kernel let go of everything, and return what it had still reported."""
        if self.pid:
            with suppress(ProcessLookupError):  # it may have ended by itself
                self.signal(signal.SIGKILL)
        await self.end()
        self._writer.close()
        return self._seen

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stderr(self) -> str:
        return self._errors.read_text()

    def _send(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _next(self) -> Event | None:
        try:
            line = await self._reader.readline()
        except ConnectionError:  # it died, perhaps before it was told something
            return None
        return json.loads(line) if line.endswith(b"\n") else None


class Nursery:
    """Makes processes quickly: one interpreter has imported everything and forks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = count(1)
        self._control, theirs = socket.socketpair()
        with theirs:
            script = str(Path(__file__).with_name("worker_process.py"))
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", script, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )

    def open(self, path: Path, **options: object) -> WorkerProcess:
        """Describe a process that opens an app on a file; it begins with `async with`."""
        channel, theirs = socket.socketpair()
        errors = self._directory / f"stderr-{next(self._numbers)}"
        with theirs, errors.open("wb") as file:
            socket.send_fds(self._control, [b"!"], [theirs.fileno(), file.fileno()])
        return WorkerProcess(channel, errors, {"path": str(path), **options})

    def close(self) -> None:
        self._control.close()
        self._process.wait(timeout=10)
