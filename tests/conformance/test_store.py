"""The store contract, over every store in this repository."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import pytest

from outlast.storage.base import CommitSeam, Store
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.storage.sqlite import SqliteStore
from outlast.testing.conformance.store import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture(autouse=True)
    def fresh(self) -> None:
        self.database = MemoryDatabase()

    async def open_store(self, seam: CommitSeam | None = None) -> Store:
        store = MemoryStore(self.database, seam=seam)
        await store.open()
        return store


class SqliteContract(StoreContract):
    durability: ClassVar[Literal["full", "normal"]]

    @pytest.fixture(autouse=True)
    def fresh(self, tmp_path: Path) -> None:
        self.path = tmp_path / "store.db"

    async def open_store(self, seam: CommitSeam | None = None) -> Store:
        store = SqliteStore(self.path, durability=self.durability, allow_network_filesystem=True, seam=seam)
        await store.open()
        return store


@pytest.mark.slow
class TestSqliteStoreThatSurvivesPowerLoss(SqliteContract):
    durability = "full"


@pytest.mark.slow
class TestSqliteStoreThatSurvivesKilledProcesses(SqliteContract):
    durability = "normal"
