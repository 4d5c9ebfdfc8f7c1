"""`outlast run start`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlast.app import Outlast
from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.options import Context, Timeout, Wait
from outlast.cli.place import Handle, Place, find_workflow
from outlast.cli.screen import Screen
from outlast.cli.values import decode_as, parse_json, parse_moment, parse_object, parse_span
from outlast.cli.waiting import note_lack_of_worker, parse_timeout, wait_and_show
from outlast.cli.watching import watch_and_show

if TYPE_CHECKING:
    from outlast.client import Client

__all__ = ["start"]


async def start(  # noqa: PLR0913 - one parameter for each option
    screen: Screen,
    place: Place,
    workflow_id: Annotated[str, typer.Argument(metavar="WORKFLOW", help="Id of the workflow.", show_default=False)],
    *,
    input_data: Annotated[
        str | None, typer.Option("--input", "-i", metavar="JSON", help="The input; @FILE reads a file, - stdin.")
    ] = None,
    run_id: Annotated[str | None, typer.Option("--id", metavar="RUN", help="Id of the run; else a new one.")] = None,
    resource_id: Annotated[str | None, typer.Option("--resource", metavar="ID", help="Whose run it is.")] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="JSON", help="The initial state.")] = None,
    context: Context = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", metavar="WORD", help="A word to find it by; repeatable.")
    ] = None,
    delay: Annotated[str | None, typer.Option("--delay", metavar="TIME", help="Start so much later, as 5m.")] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="DATE", help="Start then, as 2026-05-01T12:30.")] = None,
    priority: Annotated[
        int, typer.Option("--priority", min=-100, max=100, help="Of those that wait, higher ones begin first.")
    ] = 0,
    key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="Start once: the same key gives the same run."),
    ] = None,
    per_step: Annotated[bool, typer.Option("--per-step", help="Pause after each step; see run step.")] = False,
    wait: Wait = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show what happens until the run ends or rests.")] = False,
    timeout: Timeout = None,  # noqa: ASYNC109 - the name of the option
    work: Annotated[
        bool, typer.Option("--work", help="Drive runs in this process while waiting; implies --wait.")
    ] = False,
) -> Exit | None:
    """Start a run. It is on disk when the command ends, and a worker drives it.

    Writes the id of the run; with --wait how the run ended.
    """
    limit = parse_timeout(timeout)
    async with place.connect(worker=work, purpose="starting a run") as app:
        given: Any = None if input_data is None else parse_json(input_data, "--input")
        workflow: Any = workflow_id if not isinstance(app, Outlast) else find_workflow(app, workflow_id)
        if isinstance(app, Outlast) and given is not None:
            given = decode_as(workflow.input, given, "input_data")
        run: Any = await app.create_run(workflow, run_id=run_id, resource_id=resource_id)
        started = await run.start_async(
            input_data=given,
            initial_state=parse_object(state, "--state"),
            request_context=parse_object(context, "--context"),
            tags=tag or (),
            delay=None if delay is None else parse_span(delay, "--delay"),
            start_at=None if at is None else parse_moment(at, "--at"),
            priority=priority,
            idempotency_key=key,
            per_step=per_step,
        )
        if watch or wait or work or timeout is not None:
            show = partial(watch_and_show if watch else wait_and_show, screen, started, timeout=limit)
            return await _wait(screen, app, started, place, show, is_driven_here=work)
        await _show_started(screen, app, started, place)
        return None


async def _wait(
    screen: Screen,
    app: Outlast | Client,
    started: Handle,
    place: Place,
    show: Callable[[], Awaitable[Exit]],
    *,
    is_driven_here: bool,
) -> Exit:
    try:
        if not screen.is_json:
            screen.note(f"started {started.run_id}")
            await note_lack_of_worker(screen, app, started, place)
        return await show()
    except (asyncio.CancelledError, Complaint):  # before the app is left, which takes as long as it drains
        if is_driven_here:
            screen.note("steps that run here may end; Ctrl-C ends them at once, and nothing is lost by that")
        raise


async def _show_started(screen: Screen, app: Outlast | Client, started: Handle, place: Place) -> None:
    if screen.is_json:
        screen.json({"runId": started.run_id, "status": (await started.status()).value})
        return
    screen.say(started.run_id)
    await note_lack_of_worker(screen, app, started, place)
