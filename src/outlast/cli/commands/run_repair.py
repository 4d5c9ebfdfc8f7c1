"""`outlast run restart`, `time-travel`, `fork` and `step`: runs go on from a place that somebody chose."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlast.app import Outlast
from outlast.cli.exits import Exit
from outlast.cli.options import Context, RunId, Timeout, Wait
from outlast.cli.place import Handle, Place
from outlast.cli.screen import Screen
from outlast.cli.values import parse_json, parse_object
from outlast.cli.waiting import note_lack_of_worker, parse_timeout, wait_and_show

if TYPE_CHECKING:
    from outlast.client import Client

__all__ = ["fork", "restart", "step", "time_travel"]

Step = Annotated[
    str, typer.Argument(metavar="STEP", help="Path of the step, as fetch, child.fetch or each[3].", show_default=False)
]
Input = Annotated[str | None, typer.Option("--input", "-i", metavar="JSON", help="What the step receives instead.")]
Data = Annotated[str | None, typer.Option("--data", "-d", metavar="JSON", help="What it is resumed with.")]
State = Annotated[str | None, typer.Option("--state", metavar="JSON", help="The state to begin with.")]
Outputs = Annotated[
    str | None, typer.Option("--outputs", metavar="JSON", help="Outputs of steps before it: an object, by path.")
]


async def restart(
    screen: Screen,
    place: Place,
    run_id: RunId,
    *,
    context: Context = None,
    wait: Wait = False,
    timeout: Timeout = None,  # noqa: ASYNC109 - the name of the option
) -> Exit | None:
    """Drive a failed or canceled run again from what is not finished; what ended well is kept."""
    limit, given = parse_timeout(timeout), parse_object(context, "--context")
    async with place.connect() as app:
        handle = await app.run(run_id).restart_async(request_context=given)
        return await _tell(screen, place, app, handle, "restarted", wait=wait, timeout=limit)


async def time_travel(  # noqa: PLR0913 - one parameter for each option
    screen: Screen,
    place: Place,
    run_id: RunId,
    step: Step,
    *,
    input_data: Input = None,
    data: Data = None,
    state: State = None,
    outputs: Outputs = None,
    context: Context = None,
    wait: Wait = False,
    timeout: Timeout = None,  # noqa: ASYNC109 - the name of the option
) -> Exit | None:
    """Let a run that rests go on from a step; results before it are kept, it and what follows run again."""
    limit, given = parse_timeout(timeout), _given(input_data, data, state, outputs, context)
    async with place.connect(purpose="time travel, which checks data,") as app:
        handle = await app.run(run_id).time_travel_async(step, **given)
        return await _tell(screen, place, app, handle, "travels", wait=wait, timeout=limit)


async def fork(  # noqa: PLR0913 - one parameter for each option
    screen: Screen,
    place: Place,
    run_id: RunId,
    step: Step,
    *,
    new_id: Annotated[
        str | None, typer.Option("--id", metavar="RUN", help="Id of the new run; else a new one.")
    ] = None,
    input_data: Input = None,
    data: Data = None,
    state: State = None,
    outputs: Outputs = None,
    context: Context = None,
    wait: Wait = False,
    timeout: Timeout = None,  # noqa: ASYNC109 - the name of the option
) -> Exit | None:
    """Start a new run that goes on from a step of this one, which is left as it is. Writes the new id."""
    limit, given = parse_timeout(timeout), _given(input_data, data, state, outputs, context)
    async with place.connect(purpose="forking a run, which checks data,") as app:
        handle = await app.run(run_id).fork_async(step, run_id=new_id, **given)
        if not screen.is_json and not wait and limit is None:
            screen.say(handle.run_id)
            await note_lack_of_worker(screen, app, handle, place)
            return None
        return await _tell(screen, place, app, handle, "forked", wait=wait, timeout=limit)


async def step(
    screen: Screen,
    place: Place,
    run_id: RunId,
    *,
    to_end: Annotated[bool, typer.Option("--to-end", help="Do not pause again.")] = False,
    wait: Wait = False,
    timeout: Timeout = None,  # noqa: ASYNC109 - the name of the option
) -> Exit | None:
    """Let a paused run do its next step."""
    limit = parse_timeout(timeout)
    async with place.connect() as app:
        handle = await app.run(run_id).step_async(per_step=not to_end)
        return await _tell(screen, place, app, handle, "stepped", wait=wait, timeout=limit)


def _given(
    input_data: str | None, data: str | None, state: str | None, outputs: str | None, context: str | None
) -> dict[str, Any]:
    """Return what the options say, as the library calls it."""
    return {
        "input_data": None if input_data is None else parse_json(input_data, "--input"),
        "resume_data": None if data is None else parse_json(data, "--data"),
        "initial_state": parse_object(state, "--state"),
        "context": parse_object(outputs, "--outputs"),
        "request_context": parse_object(context, "--context"),
    }


async def _tell(
    screen: Screen,
    place: Place,
    app: Outlast | Client,
    handle: Handle,
    outcome: str,
    *,
    wait: bool,
    timeout: timedelta | None,  # noqa: ASYNC109 - said to the reader in words
) -> Exit | None:
    if wait or timeout is not None:
        return await wait_and_show(screen, handle, timeout=timeout)
    if screen.is_json:
        screen.json({"runId": handle.run_id, "outcome": outcome})
    else:
        screen.note(f"{outcome}: {handle.run_id}")
    await note_lack_of_worker(screen, app, handle, place)
    return None
