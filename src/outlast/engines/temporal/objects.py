"""Where values lie that are too large for a server of Temporal: the port, and a small implementation of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Protocol

__all__ = ["DirectoryObjectStore", "ObjectStore"]


class ObjectStore(Protocol):
    """Keeps objects under keys of the form `folder/name`; both are lower-case hexadecimal digits.

    All workers, and all processes that read runs, must reach the same one. Whatever a method raises counts as an
    outage: a run that needs the object waits, and a reader gets `StoreUnavailableError`.
    """

    async def put(self, key: str, value: bytes) -> None:
        """Keep an object.

        Guarantees:
            It is durable when this returns, and then `find` gives it in every process. The same key always comes with
            the same value, so that putting it twice, also at one time, leaves one object.
        """
        ...

    async def find(self, key: str) -> bytes | None:
        """Return an object, or None if there is none. None is final: the value is taken for lost."""
        ...

    async def delete(self, folder: str) -> None:
        """Delete all objects of a folder; it is fine if there are none."""
        ...


class DirectoryObjectStore:
    """Objects as files, one directory for each folder: on a disk that all processes share.

    Nothing is removed by itself but the objects of a run that is deleted. Files that were not changed for longer than
    runs take and are kept by their namespace can be removed.
    """

    def __init__(self, path: str | Path) -> None:
        """Name the directory; it is made when it is needed."""
        self._path = Path(path)

    async def put(self, key: str, value: bytes) -> None:
        """Write a file; other processes see it whole or not at all."""
        await asyncio.to_thread(self._put, self._path / key, value)

    async def find(self, key: str) -> bytes | None:
        """Read a file."""
        return await asyncio.to_thread(self._find, self._path / key)

    async def delete(self, folder: str) -> None:
        """Remove the directory of a folder."""
        await asyncio.to_thread(shutil.rmtree, self._path / folder, ignore_errors=not (self._path / folder).exists())

    def _put(self, place: Path, value: bytes) -> None:
        if place.exists():
            with suppress(FileNotFoundError):  # else it was removed meanwhile
                os.utime(place)  # it counts as new for whoever removes what is old
                return
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".", delete=False) as file:
            written = Path(file.name)
            try:
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
                written.replace(place)
            except BaseException:
                written.unlink()
                raise
        _sync(place.parent)

    def _find(self, place: Path) -> bytes | None:
        try:
            return place.read_bytes()
        except FileNotFoundError:
            if not self._path.is_dir():
                raise  # the disk is not there: the object may be
            return None


def _sync(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
