"""`outlast run resume`, `cancel` and `delete`."""

from __future__ import annotations

from typing import Annotated

import typer

from outlast.cli.exits import Exit
from outlast.cli.options import Context, RunId, Timeout, Wait
from outlast.cli.place import Place
from outlast.cli.screen import Screen
from outlast.cli.values import parse_json, parse_object
from outlast.cli.waiting import note_lack_of_worker, parse_timeout, wait_and_show
from outlast.errors import RunStateError
from outlast.results import CancelOutcome

__all__ = ["cancel", "delete", "resume"]


async def resume(  # noqa: PLR0913 - one parameter for each option
    screen: Screen,
    place: Place,
    run_id: RunId,
    *,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="JSON", help="What the step gets; @FILE reads a file, - stdin."),
    ] = None,
    step: Annotated[str | None, typer.Option("--step", metavar="PATH", help="The suspended step, if several.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="LABEL", help="The label it gave itself.")] = None,
    index: Annotated[int | None, typer.Option("--index", metavar="N", help="Of a foreach, only this item.")] = None,
    context: Context = None,
    wait: Wait = False,
    timeout: Timeout = None,  # noqa: ASYNC109 - the name of the option
) -> Exit | None:
    """Resume a suspended run. The data is checked against the type that the step declares."""
    limit = parse_timeout(timeout)
    value = None if data is None else parse_json(data, "--data")
    async with place.connect(purpose="resuming a run, which checks the data,") as app:
        resumed = await app.run(run_id).resume_async(
            value, step=step, label=label, index=index, request_context=parse_object(context, "--context")
        )
        if wait or timeout is not None:
            return await wait_and_show(screen, resumed, timeout=limit)
        if screen.is_json:
            screen.json({"runId": run_id, "outcome": "resumed"})
        else:
            screen.note(f"resumed {run_id}")
        await note_lack_of_worker(screen, app, resumed, place)
    return None


async def cancel(
    screen: Screen,
    place: Place,
    run_id: RunId,
    *,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept with the run.")] = None,
) -> None:
    """Cancel a run. It is recorded at once; bodies in flight have a grace period."""
    async with place.connect() as app:
        handle = app.run(run_id)
        outcome = await handle.cancel(reason)
        status = await handle.status()
        if outcome is CancelOutcome.ALREADY_FINISHED:
            raise RunStateError(run_id, "cancel", status.value, "it has ended, and nothing of it is left to cancel")
        if screen.is_json:
            screen.json({"runId": run_id, "outcome": outcome.value, "status": status.value})
        elif status.is_terminal:
            screen.note(f"canceled {run_id}")
        else:
            screen.note(f"asked {run_id} to end; it is {status} until then")
            await note_lack_of_worker(screen, app, handle, place)


async def delete(screen: Screen, place: Place, run_id: RunId) -> None:
    """Delete a run that has ended, with its journal. Its id is not used again."""
    async with place.connect() as app:
        await app.run(run_id).delete()
    if screen.is_json:
        screen.json({"runId": run_id, "outcome": "deleted"})
    else:
        screen.note(f"deleted {run_id}")
