"""What one transaction does: the fence, the new runs and the events of everything that waits, in few statements.

Few statements matter more than few rows: each gives up the interpreter's lock, and a busy event loop takes its time to
give it back. So nothing is asked that can be assumed and counted: the fence assumes that all writers still own their
runs, the inserts assume that all run ids are new, and only a wrong count leads to the exact way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

from outlast.core.record import Record
from outlast.core.status import RunStatus
from outlast.errors import OutlastError, RunExistsError, StaleRunError, StoreError
from outlast.storage.base import Append, InboxKey, NewRun, Receipt, RunKey
from outlast.storage.sqlite import clock, flow
from outlast.storage.sqlite.operation import Operation
from outlast.storage.sqlite.outbox import insert_deliveries
from outlast.storage.sqlite.premises import Premises
from outlast.storage.sqlite.sql import LARGEST_EXACT, NULL, SqlValue, chunks, many, one

__all__ = [
    "JSON",
    "EventRows",
    "Outcome",
    "Write",
    "add_events",
    "insert_events",
    "proves",
    "record",
    "row_of",
    "stands",
]

Write: TypeAlias = "NewRun | Append | Operation[Any]"
"""Anything that the writer records."""
Outcome: TypeAlias = "Receipt | OutlastError | object"
"""What a write settles with; an operation may answer anything."""

JSON: Final = b"\0"
"""First byte of a stored body or payload that is JSON."""

_JSON: Final = bytearray(JSON)
_STATUSES: Final = {status: status.value for status in RunStatus}  # `value` is two calls of Python each time

_STALE: Final = "another worker owns this run now, or its journal went on; what was to be written was dropped"


def record(connection: sqlite3.Connection, writes: Sequence[Write], premises: Premises) -> list[Outcome]:
    """Record writes inside a transaction that has written nothing yet. Return their outcomes if it commits.

    If it does not, the premises are to be forgotten.

    Operations come after the inserts and appends, as in the order of the writes (the writer cuts batches so).

    Raises:
        sqlite3.Error: The transaction has to be rolled back.
    """
    outcomes: list[Outcome] = [None] * len(writes)
    appends: list[tuple[int, Append]] = []
    inserts: list[tuple[int, NewRun]] = []
    operations: list[tuple[int, Operation[Any]]] = []
    for index, write in enumerate(writes):
        if isinstance(write, Append):
            appends.append((index, write))
        elif isinstance(write, NewRun):
            inserts.append((index, write))
        else:
            operations.append((index, write))
    events = EventRows([], [])
    if appends:
        _record_appends(connection, appends, outcomes, events)
    if inserts:
        _record_inserts(connection, inserts, outcomes, events, premises)
    insert_events(connection, events)
    if operations:
        premises.forget()  # some begin or end the lives of workers
    for index, operation in operations:
        outcomes[index] = operation.apply(connection)
    return outcomes


def proves(connection: sqlite3.Connection, write: Write, outcome: Outcome) -> bool:
    """Say whether the store shows that the transaction of a write was committed. True is certain, False is not.

    Only the owner of an epoch writes to a run, and it is the caller: as long as the epoch is the write's own, a head
    that moved was moved by this write.
    """
    if isinstance(write, Operation):
        return write.proves(connection)
    if not isinstance(outcome, Receipt):
        return False
    if isinstance(write, NewRun):
        identity = (write.run_id, outcome.run, write.created_at_ms, write.graph)
        return connection.execute(one("is_inserted"), identity).fetchone() is not None
    if not write.records:
        return False  # a row that looks as intended may have looked so before
    row = connection.execute(one("select_head"), (write.run,)).fetchone()
    return row is not None and row[0] == write.epoch and row[1] >= write.records[-1].seq


def stands(connection: sqlite3.Connection, write: Write) -> bool:
    """Say whether the answer to a write is true although nothing proves its own transaction."""
    return isinstance(write, Operation) and write.stands(connection)


# ---- Appends


def _record_appends(
    connection: sqlite3.Connection,
    appends: list[tuple[int, Append]],
    outcomes: list[Outcome],
    events: EventRows,
) -> None:
    writes = _merge([write for _, write in appends])
    if writes is None or not _fence(connection, writes):
        if writes is not None:  # the fence changed some of the rows
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
        appends, refused = _judge(connection, appends)
        for index in refused:
            outcomes[index] = StaleRunError(_STALE)
        writes = _merge([write for _, write in appends])
        if writes is None or not _fence(connection, writes):
            raise StoreError("the fence does not agree with the rows it was built from; the store was tampered with")
    taken: list[SqlValue] = []
    asking: list[Append] = []
    for write in writes:
        add_events(events, write.run, write.records)
        if write.outbox:
            asking.append(write)
        taken += write.inbox_taken
        if write.hold is not None:
            connection.execute(one("hold_run"), (write.hold, write.run))
        if write.is_limited:
            _rest(connection, write)
    if taken:
        _take_requests(connection, taken)
    if asking:
        insert_deliveries(connection, asking)
    for index, write in appends:
        outcomes[index] = Receipt(write.run, write.epoch, not write.is_released)


def _take_requests(connection: sqlite3.Connection, taken: list[SqlValue]) -> None:
    for start, size in chunks(len(taken)):
        connection.execute(many("take_inbox", size), taken[start : start + size])


def _rest(connection: sqlite3.Connection, write: Append) -> None:
    """Take its gates from a run that ends or rests. One that is given up at work keeps them: it only needs a worker."""
    if not write.is_released or write.status is RunStatus.RUNNING:
        return
    flow.let_go(connection, write.run)
    if not write.status.is_terminal:  # what is asked of a run that has ended needs no gate
        flow.place(connection, write.run)


def _fence(connection: sqlite3.Connection, writes: list[Append]) -> bool:
    """Change the rows of writes to distinct runs; say whether all of them still looked as their owners believe."""
    kept: list[SqlValue] = []
    released: list[SqlValue] = []
    for write in writes:
        records = write.records
        before: int | None = None
        after: int | None = None
        at_ms: int | None = None
        if records:
            before, last = records[0].seq - 1, records[-1]
            after, at_ms = last.seq, last.at_ms
        row = (write.run, write.owner, write.epoch, before, after, _STATUSES[write.status], write.execution, at_ms)
        if write.is_released:
            taken = "".join(f",{key}" for key in (*write.inbox_taken, *write.inbox_seen))
            released += (*row, NULL if write.ready_at_ms is None else write.ready_at_ms, f"{taken},")
        else:
            kept += row
    if len(writes) == 1:
        if kept:
            return connection.execute(one("advance_run"), kept[4:] + kept[:4]).rowcount == 1
        ready_at_ms = released[8]
        return connection.execute(one("release_run"), [*released[4:], ready_at_ms, *released[:4]]).rowcount == 1
    changed = _execute_rows(connection, "advance_runs", kept, 8)
    changed += _execute_rows(connection, "release_runs", released, 10)
    return changed == len(writes)


def _judge(
    connection: sqlite3.Connection, appends: list[tuple[int, Append]]
) -> tuple[list[tuple[int, Append]], list[int]]:
    """Compare writes with the rows one after the other, as if each were alone; return the good and the refused."""
    runs: list[SqlValue] = list({write.run: None for _, write in appends})
    states: dict[int, tuple[int | None, int, int]] = {}
    for start, size in chunks(len(runs)):
        rows = connection.execute(many("select_heads", size), runs[start : start + size])
        states.update((run, (owner, epoch, head)) for run, owner, epoch, head in rows.fetchall())
    accepted: list[tuple[int, Append]] = []
    refused: list[int] = []
    for index, write in appends:
        owner, epoch, head = states.get(write.run, (None, -1, 0))
        records = write.records
        if owner == write.owner and epoch == write.epoch and not (records and records[0].seq != head + 1):
            accepted.append((index, write))
            head = records[-1].seq if records else head
            states[write.run] = (None if write.is_released else owner, epoch, head)
        else:
            refused.append(index)
    return accepted, refused


def _merge(writes: list[Append]) -> list[Append] | None:
    """Make one write of all to the same run; None if some do not follow from the ones before them."""
    if len(writes) == 1:
        return writes
    groups: dict[RunKey, list[Append]] = {}
    for write in writes:
        group = groups.get(write.run)
        if group is None:
            groups[write.run] = [write]
        else:
            group.append(write)
    if len(groups) == len(writes):
        return writes
    merged: list[Append] = []
    for group in groups.values():
        joined = _join(group) if len(group) > 1 else group[0]
        if joined is None:
            return None
        merged.append(joined)
    return merged


def _join(group: list[Append]) -> Append | None:
    """Make one write of several to one run; None unless each begins where the one before it left the run."""
    first, last = group[0], group[-1]
    records: list[Record] = []
    taken: list[InboxKey] = []
    if any(write.is_released for write in group[:-1]):
        return None
    for write in group:
        if write.owner != first.owner or write.epoch != first.epoch:
            return None
        if records and write.records and write.records[0].seq != records[-1].seq + 1:
            return None
        records += write.records
        taken += write.inbox_taken
    outbox = [each for write in group for each in write.outbox]
    hold = next((write.hold for write in reversed(group) if write.records or write.hold is not None), None)
    return replace(last, records=records, inbox_taken=taken, outbox=outbox, hold=hold)


# ---- Inserts


def _record_inserts(
    connection: sqlite3.Connection,
    inserts: list[tuple[int, NewRun]],
    outcomes: list[Outcome],
    events: EventRows,
    premises: Premises,
) -> None:
    premises.bring_up_to_date(connection)
    last, now_ns = premises.last, clock.now_ns()
    rows: list[SqlValue] = []
    limited: list[SqlValue] = []
    numbered: dict[str, tuple[int, int, bool, NewRun]] = {}
    for index, run in inserts:
        if run.run_id in numbered:
            outcomes[index] = RunExistsError(run.run_id)
            continue
        key = last + len(numbered) + 1
        is_owned = run.flow is None and premises.is_alive(run.owner, now_ns)
        numbered[run.run_id] = (key, index, is_owned, run)
        if run.flow is None:
            rows += row_of(run, key, is_owned=is_owned)
        else:
            limited += (*row_of(run, key, is_owned=False), flow.lane_of_new(connection, run, run.flow))
    premises.count(len(numbered))
    inserted_rows = _execute_rows(connection, "insert_runs", rows, 13)
    if limited:
        inserted_rows += _execute_rows(connection, "insert_limited_runs", limited, 14)
    if inserted_rows != len(numbered):
        premises.forget()
        inserted = {key for (key,) in connection.execute(one("select_runs_over"), (last,)).fetchall()}
    else:
        inserted = None
    special: list[tuple[int, NewRun]] = []
    for key, index, is_owned, run in numbered.values():
        if inserted is not None and key not in inserted:
            outcomes[index] = RunExistsError(run.run_id)
            continue
        outcomes[index] = Receipt(RunKey(key), int(is_owned), is_owned)
        add_events(events, key, run.records)
        if run.tags or run.start_by_ms is not None or run.flow is not None:
            special.append((key, run))
    if special:
        _record_beside(connection, special)


def _record_beside(connection: sqlite3.Connection, runs: Sequence[tuple[int, NewRun]]) -> None:
    """Record what only some of the new runs have: tags, a deadline of their start, flow control."""
    tags: list[SqlValue] = []
    deadlines: list[SqlValue] = []
    for key, run in runs:
        for tag in run.tags:
            tags += (key, tag)
        if run.start_by_ms is not None:
            deadlines += (run.start_by_ms, key, run.records[-1].seq)
        if run.flow is not None:
            flow.begin(connection, key, run.flow)
    _execute_rows(connection, "insert_tags", tags, 2)
    _execute_rows(connection, "insert_start_deadlines", deadlines, 3)


def row_of(run: NewRun, key: int, *, is_owned: bool) -> tuple[SqlValue, ...]:
    """Return the values of a new run for `insert_runs`."""
    last = run.records[-1]
    return (
        key,
        run.run_id,
        run.workflow_id,
        run.graph,
        NULL if run.resource_id is None else run.resource_id,
        _STATUSES[run.status],
        last.execution,
        1 if is_owned else 0,
        NULL if run.owner is None or not is_owned else run.owner,
        last.seq,
        NULL if is_owned else run.created_at_ms if run.ready_at_ms is None else run.ready_at_ms,
        run.created_at_ms,
        last.at_ms,
    )


# ---- Rows


class EventRows(NamedTuple):
    """Rows of the two tables of events, each as one flat list of values."""

    facts: list[SqlValue]
    """Rows of `events`."""
    said: list[SqlValue]
    """Rows of `stream_events`."""


def add_events(events: EventRows, run: int, records: Sequence[Record]) -> None:
    """Add the rows of events to those that `insert_events` writes."""
    facts, said = events
    for seq, execution, is_fact, kind, version, at_ms, path, attempt, body, payload in records:
        rows = facts if is_fact else said
        rows += (
            run,
            seq,
            execution,
            kind,
            version,
            at_ms,
            path,
            attempt,
            NULL if body is None else _JSON + body,
            NULL if payload is None else _JSON + payload,
        )


def insert_events(connection: sqlite3.Connection, events: EventRows) -> None:
    """Write rows of events; what there is none of costs no statement."""
    _execute_rows(connection, "insert_events", events.facts, 10)
    if events.said:
        _execute_rows(connection, "insert_stream_events", events.said, 10)


def _execute_rows(connection: sqlite3.Connection, name: str, values: list[SqlValue], columns: int) -> int:
    """Run a multi-row statement over a flat list of values; return how many rows it changed."""
    rows = len(values) // columns
    if rows <= LARGEST_EXACT:
        return connection.execute(many(name, rows), values).rowcount if rows else 0
    changed = 0
    for start, size in chunks(rows):
        changed += connection.execute(many(name, size), values[start * columns : (start + size) * columns]).rowcount
    return changed
