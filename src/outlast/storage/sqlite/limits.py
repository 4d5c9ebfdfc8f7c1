"""Limits as apps declare them, in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from outlast.storage.flow import Limit
from outlast.storage.sqlite.flow import SqlQueue
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.sql import one

__all__ = ["DeclareLimits"]


class DeclareLimits(Operation[None]):
    """Makes limits what an app says they are."""

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._limits = list(limits)

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write those that are new or changed; then whoever waits may go on."""
        changed = [connection.execute(one("declare_limit"), limit).rowcount for limit in self._limits]
        if any(changed):
            connection.execute(one("look_at_lanes"))

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Look whether they are as declared."""
        return set(self._limits) <= set(SqlQueue(connection).limits().values())
