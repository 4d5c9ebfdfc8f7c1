"""From what a schedule is to do to what is written: its triggers, its runs and where it stands then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from outlast.engines.base import StartRequest
from outlast.engines.scheduling import Firing, ScheduleDesk
from outlast.errors import InputError, Problem, SealError
from outlast.graph.committed import CommittedWorkflow
from outlast.immutable import new_list
from outlast.scheduling.deciding import Decision, Queued, Standing, decide
from outlast.scheduling.plan import Memory, Plan, ScheduleStatus
from outlast.sealing import current_disclosure, disclosed
from outlast.starting import make_request
from outlast.storage.base import NewRun
from outlast.storage.scheduling import ScheduleChange, ScheduleRow, TriggerRow

__all__ = [
    "FIRING",
    "Claim",
    "change_of",
    "drop_queue",
    "fire",
    "open_plan",
    "put_off",
    "request_of",
    "run_once",
    "status_of",
]

_MOST_ACTIVE = 100
"""How many runs of a schedule are remembered as not ended; beyond that, only where overlapping is allowed."""
_PUT_OFF_MS = 60_000


@dataclass(slots=True)
class Claim:
    """What is to be written about a schedule as it was read."""

    row: ScheduleRow
    """The schedule."""
    plan: Plan
    """What was said of it."""
    memory: Memory
    """Where it stands."""
    triggers: list[TriggerRow] = field(default_factory=new_list)
    """What became of its times."""
    runs: list[NewRun] = field(default_factory=new_list)
    """The runs that it starts."""
    cancels: tuple[str, ...] = ()
    """The runs that it cancels."""

    @classmethod
    def of(cls, row: ScheduleRow) -> Claim:
        """Begin with nothing to write."""
        return cls(row, Plan.from_bytes(row.plan), Memory.from_bytes(row.memory))


def request_of(desk: ScheduleDesk, workflow: CommittedWorkflow[Any, Any], plan: Plan, run_id: str) -> StartRequest:
    """Return the start of a run of a schedule, validated as every start.

    Raises:
        InputError: What the plan says does not fit the workflow (any more), or its sensitive values cannot be opened.
    """
    try:
        return disclosed(desk.options.sealers.get(workflow.id), _make_request, desk, workflow, plan, run_id)
    except SealError as error:
        raise InputError("schedule", (Problem("", str(error)),)) from error


def open_plan(plan: Plan) -> Plan:
    """Return a plan with its sensitive values in clear, where they are disclosed."""
    disclosure = current_disclosure()
    return plan if disclosure is None else Plan.from_bytes(disclosure.open(plan.to_bytes()))


def _make_request(desk: ScheduleDesk, workflow: CommittedWorkflow[Any, Any], plan: Plan, run_id: str) -> StartRequest:
    plan = open_plan(plan)
    return make_request(
        workflow,
        run_id=run_id,
        resource_id=plan.resource_id,
        input_data=plan.input,
        initial_state=plan.state,
        request_context=dict(plan.request_context) or None,
        tags=plan.tags,
        unstored=desk.options.unstored_context,
    )


async def fire(desk: ScheduleDesk, row: ScheduleRow, workflow: CommittedWorkflow[Any, Any]) -> ScheduleChange | None:
    """Return what a schedule does now; None for nothing."""
    claim = Claim.of(row)
    active = [run_id for run_id in claim.memory.active if await desk.is_active(run_id)]
    now_ms = desk.options.now_ms()
    decision = decide(
        Standing(
            schedule_id=row.id,
            timing=claim.plan.timing,
            overlap=claim.plan.overlap,
            catch_up=claim.plan.catch_up,
            next_ms=claim.memory.next_ms,
            is_active=bool(active),
            queued=claim.memory.queued,
        ),
        now_ms,
    )
    if decision.is_empty:
        return _due_again(claim, now_ms, is_full=decision.is_full)
    started = _record(claim, decision, desk, workflow, now_ms)
    if decision.cancels:
        claim.cancels = tuple(active)
    known = active if claim.plan.overlap != "allow" else []
    claim.memory = replace(claim.memory, next_ms=decision.next_ms, active=tuple([*known, *started][-_MOST_ACTIVE:]))
    change = change_of(claim, now_ms)
    return replace(change, due_at_ms=None) if decision.is_full else change


def put_off(row: ScheduleRow, now_ms: int) -> ScheduleChange:
    """Return the change that lets a schedule, which this process cannot read, wait a little for another one."""
    return ScheduleChange(
        key=row.key,
        version=row.version,
        status=row.status,
        due_at_ms=now_ms + _PUT_OFF_MS,
        memory=row.memory,
        at_ms=now_ms,
        is_waiting=row.is_waiting,
    )


def run_once(
    desk: ScheduleDesk, row: ScheduleRow, workflow: CommittedWorkflow[Any, Any], run_id: str
) -> ScheduleChange:
    """Return what starts a run of a schedule because somebody asked for it; its own times stay as they are.

    Raises:
        InputError: What the schedule says does not fit the workflow (any more).
    """
    claim = Claim.of(row)
    now_ms = desk.options.now_ms()
    claim.runs.append(desk.prepare(request_of(desk, workflow, claim.plan, run_id)))
    claim.triggers.append(
        TriggerRow(row.last_number + 1, "manual", now_ms, now_ms, 1, now_ms, outcome="fired", run_id=run_id)
    )
    claim.memory = replace(claim.memory, active=(*claim.memory.active, run_id)[-_MOST_ACTIVE:])
    return replace(change_of(claim, now_ms), status=row.status, due_at_ms=row.due_at_ms)


def status_of(memory: Memory) -> ScheduleStatus:
    """Return the status of a schedule that is not retired."""
    if memory.is_paused:
        return "paused"
    return "ended" if memory.next_ms is None and not memory.queued else "active"


def change_of(claim: Claim, now_ms: int, *, plan: Plan | None = None, is_edit: bool = False) -> ScheduleChange:
    """Return the change of a schedule that is not retired."""
    memory, timing = claim.memory, (plan or claim.plan).timing
    is_resting = memory.is_paused or memory.next_ms is None
    return ScheduleChange(
        key=claim.row.key,
        version=claim.row.version,
        status=status_of(memory),
        due_at_ms=None if is_resting or memory.next_ms is None else timing.due_at(claim.row.id, memory.next_ms),
        memory=memory.to_bytes(),
        at_ms=now_ms,
        is_waiting=bool(memory.queued) and not memory.is_paused,
        plan=None if plan is None else plan.to_bytes(),
        is_edit=is_edit,
        triggers=claim.triggers,
        runs=claim.runs,
        cancels=claim.cancels,
    )


def drop_queue(claim: Claim, now_ms: int, reason: str) -> None:
    """Give up the firings that wait."""
    claim.triggers += (_skipped(each, now_ms, reason) for each in claim.memory.queued)
    claim.memory = replace(claim.memory, queued=())


def _record(
    claim: Claim, decision: Decision, desk: ScheduleDesk, workflow: CommittedWorkflow[Any, Any], now_ms: int
) -> Sequence[str]:
    """Note what becomes of each time; return the ids of the runs that start."""
    number = claim.row.last_number
    gone = {each.queued for each in decision.dropped}
    queued = [each for each in claim.memory.queued if each not in gone and each != decision.released]
    started: list[str] = []
    claim.triggers += (_skipped(each.queued, now_ms, each.reason) for each in decision.dropped)
    fired = [] if decision.released is None else [decision.released]
    for verdict in decision.verdicts:
        number += 1
        if verdict.fate == "fired":
            fired.append(Queued(number, verdict.at_ms))
            continue
        if verdict.fate == "queued":
            queued.append(Queued(number, verdict.at_ms))
        claim.triggers.append(
            TriggerRow(
                number,
                "schedule",
                verdict.at_ms,
                verdict.until_ms,
                verdict.times,
                now_ms,
                outcome=verdict.fate,
                reason=verdict.reason,
            )
        )
    for each in fired:
        run_id = f"sched_{claim.row.id}_{each.at_ms}"
        try:
            claim.runs.append(desk.prepare(request_of(desk, workflow, claim.plan, run_id)))
        except InputError as error:
            claim.triggers.append(_trigger(each, now_ms, outcome="failed", reason=str(error)))
        else:
            started.append(run_id)
            claim.triggers.append(_trigger(each, now_ms, outcome="fired", run_id=run_id))
            claim.memory = replace(claim.memory, last_ms=each.at_ms, last_run_id=run_id)
    claim.memory = replace(claim.memory, queued=tuple(queued))
    return started


def _due_again(claim: Claim, now_ms: int, *, is_full: bool) -> ScheduleChange | None:
    """Return what corrects the time at which somebody has to look; None if it is right.

    Times that have no room to wait are nobody's business before a run has ended.
    """
    change = change_of(claim, now_ms)
    if is_full:
        change = replace(change, due_at_ms=None)
    return None if (change.due_at_ms, change.is_waiting) == (claim.row.due_at_ms, claim.row.is_waiting) else change


def _trigger(each: Queued, now_ms: int, **fate: Any) -> TriggerRow:  # noqa: ANN401 - the fields of the row
    return TriggerRow(each.number, "schedule", each.at_ms, each.at_ms, 1, now_ms, **fate)


def _skipped(each: Queued, now_ms: int, reason: str) -> TriggerRow:
    return _trigger(each, now_ms, outcome="skipped", reason=reason)


class _Firing:
    """Implements `outlast.engines.scheduling.Firing`."""

    async def decide(
        self, desk: ScheduleDesk, row: ScheduleRow, workflow: CommittedWorkflow[Any, Any]
    ) -> ScheduleChange | None:
        return await fire(desk, row, workflow)

    def make_request(
        self, desk: ScheduleDesk, workflow: CommittedWorkflow[Any, Any], plan: bytes, run_id: str
    ) -> StartRequest:
        return request_of(desk, workflow, Plan.from_bytes(plan), run_id)


FIRING: Final[Firing] = _Firing()
"""For engines, which do not import what is above them."""
