"""What outsiders ask of a live run, as facts."""

from __future__ import annotations

from collections.abc import Callable

from outlast.core.commands import AwaitResume
from outlast.core.events import RunStarted, StepResumed
from outlast.core.flow.ending import START_PATH
from outlast.engines.local.live import LiveRun
from outlast.engines.local.stopping import Stopping
from outlast.engines.local.timers import Timers
from outlast.engines.outcomes import Fact
from outlast.storage.base import InboxRow
from outlast.values import JsonValue, decode, encode

__all__ = ["Requests"]


class Requests:
    """Reads the rows of inboxes."""

    def __init__(self, now_ms: Callable[[], int], *, timers: Timers, stopping: Stopping) -> None:
        self._now_ms = now_ms
        self._timers = timers
        self._stopping = stopping

    def facts_of(self, run: LiveRun, row: InboxRow) -> list[Fact]:
        """Read one request. What nothing waits for any more is put aside: its row is taken without a fact."""
        if row.key in run.seen:
            return []
        run.seen.add(row.key)
        run.taken.append(row.key)
        body = decode(row.body)
        fields = body if isinstance(body, dict) else {}
        if row.kind == "cancel":
            reason = fields.get("reason")
            return self._stopping.cancel(run, reason if isinstance(reason, str) else None)
        if row.kind == "start":
            return self._started(run, fields)
        return self._resumed(run, fields)

    def _started(self, run: LiveRun, fields: dict[str, JsonValue]) -> list[Fact]:
        """Somebody started a run that was recorded to be started."""
        if START_PATH not in run.state.open:
            return []
        self._timers.cancel(run, START_PATH)
        now, timeout_ms = self._now_ms(), run.program.graph.root.timeout_ms
        event = RunStarted(
            now,
            _object(fields.get("request_context")),
            _object(fields.get("state")),
            bool(fields.get("include_state")),
            None if timeout_ms is None else now + timeout_ms,
        )
        run.merge_request_context(event.request_context)
        return [(event, encode(fields.get("input")))]

    def _resumed(self, run: LiveRun, fields: dict[str, JsonValue]) -> list[Fact]:
        command = run.state.open.get(str(fields.get("path")))
        if not isinstance(command, AwaitResume) or command.number != fields.get("number"):
            return []
        request_context = _object(fields.get("request_context"))
        run.merge_request_context(request_context)
        self._timers.cancel(run, command.path)
        event = StepResumed(self._now_ms(), command.path, request_context)
        return [(event, encode(fields.get("data")))]


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}
