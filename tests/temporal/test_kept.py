"""A schedule as the fold of what reached its keeper (rule 16.2): it comes to what the same changes are in a store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.status import RunStatus
from outlast.engines.temporal.kept import CHANGE, DONE, Done, Kept, PlannedChange, key_of, place_of
from outlast.engines.temporal.packing import LARGEST_MESSAGE, UnknownMessageError, pack
from outlast.errors import RunExistsError
from outlast.storage import scheduling
from outlast.storage.base import GraphKey, NewRun, Receipt, RunKey
from outlast.storage.keys import ScheduleKey
from outlast.storage.memory.scheduling import ScheduleTable
from outlast.storage.scheduling import (
    KEPT_TRIGGERS,
    NewSchedule,
    Outcome,
    ScheduleChange,
    TriggerQuery,
    TriggerRow,
)

FEW = 6
"""How many triggers are kept in tests that make them one by one."""
NEW = NewSchedule("daily", "orders", True, "active", 5, b'{"every":1}', b"{}", 1)
KEY = key_of("0" * 32, "daily")
KEPT = Kept.of(NEW)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(scheduling, "KEPT_TRIGGERS", FEW)
        yield


def trigger(number: int, outcome: Outcome, *, run_id: str | None = None, at_ms: int = 0) -> TriggerRow:
    return TriggerRow(number, "schedule", 10 * number, 10 * number, 1, at_ms, outcome, run_id)


def change(version: int, **what: Any) -> ScheduleChange:
    given = {"status": "active", "due_at_ms": 7, "memory": b"[]", "at_ms": 9, **what}
    return ScheduleChange(key=ScheduleKey(1), version=version, **given)


def run_of(run_id: str) -> NewRun:
    return NewRun(run_id, "orders", GraphKey(0), None, 0, RunStatus.PENDING, None, [])


def take(kept: Kept, what: ScheduleChange, change_id: str = "c") -> None:
    kept.take(CHANGE, PlannedChange(change_id, what).to_bytes())


def shown(kept: Kept) -> list[TriggerRow]:
    return TriggerQuery(KEY, limit=2 * KEPT_TRIGGERS).select(kept.triggers.values())


@dataclass
class Outside:
    """What keepers find outside: the runs that there are, and those that were asked to cancel."""

    runs: set[str] = field(default_factory=set[str])
    canceled: set[str] = field(default_factory=set[str])

    def start(self, trigger: TriggerRow) -> TriggerRow:
        if trigger.run_id in self.runs:
            return trigger.taken()
        self.runs.add(str(trigger.run_id))
        return trigger


class Pair:
    """The same schedule in a store and with a keeper."""

    def __init__(self) -> None:
        self.stored, self.outside = Outside(), Outside()
        self.table = ScheduleTable(self._insert, lambda _: cast("Any", RUNNING), self._post)
        self.table.insert(NEW)
        self.kept = Kept.from_bytes(Kept.of(NEW).to_bytes(most=0), KEY)
        self.began = self.kept.to_bytes(most=LARGEST_MESSAGE)
        self.signals: list[tuple[str, bytes]] = []
        self.queued: list[int] = []
        self.plans: dict[int, bytes] = {}

    def _insert(self, run: NewRun) -> Receipt | RunExistsError:
        if run.run_id in self.stored.runs:
            return RunExistsError(run.run_id)
        self.stored.runs.add(run.run_id)
        return Receipt(RunKey(1), 1, False)

    def _post(self, run_id: str, *_: object) -> None:
        self.stored.canceled.add(run_id)

    @property
    def row(self) -> scheduling.ScheduleRow:
        row = self.table.find("daily")
        assert row is not None
        return row

    def signal(self, name: str, message: bytes) -> None:
        self.signals.append((name, message))
        self.kept.take(name, message)

    def change(self, what: ScheduleChange) -> None:
        [was_changed] = self.table.change([what])
        before = self.kept.row.version
        self.signal(CHANGE, PlannedChange(f"to {what.version + 1}", replace(what, runs=())).to_bytes())
        assert (self.kept.row.version > before) is was_changed
        if was_changed:
            plan = self.kept.row.plan
            self.plans |= {each.number: plan for each in what.triggers if each.outcome == "fired"}

    def settle(self, most: int) -> None:
        """Start some of the runs that were claimed, as a worker does that may die at any time."""
        begun = list(self.kept.beginnings.values())[:most]
        for each in begun:
            plan = self.kept.row.plan if each.plan is None else each.plan
            assert plan == self.plans[each.trigger.number]
        cancels = list(self.kept.cancels)[:most]
        self.outside.canceled.update(cancels)
        done = Done([self.outside.start(each.trigger) for each in begun], cancels)
        self.signal(DONE, done.to_bytes())

    def move(self) -> None:
        """Go on in another workflow."""
        if self.kept.is_settled:
            self.began = self.kept.to_bytes(most=LARGEST_MESSAGE)
            self.signals.clear()
            assert Kept.from_bytes(self.began, KEY) == self.kept
            self.kept = Kept.from_bytes(self.began, KEY)

    def check(self) -> None:
        row = self.row
        assert self.kept.row == replace(row, key=KEY)
        stored = TriggerQuery(row.key, limit=FEW).select(self.table.triggers_of(row.key))
        waiting = {each.number for each in stored} & self.kept.beginnings.keys()
        assert [each for each in shown(self.kept) if each.number not in waiting] == [
            each for each in stored if each.number not in waiting
        ]
        read = Kept.from_bytes(self.began, KEY)
        for signal in self.signals:
            read.take(*signal)
        assert read == self.kept


RUNNING = SimpleNamespace(status=RunStatus.RUNNING, execution=0)
RUNS = st.sampled_from([f"run-{number}" for number in range(12)])
OUTCOMES = st.sampled_from(["fired", "queued", "skipped", "failed"])


def draw_change(draw: st.DrawFn, pair: Pair) -> ScheduleChange:
    row, triggers, runs = pair.row, list[TriggerRow](), list[NewRun]()
    released = draw(st.lists(st.sampled_from(pair.queued), unique=True, max_size=2)) if pair.queued else []
    fresh = range(row.last_number + 1, row.last_number + 1 + draw(st.integers(0, 3)))
    version = row.version - draw(st.sampled_from([0, 0, 0, 0, 1, -1]))
    for number in [*released, *fresh]:
        outcome = draw(OUTCOMES if number in fresh else OUTCOMES.filter(lambda each: each != "queued"))
        run_id = draw(RUNS.filter(lambda each: each not in [run.run_id for run in runs]))
        triggers.append(trigger(number, outcome, run_id=run_id if outcome == "fired" else None, at_ms=number))
        if outcome == "fired":
            runs.append(run_of(run_id))
    if version == row.version:
        pair.queued = [each for each in pair.queued if each not in released]
        pair.queued += [each.number for each in triggers if each.outcome == "queued"]
    return ScheduleChange(
        key=row.key,
        version=version,
        status=draw(st.sampled_from(["active", "paused", "ended"])),
        due_at_ms=draw(st.none() | st.integers(0, 2**53)),
        memory=draw(st.sampled_from([b"{}", b'{"a":[1,"\\u00e9"]}'])),
        at_ms=draw(st.integers(0, 100)),
        is_waiting=draw(st.booleans()),
        plan=None if triggers else draw(st.sampled_from([None, b'{"every":2}', b'{"every":3}'])),
        is_edit=draw(st.booleans()),
        triggers=triggers,
        runs=runs,
        cancels=draw(st.lists(RUNS, max_size=2)),
    )


@st.composite
def lives(draw: st.DrawFn) -> Pair:
    """Draw a schedule that was changed, settled and moved at random; it is compared after each step."""
    pair = Pair()
    for what in draw(st.lists(st.sampled_from(["change", "change", "settle", "move"]), max_size=40)):
        if what == "change":
            pair.change(draw_change(draw, pair))
        elif what == "settle":
            pair.settle(draw(st.integers(0, 3)))
        else:
            pair.move()
        pair.check()
    return pair


@pytest.mark.usefixtures("few")
def test_changes_mean_what_they_mean_in_a_store() -> None:
    """16.2: versions, triggers, runs, cancels; whoever folds what reached the keeper reads what the keeper has."""

    @given(lives())
    def compare(pair: Pair) -> None:
        pair.settle(most=100)
        pair.check()

        assert pair.kept.is_settled
        assert pair.outside == pair.stored

    compare()


@given(st.binary(min_size=16, max_size=16), st.text(min_size=1))
def test_number_of_a_schedule_says_its_id(first_run: bytes, schedule_id: str) -> None:
    """Of two schedules that had an id one after the other, each has a number of its own."""
    schedule_id = schedule_id.encode(errors="ignore").decode()
    part = str(uuid.UUID(bytes=first_run))

    assert place_of(key_of(part, schedule_id)) == (part.replace("-", ""), schedule_id)
    assert key_of(part, schedule_id) != key_of(str(uuid.uuid4()), schedule_id)


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda each: str(each).encode()))
def test_what_is_no_message_changes_nothing(message: bytes) -> None:
    """Nobody stops a schedule by a signal that it cannot read."""
    kept = Kept.of(NEW)

    for name in (CHANGE, DONE, "somebody's"):
        kept.take(name, message)

    assert kept == KEPT


@pytest.mark.parametrize("lacking", ["change_id", "version", "triggers", "cancels", "at_ms", "is_edit"])
def test_message_that_lacks_something_changes_nothing(lacking: str) -> None:
    said: dict[str, Any] = {
        "change_id": "c",
        "version": 1,
        "status": "paused",
        "due_at_ms": None,
        "at_ms": 1,
        "is_waiting": False,
        "has_plan": False,
        "is_edit": False,
        "triggers": [],
        "cancels": [],
    }
    kept = Kept.of(NEW)

    kept.take(CHANGE, pack({name: value for name, value in said.items() if name != lacking}, b"{}"))
    assert kept == KEPT
    kept.take(CHANGE, pack(said, b"{}"))
    assert kept.row.status == "paused"


def test_message_of_a_newer_version_waits_for_a_worker_that_reads_it() -> None:
    kept = Kept.of(NEW)

    with pytest.raises(UnknownMessageError, match="version 2 needs a newer outlast"):
        kept.take(CHANGE, b'[{"v":2},{}]')

    assert kept == KEPT


def test_of_several_changes_of_one_version_the_first_counts() -> None:
    """16.2: this is the compare-and-set; who was first, the ids of the changes say."""
    kept = Kept.of(NEW)

    take(kept, change(1, status="paused"), "first")
    take(kept, change(1, status="ended"), "second")

    assert (kept.row.version, kept.row.status, kept.changes) == (2, "paused", {2: "first"})


def test_the_latest_hundred_changes_are_told_from_one_another() -> None:
    kept = Kept.of(NEW)

    for version in range(1, 151):
        take(kept, change(version), f"to {version + 1}")

    assert kept.changes == {version: f"to {version}" for version in range(52, 152)}
    assert Kept.from_bytes(kept.to_bytes(most=LARGEST_MESSAGE), KEY).changes == kept.changes


def test_firing_is_shown_when_its_run_is_there() -> None:
    """Until then it is still to be done, also by whoever reads the history after its claimer died."""
    kept = Kept.of(NEW)
    fired = trigger(1, "fired", run_id="run")

    take(kept, change(1, triggers=[fired]))
    assert (shown(kept), [each.trigger for each in kept.beginnings.values()]) == ([], [fired])
    for _ in range(2):  # whoever looks twice says it twice
        kept.take(DONE, Done([fired.taken()]).to_bytes())
    kept.take(DONE, Done([trigger(9, "fired", run_id="never claimed")]).to_bytes())

    assert (shown(kept), kept.is_settled) == ([fired.taken()], True)


def test_run_that_was_claimed_is_started_with_what_the_schedule_said_then() -> None:
    kept = Kept.of(NEW)

    take(kept, change(1, triggers=[trigger(1, "fired", run_id="a")]))
    take(kept, change(2, plan=b'"second"'))
    take(kept, change(3, triggers=[trigger(2, "fired", run_id="b")]))
    take(kept, change(4, plan=b'"third"'))

    assert [each.plan for each in kept.beginnings.values()] == [NEW.plan, b'"second"']


def test_triggers_that_do_not_fit_are_left_behind_the_oldest_first() -> None:
    """A schedule goes on whatever its history says of skipped times; all but its triggers goes along."""
    kept = Kept.of(NEW)
    reasons = [replace(trigger(number, "failed"), reason="x" * 10_000) for number in range(1, 301)]
    take(kept, change(1, triggers=reasons))

    message = kept.to_bytes(most=LARGEST_MESSAGE)
    moved = Kept.from_bytes(message, KEY)

    assert LARGEST_MESSAGE / 4 < len(message) <= LARGEST_MESSAGE
    assert shown(moved) == shown(kept)[: len(moved.triggers)]
    assert (len(kept.triggers), moved.row, moved.changes) == (300, replace(kept.row, key=KEY), kept.changes)
    assert not Kept.from_bytes(kept.to_bytes(most=0), KEY).triggers
