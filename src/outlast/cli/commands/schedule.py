"""The group `outlast schedule`: what starts workflows by itself, here or at a server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from outlast.cli.command import command, make_group
from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.place import Place
from outlast.cli.screen import Screen, short_json, span
from outlast.cli.values import parse_json, parse_moment, parse_object, parse_past, parse_span
from outlast.errors import DefinitionError, ScheduleNotFoundError
from outlast.instant import from_ms
from outlast.schedule_info import ScheduleInfo, Trigger
from outlast.scheduling.plan import ScheduleStatus
from outlast.scheduling.schedule import CatchUp, Overlap, Schedule

__all__ = ["group"]

group = make_group("Look at schedules, make them, pause them and try them.")

ScheduleId = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Id of the schedule.", show_default=False)]


async def list_schedules(
    screen: Screen,
    place: Place,
    *,
    workflow: Annotated[str | None, typer.Option("--workflow", metavar="ID", help="Only of this one.")] = None,
    status: Annotated[ScheduleStatus | None, typer.Option("--status", help="Only with this one.")] = None,
    resource_id: Annotated[str | None, typer.Option("--resource", metavar="ID", help="Only of this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 100,
    after: Annotated[str | None, typer.Option("--after", metavar="ID", help="Those after this one.")] = None,
) -> None:
    """List schedules by their ids: when each fires next, and what it did last."""
    async with place.connect() as app:
        page = await app.schedules.list(workflow, status=status, resource_id=resource_id, after=after, per_page=limit)
    if screen.is_json:
        screen.json({"schedules": [each.to_dict() for each in page.schedules], "after": page.after})
        return
    rows = [
        (each.id, each.workflow_id, times_of(each.schedule), each.status, _local(each.next_at), _local(each.last_at))
        for each in page.schedules
    ]
    if rows:
        screen.table(("SCHEDULE", "WORKFLOW", "WHEN", "STATUS", "NEXT", "LAST"), rows)
    else:
        screen.note("no schedules")
    if page.after is not None:
        screen.note(f"more: --after {page.after}")


async def show(screen: Screen, place: Place, schedule_id: ScheduleId) -> None:
    """Show a schedule: what it says, where it stands, and when it fires next."""
    async with place.connect() as app:
        found = await app.schedules.get(schedule_id)
    if found is None:
        raise ScheduleNotFoundError(schedule_id)
    _show(screen, found)


async def history(
    screen: Screen,
    place: Place,
    schedule_id: ScheduleId,
    *,
    since: Annotated[str | None, typer.Option("--since", metavar="WHEN", help="Decided then or later, as 2h.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Decided then or earlier.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")] = 20,
    before: Annotated[int | None, typer.Option("--before", metavar="N", help="Those before this one.")] = None,
) -> None:
    """Show what became of the times of a schedule, the latest first: fired or not, and why.

    WHEN is a date (2026-05-01T12:30) or how long ago (2h, 30d).
    """
    async with place.connect() as app:
        found = await app.schedules.triggers(
            schedule_id,
            before=before,
            from_date=None if since is None else parse_past(since, "--since"),
            to_date=None if until is None else parse_past(until, "--until"),
            limit=limit,
        )
    if screen.is_json:
        screen.json({"triggers": [each.to_dict() for each in found]})
    elif found:
        rows = [(str(each.number), _times(each), each.outcome, each.run_id or each.reason) for each in found]
        screen.table(("N", "TIME", "OUTCOME", "RUN, OR WHY NOT"), rows)
    else:
        screen.note("it has not fired yet")


async def create(  # noqa: PLR0913 - one parameter for each option
    screen: Screen,
    place: Place,
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="What it starts.", show_default=False)],
    *,
    id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Its id; a new one if none is given.")] = None,
    cron: Annotated[str | None, typer.Option("--cron", metavar="CRON", help="As '30 8 * * MON-FRI'.")] = None,
    every: Annotated[str | None, typer.Option("--every", metavar="TIME", help="An interval, as 15m.")] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="DATE", help="Once, then.")] = None,
    timezone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="Of CRON, as Europe/Berlin.")] = "UTC",
    input: Annotated[
        str | None, typer.Option("--input", "-i", metavar="JSON", help="The input; @FILE reads a file, - stdin.")
    ] = None,
    context: Annotated[str | None, typer.Option("--context", metavar="JSON", help="The request context.")] = None,
    resource_id: Annotated[str | None, typer.Option("--resource", metavar="ID", help="Whose runs they are.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", metavar="WORD", help="A tag of its runs; repeatable.")
    ] = None,
    overlap: Annotated[Overlap, typer.Option("--overlap", help="While the run before it has not ended.")] = "skip",
    catch_up: Annotated[CatchUp, typer.Option("--catch-up", help="Of times at which no worker lived.")] = "one",
    jitter: Annotated[str, typer.Option("--jitter", metavar="TIME", help="Each firing is put off by less.")] = "0",
) -> None:
    """Make a schedule. Workers fire it from then on. The input is checked against the type of the workflow."""
    said: dict[str, Any] = {
        "every": None if every is None else parse_span(every, "--every"),
        "at": None if at is None else parse_moment(at, "--at"),
        "input_data": None if input is None else parse_json(input, "--input"),
        "request_context": parse_object(context, "--context"),
        "jitter": parse_span(jitter, "--jitter"),
    }
    try:
        schedule = Schedule(
            cron,
            timezone=timezone,
            resource_id=resource_id,
            tags=tuple(tag or ()),
            overlap=overlap,
            catch_up=catch_up,
            **said,
        )
    except DefinitionError as error:
        raise Complaint(str(error), exit=Exit.INVALID, code="definition") from None
    async with place.connect(purpose="making a schedule, which checks its input,") as app:
        made = await app.schedules.create(workflow, schedule, id=id)
    _tell(screen, made, "made")


async def pause(screen: Screen, place: Place, schedule_id: ScheduleId) -> None:
    """Let a schedule fire no more until it is resumed, also over deploys."""
    async with place.connect() as app:
        _tell(screen, await app.schedules.pause(schedule_id), "paused")


async def resume(screen: Screen, place: Place, schedule_id: ScheduleId) -> None:
    """Let a paused schedule fire again, from now on; what it has missed is not caught up."""
    async with place.connect() as app:
        _tell(screen, await app.schedules.resume(schedule_id), "resumed")


async def run(screen: Screen, place: Place, schedule_id: ScheduleId) -> None:
    """Start a run of a schedule now, also of a paused one, and print its id. Its own times stay."""
    async with place.connect(purpose="starting a run, which checks its input,") as app:
        trigger = await app.schedules.run_now(schedule_id)
    if screen.is_json:
        screen.json(trigger.to_dict())
    else:
        screen.say(trigger.run_id or "")


async def delete(screen: Screen, place: Place, schedule_id: ScheduleId) -> None:
    """Forget a schedule and its history; its runs stay. One that stands in code is removed there."""
    async with place.connect() as app:
        if await app.schedules.get(schedule_id) is None:
            raise ScheduleNotFoundError(schedule_id)
        await app.schedules.delete(schedule_id)
    if screen.is_json:
        screen.json({"id": schedule_id, "outcome": "deleted"})
    else:
        screen.note(f"deleted {schedule_id}")


def times_of(schedule: Schedule) -> str:
    """Return in words when a schedule fires."""
    timing = schedule.to_timing()
    if timing.every_ms is not None:
        return f"every {span(from_ms(timing.every_ms) - from_ms(0))}"
    if timing.at_ms is not None:
        return "once"
    return f"{timing.cron} {timing.timezone}"


def _show(screen: Screen, found: ScheduleInfo) -> None:
    if screen.is_json:
        screen.json(found.to_dict())
        return
    schedule = found.schedule
    screen.fields(
        [
            ("schedule", found.id),
            ("workflow", found.workflow_id),
            ("when", times_of(schedule)),
            ("status", found.status),
            ("next", _local(found.next_at)),
            ("last", _local(found.last_at)),
            ("last run", found.last_run_id or ""),
            ("waiting", str(found.waiting or "")),
            ("input", short_json(found.to_dict().get("inputData"))),
            ("overlap", schedule.overlap),
            ("catch up", schedule.catch_up),
            ("resource", schedule.resource_id or ""),
            ("tags", ", ".join(schedule.tags)),
            ("made", "in code" if found.is_declared else "at run time"),
        ]
    )


def _tell(screen: Screen, found: ScheduleInfo, verb: Literal["made", "paused", "resumed"]) -> None:
    if screen.is_json:
        screen.json(found.to_dict())
    elif verb == "made":
        screen.say(found.id)
    else:
        following = f"; it fires next at {_local(found.next_at)}" if found.next_at is not None else ""
        screen.note(f"{verb} {found.id}{following}")


def _local(at: Any) -> str:  # noqa: ANN401 - a moment, or None
    """Return a moment in the zone of this machine; nothing for None."""
    return "" if at is None else at.astimezone().isoformat(sep=" ", timespec="seconds")


def _times(trigger: Trigger) -> str:
    if trigger.scheduled_at == trigger.until:
        return _local(trigger.scheduled_at)
    number = "very many times" if trigger.count is None else f"{trigger.count} times"
    return f"{_local(trigger.scheduled_at)} to {_local(trigger.until)}, {number}"


command(group, "list")(list_schedules)
command(group, "show")(show)
command(group, "history")(history)
command(group, "create")(create)
command(group, "pause")(pause)
command(group, "resume")(resume)
command(group, "run")(run)
command(group, "delete")(delete)
