"""How runs look: as a list, and one of them in full."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from outlast.cli.screen import Screen, age_of, plain, short_json, span, status_text
from outlast.failures import FailureInfo
from outlast.reading import RunPage
from outlast.results import RunResult, StepResult

__all__ = ["show_ending", "show_list", "show_result", "show_traceback"]


def show_list(screen: Screen, page: RunPage) -> None:
    """Write a page of runs as a table; how many there are besides goes to stderr."""
    if not page.runs:
        screen.note("no run matches")
        return
    screen.table(
        ("RUN", "WORKFLOW", "STATUS", "AGE"),
        ((run.run_id, run.workflow_id, status_text(run.status), age_of(run.created_at)) for run in page.runs),
    )
    if page.after is not None:
        more = "" if page.is_total_exact else "more than "
        screen.note(f"{len(page.runs)} of {more}{page.total:,}; the next page: --after {page.after}")


def show_result(screen: Screen, result: RunResult[Any]) -> None:
    """Write what is known of a run: how it stands, its steps, and what it gave."""
    screen.fields(
        (
            ("run", result.run_id),
            ("workflow", result.workflow_id),
            ("status", status_text(result.status)),
            ("execution", str(result.execution) if result.execution else ""),
            ("resource", result.resource_id or ""),
            ("input", short_json(result.input)),
            ("state", short_json(dict(result.state)) if result.state is not None else ""),
        )
    )
    if result.steps:
        screen.say()
        rows = [_row(path, step) for path, step in result.steps.items()]
        screen.table(("STEP", "STATUS", "TRIES", "TOOK", "DETAIL"), rows)
    screen.say()
    show_ending(screen, result)


def show_ending(screen: Screen, result: RunResult[Any]) -> None:
    """Write what a run gave, why it failed, or what it waits for."""
    screen.fields(_ending(result))


def show_traceback(screen: Screen, error: FailureInfo) -> None:
    """Write the recorded tracebacks of a failure, the cause first, as Python does."""
    if error.cause is not None:
        show_traceback(screen, error.cause)
        screen.say("\nwhich led to:\n")
    screen.say(error.traceback.rstrip() or f"{error.type}: {error.message}")


def _row(path: str, step: StepResult) -> tuple[str | Text, ...]:
    ended = step.ended_at or datetime.now(UTC)
    detail = f"{step.error.type}: {_first_line(step.error.message)}" if step.error is not None else ""
    if step.error is None and step.ended_at is not None:
        detail = short_json(step.output, 30)
    return path, status_text(step.status), str(step.attempts), span(ended - step.started_at), detail


def _ending(result: RunResult[Any]) -> Iterator[tuple[str, str | Text]]:
    for path in result.suspended:
        yield "waits at", f"{path}  {short_json(result.suspend_payload.get(path))}"
    if result.error is not None:
        where = f" (at {result.error_path})" if result.error_path else ""
        yield "error", Text(plain(f"{result.error.type}: {result.error.message}{where}"), style="red")
    if result.cancel_reason:
        yield "reason", result.cancel_reason
    if "result" in (wire := result.to_dict()):
        yield "result", short_json(wire["result"], 400)


def _first_line(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= 60 else line[:57] + "..."  # noqa: PLR2004 - a line of a table
