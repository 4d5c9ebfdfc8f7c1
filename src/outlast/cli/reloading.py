"""A process that is started anew whenever Python files change."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from outlast.cli.signals import stop_signals

__all__ = ["keep_fresh", "read_times"]

_LOOK_EVERY: Final = 0.4
_LEFT_OUT: Final = (".", "__", "node_modules", "venv")
_PATIENCE_S: Final = 5.0
"""How long the old process may take to end before it is killed; nothing is lost by that."""


async def keep_fresh(command: Sequence[str], root: Path, *, say: Callable[[str], None]) -> None:
    """Run a command, again after each change of a Python file below a directory, until SIGINT or SIGTERM.

    A command that ends by itself, as one that cannot import the app, is started again with the next change. Its stdin
    ends when this process does, however that ends.
    """
    stop = asyncio.Event()
    with stop_signals(stop.set):
        while not stop.is_set():
            # A session of its own: Ctrl-C reaches this process alone, which passes it on once.
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, start_new_session=True
            )
            try:
                changed = await _until_change(read_times(root), root, stop)
                if changed:
                    say(f"{', '.join(changed[:3])} changed")
            finally:
                await _end(process)


async def _until_change(before: Mapping[Path, int], root: Path, stop: asyncio.Event) -> list[str]:
    """Wait for a change and return the names of the files; empty if it is to stop."""
    while True:
        try:
            async with asyncio.timeout(_LOOK_EVERY):
                await stop.wait()
        except TimeoutError:
            now = await asyncio.to_thread(read_times, root)
            if changed := sorted({path for path, _ in now.items() ^ before.items()}):
                return [str(path.relative_to(root)) for path in changed]
        else:
            return []


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()


def read_times(root: Path) -> dict[Path, int]:
    """Return when each Python file below a directory was changed last; hidden directories and caches are left out."""
    times: dict[Path, int] = {}
    for path in _python_files(root):
        try:
            times[path] = path.stat().st_mtime_ns
        except OSError:
            continue  # it went away meanwhile, which is a change that the next look sees
    return times


def _python_files(folder: Path) -> Iterator[Path]:
    try:
        children = sorted(folder.iterdir())
    except OSError:
        return
    for child in children:
        if child.suffix == ".py":
            yield child
        elif child.is_dir() and not child.is_symlink() and not child.name.startswith(_LEFT_OUT):
            yield from _python_files(child)
