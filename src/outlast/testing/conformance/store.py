"""The store contract as a test class: what `outlast.storage.base` guarantees, one test for each guarantee."""

from __future__ import annotations

from outlast.testing.conformance.claim import ClaimContract, NoticeContract
from outlast.testing.conformance.crash import CrashContract, TurnContract
from outlast.testing.conformance.ending import EndingContract, LateStartContract
from outlast.testing.conformance.flow import FlowContract
from outlast.testing.conformance.identity import IdentityContract
from outlast.testing.conformance.inbox import GraphContract, InboxContract
from outlast.testing.conformance.insertion import InsertContract, SettleContract
from outlast.testing.conformance.journal import AppendContract
from outlast.testing.conformance.keeping import DeleteContract, SweepContract
from outlast.testing.conformance.life import BurialContract, LifeContract
from outlast.testing.conformance.listing import ListContract
from outlast.testing.conformance.outbox import OutboxContract
from outlast.testing.conformance.reading import ReadContract
from outlast.testing.conformance.release import ReleaseContract
from outlast.testing.conformance.reopening import ReopeningContract
from outlast.testing.conformance.scheduling import ScheduleContract
from outlast.testing.conformance.seam import FailureContract, SeamContract
from outlast.testing.conformance.turns import RateContract, TurnsContract

__all__ = ["StoreContract"]


class StoreContract(
    InsertContract,
    SettleContract,
    IdentityContract,
    AppendContract,
    ReleaseContract,
    ReadContract,
    ListContract,
    DeleteContract,
    SweepContract,
    InboxContract,
    OutboxContract,
    EndingContract,
    LateStartContract,
    ReopeningContract,
    ScheduleContract,
    GraphContract,
    ClaimContract,
    NoticeContract,
    FlowContract,
    TurnsContract,
    RateContract,
    LifeContract,
    BurialContract,
    CrashContract,
    TurnContract,
    SeamContract,
    FailureContract,
):
    """What every `Store` guarantees. The docstring of a test quotes the guarantee that it checks.

    Subclass it in a test module, with a name that starts with `Test`, and say how to open a store::

        class TestMyStore(StoreContract):
            @pytest.fixture(autouse=True)
            def fresh(self, tmp_path: Path) -> None:
                self.path = tmp_path / "store"

            async def open_store(self, seam: CommitSeam | None = None) -> Store:
                store = MyStore(self.path, seam=seam)
                await store.open()
                return store

    Each call of `open_store` stands for one more process on the same data; the suite closes what it opened. pytest
    makes a new object of the class for every test, so that a plain fixture is enough to give every test data of its
    own. The tests are `async def`: run them with whichever plugin you use, such as anyio or pytest-asyncio.
    """
