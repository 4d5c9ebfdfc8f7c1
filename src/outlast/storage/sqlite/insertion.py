"""Recording a run by an operation: a start under an idempotency key has to look before it writes."""

from __future__ import annotations

import sqlite3

from outlast.core.status import RunStatus
from outlast.errors import OutlastError, RunExistsError
from outlast.storage.base import NewRun
from outlast.storage.identity import Admission, Held, Identity, judge, request_to_cancel
from outlast.storage.sqlite import clock, flow
from outlast.storage.sqlite.keeping import DELETED
from outlast.storage.sqlite.operation import Operation, Post
from outlast.storage.sqlite.recording import EventRows, add_events, insert_events, row_of
from outlast.storage.sqlite.sql import many, one

__all__ = ["InsertOnce", "insert_pending"]


class InsertOnce(Operation["Admission | OutlastError"]):
    """Records a run unless its key stands for another one. Answers with the run of the key, or a refusal."""

    def __init__(self, run: NewRun, identity: Identity) -> None:
        self._run = run
        self._identity = identity
        self._is_new = False

    def apply(self, connection: sqlite3.Connection) -> Admission | OutlastError:
        """Look who holds the key, and do what follows from it."""
        self._is_new = False
        run, wanted = self._run, self._identity
        row = connection.execute(one("find_identity"), (wanted.scope, wanted.key)).fetchone()
        held = None if row is None else Held(row[0], None if row[1] == DELETED else RunStatus(row[1]), *row[3:])
        verdict = judge(held, wanted, run.created_at_ms)
        if isinstance(verdict, OutlastError):
            return verdict
        if held is not None and verdict == "return":
            return Admission(held.run_id, is_new=False)
        key = insert_pending(connection, run)
        if key is None:
            return RunExistsError(run.run_id)
        expires_at_ms = run.created_at_ms + wanted.keep_ms
        connection.execute(one("hold_identity"), (wanted.scope, wanted.key, key, wanted.input_hash, expires_at_ms))
        self._is_new = True
        if row is None or held is None or verdict != "replace":
            return Admission(run.run_id, is_new=True)
        topic, body = request_to_cancel(execution=row[2], run_id=run.run_id)
        Post(held.run_id, kind="cancel", topic=topic, at_ms=run.created_at_ms, body=body).apply(connection)
        return Admission(run.run_id, is_new=True, replaced=held.run_id)

    def proves(self, connection: sqlite3.Connection) -> bool:
        """Look for the run, if it is new: nobody else records this id."""
        if not self._is_new:
            return False
        identity = (self._identity.scope, self._identity.key)
        row = connection.execute(one("find_identity"), identity).fetchone()
        return row is not None and row[0] == self._run.run_id

    def stands(self, connection: sqlite3.Connection) -> bool:
        """Having changed nothing is true without any commit."""
        return not self._is_new


def insert_pending(connection: sqlite3.Connection, run: NewRun) -> int | None:
    """Write a run without owner and all that comes with it; return its key, or None if its id is taken."""
    last, _ = connection.execute(one("before_inserts"), (clock.boot_id(),)).fetchone()
    key = last + 1
    row = row_of(run._replace(owner=None), key, is_owned=False)
    if run.flow is None:
        inserted = connection.execute(many("insert_runs", 1), row)
    else:
        lane = flow.lane_of_new(connection, run, run.flow)
        inserted = connection.execute(many("insert_limited_runs", 1), (*row, lane))
    if inserted.rowcount != 1:
        return None
    if run.flow is not None:
        flow.begin(connection, key, run.flow)
    events = EventRows([], [])
    add_events(events, key, run.records)
    insert_events(connection, events)
    for tag in run.tags:
        connection.execute(many("insert_tags", 1), (key, tag))
    if run.start_by_ms is not None:
        deadline = (run.start_by_ms, key, run.records[-1].seq)
        connection.execute(many("insert_start_deadlines", 1), deadline)
    return int(key)
