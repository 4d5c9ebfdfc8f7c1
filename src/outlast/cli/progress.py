"""What is known of a run while it is watched: a fold of its stream events, and how that looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from outlast.cli.screen import plain, short_json, span, status_text
from outlast.core.status import RunStatus
from outlast.instant import from_ms, render_ms
from outlast.stream import StreamEvent
from outlast.values import JsonValue

__all__ = ["Progress", "line_of"]

_DETAIL: Final = 40


@dataclass(slots=True)
class _Step:
    status: str
    started_at: datetime
    attempt: int = 0
    ended_at: datetime | None = None
    detail: str = ""


class Progress:
    """The steps of a run by path, as its events tell them."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._status = "pending"
        self._steps: dict[str, _Step] = {}

    @property
    def status(self) -> RunStatus:
        """What the events say of the run."""
        return RunStatus(self._status)

    def read(self, event: StreamEvent) -> None:
        """Take the next event in."""
        payload = event.payload
        if event.type == "workflow-start":
            self._status = "running"
        elif event.type == "workflow-finish":
            self._status = str(payload["workflow_status"])
        path = payload.get("path")
        if not isinstance(path, str):
            return
        step = self._steps.get(path)
        if step is None or event.type == "workflow-step-start":
            started_ms = payload.get("started_at_ms")
            started = from_ms(started_ms) if isinstance(started_ms, int) else event.at
            step = self._steps[path] = _Step("running", started)
        step.attempt = _number(payload.get("attempt"), step.attempt)
        if isinstance(status := payload.get("status"), str):
            step.status = status
        if event.type == "workflow-step-result":
            step.ended_at = event.at
        step.detail = _detail(event) or step.detail

    def draw(self, height: int) -> RenderableType:
        """Return a table of the steps that fits so many lines: what has ended first makes room."""
        rows = list(self._steps.items())
        room = max(3, height - 5)
        left_out = 0
        while len(rows) - left_out > room and rows[left_out][1].ended_at is not None:
            left_out += 1
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("STEP", "STATUS", "TRIES", "TOOK"):
            table.add_column(column, overflow="fold")
        table.add_column("DETAIL", overflow="ellipsis", no_wrap=True)
        for path, step in rows[left_out : left_out + room]:
            took = span((step.ended_at or datetime.now(UTC)) - step.started_at)
            table.add_row(plain(path), status_text(step.status), str(step.attempt + 1), took, Text(plain(step.detail)))
        head = Text.assemble("run ", (plain(self._run_id), "bold"), "  ", status_text(self._status))
        more = [Text(f"{left_out} steps before these have ended", style="dim")] if left_out else []
        return Group(head, *more, table)


def line_of(event: StreamEvent) -> str:
    """Return an event as one line: when, what, where, and what else is worth a look."""
    at = event.at.astimezone().isoformat(sep=" ", timespec="milliseconds")[11:23]
    path = event.payload.get("path") or event.payload.get("workflow_id") or ""
    what = event.type.removeprefix("workflow-")
    status = event.payload.get("status") if what == "step-result" else event.payload.get("workflow_status")
    return "  ".join(part for part in (at, what, str(path), str(status or ""), _detail(event)) if part)


def _detail(event: StreamEvent) -> str:
    payload = event.payload
    if isinstance(error := payload.get("error"), Mapping):
        text = f"{error.get('type')}: {error.get('message')}".split("\n", 1)[0]
        due = payload.get("due_at_ms")
        return f"{text}; next attempt {render_ms(due)}" if isinstance(due, int) else text
    match event.type:
        case "workflow-step-result":
            return short_json(payload.get("output"), _DETAIL)
        case "workflow-step-progress":
            return _progress(payload)
        case "workflow-step-output":
            return short_json(payload.get("output"), _DETAIL)
        case "workflow-step-waiting" if isinstance(due := payload.get("due_at_ms"), int):
            return f"until {render_ms(due)}"
        case "workflow-step-suspended":
            return f"waits to be resumed {short_json(payload.get('suspend_payload'), _DETAIL)}"
        case "workflow-step-start" if payload.get("recovered"):
            return "again after a crash"
        case "workflow-rewound":
            return f"execution {event.execution}" + (f", from {payload['to']}" if payload.get("to") else "")
        case "workflow-finish" if "result" in payload:
            return short_json(payload["result"], _DETAIL)
        case type_ if type_.startswith("data-"):
            return short_json(payload.get("data"), _DETAIL)
        case _:
            return ""


def _progress(payload: Mapping[str, JsonValue]) -> str:
    total = payload.get("total_count")
    counts = f"{payload.get('completed_count')}" + ("" if total is None else f" of {total}")
    message = payload.get("message")
    return f"{counts}  {message}" if message else counts


def _number(value: JsonValue, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise
