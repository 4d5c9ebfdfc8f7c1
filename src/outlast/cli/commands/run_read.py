"""`outlast run list`, `show` and `why`: reading, which needs no code of the author's."""

from __future__ import annotations

from typing import Annotated

import typer

from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.options import RunId
from outlast.cli.place import Place
from outlast.cli.screen import Screen
from outlast.cli.show import show_list, show_result, show_traceback
from outlast.cli.values import parse_past
from outlast.cli.watching import watch_and_show
from outlast.core.status import RunStatus

__all__ = ["list_runs", "show", "watch", "why"]


async def list_runs(  # noqa: PLR0913 - one parameter for each option
    screen: Screen,
    place: Place,
    *,
    workflow: Annotated[str | None, typer.Option("--workflow", metavar="ID", help="Only of this one.")] = None,
    status: Annotated[
        list[RunStatus] | None, typer.Option("--status", metavar="STATUS", help="Only with this one; repeatable.")
    ] = None,
    resource_id: Annotated[str | None, typer.Option("--resource", metavar="ID", help="Only of this one.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", metavar="WORD", help="Only with all of these; repeatable.")
    ] = None,
    search: Annotated[
        str | None, typer.Option("--search", metavar="TEXT", help="Id, resource or a tag begins with it.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="WHEN", help="Started then or later, as 2h.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Started then or earlier.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 20,
    after: Annotated[str | None, typer.Option("--after", metavar="PLACE", help="The page after this place.")] = None,
) -> None:
    """List runs, the newest first.

    WHEN is a date (2026-05-01T12:30) or how long ago (2h, 30d).
    """
    async with place.connect() as app:
        page = await app.list_runs(
            workflow,
            status=status or None,
            resource_id=resource_id,
            tags=tag or (),
            search=search,
            from_date=None if since is None else parse_past(since, "--since"),
            to_date=None if until is None else parse_past(until, "--until"),
            after=after,
            per_page=limit,
        )
    if screen.is_json:
        screen.json(page.to_dict())
    else:
        show_list(screen, page)


async def show(
    screen: Screen,
    place: Place,
    run_id: RunId,
    *,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Write the recorded traceback of the failure.")
    ] = False,
) -> None:
    """Show a run: how it stands, what each step received and gave, and how it ended."""
    async with place.connect() as app:
        result = await app.run(run_id).masked().snapshot()
    if screen.is_json:
        screen.json(result.to_dict())
    elif not traceback:
        show_result(screen, result)
    elif result.error is not None:
        show_traceback(screen, result.error)
    else:
        raise Complaint(f"run {run_id} has not failed; it is {result.status}", exit=Exit.REFUSED, code="run-state")


async def why(screen: Screen, place: Place, run_id: RunId) -> None:
    """Say in words what a run does or waits for, since when, and who works on it."""
    async with place.connect() as app:
        words = await app.run(run_id).why()
    if screen.is_json:
        screen.json({"runId": run_id, "why": words})
    else:
        screen.say(words)


async def watch(
    screen: Screen,
    place: Place,
    run_id: RunId,
    *,
    after: Annotated[int, typer.Option("--after", min=0, metavar="SEQ", help="Only what comes after this event.")] = 0,
    until_end: Annotated[bool, typer.Option("--until-end", help="Go on through suspensions.")] = False,
) -> Exit:
    """Show what happens to a run, from its beginning, until it ends or rests; the exit code tells how."""
    async with place.connect() as app:
        return await watch_and_show(screen, app.run(run_id), after=after, until_end=until_end)
