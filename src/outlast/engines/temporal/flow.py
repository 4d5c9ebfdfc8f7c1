"""The one workflow that Temporal runs, whatever the author's workflow is: its type is the author's workflow id.

It holds no code of an author's, so it needs no sandbox, and its history can be replayed whatever becomes of that code.
Functions are called in activities; what the run is doing is decided by the ledger.
"""

from __future__ import annotations

import asyncio
import collections
import collections.abc
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple, NoReturn

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from outlast.core.commands import RunHook, RunStep
from outlast.core.status import RunStatus
from outlast.engines.outcomes import Calling
from outlast.engines.temporal.attributes import STATUS, later
from outlast.engines.temporal.inbound import Canceled, Heard, Inbound, Lost, Rang, Requested, Told, carried_of
from outlast.engines.temporal.ledger import Ledger
from outlast.engines.temporal.messages import Reply, Request, Start
from outlast.engines.temporal.pace import Pace
from outlast.engines.temporal.packing import LARGEST_MESSAGE, UnknownMessageError, pack, unpack
from outlast.engines.temporal.payloads import late_value, message_of, raw_value
from outlast.engines.temporal.said import Said
from outlast.engines.temporal.tasks import activity_id_of
from outlast.engines.temporal.tidings import Errand, Tiding
from outlast.graph.document import UnknownGraphError
from outlast.instant import to_ms
from outlast.values import encode

__all__ = [
    "ASK",
    "FIND",
    "NOT_AWAITED",
    "REOPEN",
    "REQUEST",
    "RUN_CANCELED",
    "RUN_FAILED",
    "SAID",
    "TAKE",
    "TELL",
    "OutlastRun",
]

ASK: Final = "outlast:ask"
"""Type of the activity that answers questions: a local one, unless a function may wait for something."""
TELL: Final = "outlast:tell"
"""Type of the activity that calls a hook to tell it of a rest."""
REQUEST: Final = "outlast:request"
"""Name of the signal by which outsiders ask something of a run."""
TAKE: Final = "outlast:take"
"""Name of the update by which outsiders ask the same and hear at once whether it was taken."""
SAID: Final = "outlast:said"
"""Name of the signal by which workers hand over what bodies say while they run."""
REOPEN: Final = "outlast:reopen"
"""Name of the update that opens the next execution of a run that rests, while its workflow is open."""
NOT_AWAITED: Final = "NotAwaited"
"""Type of the failure with which that is refused when nothing waits for it (any more)."""
FIND: Final = "outlast:find"
"""Name of the query by which a body finds recorded values."""

RUN_FAILED: Final = "RunFailed"
"""Type of the failure with which the workflow of a failed run ends."""
RUN_CANCELED: Final = "RunCanceled"
"""The same for a run that a body aborted."""

_FOR_EVER: Final = timedelta(days=3650)
"""Temporal wants a limit for each activity. Lost workers are noticed by heartbeats, slow bodies by the worker."""
_AGAIN: Final = RetryPolicy(initial_interval=timedelta(milliseconds=100), backoff_coefficient=1.0, maximum_attempts=0)
"""Of calls whose worker was lost. What a body raises is an outcome and no failure of its activity."""
_LONGEST_HISTORY: Final = 40_000
"""Events of one workflow. The server ends one with 51,200 by force."""
_A_MOMENT: Final = timedelta(milliseconds=1)
"""How long a run waits to have another workflow task."""
_ASK_AGAIN: Final = RetryPolicy(maximum_attempts=3)


class _Arrival(NamedTuple):
    """Something that reached the workflow."""

    place: int
    """Where in the history, so that all that came with one task can be told from the rest."""
    now_ms: int
    """When that task began."""
    is_full: bool
    """Whether the history is so long by then that the run should go on in another workflow."""
    inbound: Inbound
    """What it is."""


class ParkedError(Exception):
    """This worker cannot drive the run, another or a newer one can: the workflow task fails and is tried again."""


@workflow.defn(dynamic=True, sandboxed=False)
class OutlastRun:
    """Drives one run."""

    @workflow.init
    def __init__(self, args: collections.abc.Sequence[RawValue]) -> None:
        """Read what the workflow was started with."""
        self._ledger = Ledger(Start.from_bytes(message_of(args[0])))
        carried = self._ledger.start.carried
        self._inbound = [_Arrival(0, 0, False, Requested(each)) for each in carried]  # noqa: FBT003
        self._handles: dict[str, workflow.ActivityHandle[RawValue]] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._move_to: bytes | None = None
        self._reopened: Start | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at: int | None = None
        self._lease = timedelta(milliseconds=self._ledger.start.lease_ms)
        self._to_tell: collections.deque[Tiding] = collections.deque()
        self._told = 0
        self._telling: asyncio.Task[None] | None = None
        self._pace = Pace(self._ledger.start.largest)
        self._fault: BaseException | None = None
        self.ended: RunStatus | None = None
        """How the run ended, as its workflow is closed: what is thrown out of a worker's cache has not ended."""
        self._shown = workflow.info().typed_search_attributes.get(STATUS)  # None if the run is not listed

    @workflow.run
    async def run(self, args: collections.abc.Sequence[RawValue]) -> RawValue:
        """Drive the run to its end. A cancel is one more thing that reaches it: it does not stop this code."""
        driving = asyncio.create_task(self._drive())
        while not driving.done():
            try:
                await asyncio.shield(driving)
            except asyncio.CancelledError:
                if driving.cancelling():  # the workflow leaves the worker's cache
                    raise
                self._arrive(Canceled(workflow.cancellation_reason() or None))
            except (ApplicationError, ParkedError, UnknownGraphError, UnknownMessageError):
                raise
            except Exception as error:
                # Anything else would leave the workflow running for ever, with a task that fails again and again.
                raise ApplicationError(repr(error), type="EngineFaultError", non_retryable=True) from error
        if self._move_to is not None:
            self._move(self._move_to)
        return self._end()

    @workflow.signal(name=REQUEST)
    def request(self, message: RawValue) -> None:
        """Take what an outsider asks."""
        request = Request.read(message_of(message))
        if request is None:
            workflow.logger.warning("a signal was ignored that is none of outlast's")
        else:
            self._arrive(Requested(request))

    @workflow.signal(name=SAID)
    def said(self, message: RawValue) -> None:
        """Take what bodies say."""
        said = Said.read(message_of(message))
        if said is None:
            workflow.logger.warning("a signal was ignored that is none of outlast's")
        else:
            self._arrive(Heard(said))

    @workflow.update(name=TAKE)
    async def take(self, message: RawValue) -> RawValue:
        """Take what an outsider asks, if something still waits for it: of those that come at once, one is taken."""
        self._check_awaited(message)
        self._arrive(Requested(Request.from_bytes(message_of(message))))
        return raw_value(b"true")

    @take.validator
    def check_taking(self, message: RawValue) -> None:
        """Refuse what nothing waits for; then the history does not even mention it."""
        self._check_awaited(message)

    def _check_awaited(self, message: RawValue) -> None:
        request = Request.read(message_of(message))
        is_first = request is not None and not any(
            isinstance(each.inbound, Requested) and each.inbound.request.topic == request.topic
            for each in self._inbound
        )
        if request is None or not is_first or self._reopened is not None or not self._ledger.awaits(request):
            raise ApplicationError("nothing waits for this any more", type=NOT_AWAITED, non_retryable=True)

    @workflow.update(name=REOPEN)
    async def reopen(self, message: RawValue) -> RawValue:
        """Let the next execution begin, in another workflow; what is asked from now on is asked of that one."""
        self._reopened = self._check_rest(message)
        self._inbound.clear()  # of a run that has ended: nothing becomes of it
        return raw_value(b"true")

    @reopen.validator
    def check_reopening(self, message: RawValue) -> None:
        """Refuse, if the run does not rest as it was read, or something is asked of it."""
        self._check_rest(message)

    def _check_rest(self, message: RawValue) -> Start:
        start, ledger = Start.from_bytes(message_of(message)), self._ledger
        is_quiet = ledger.is_over or not (self._inbound or ledger.calling or ledger.asked)
        is_ours = ledger.has_begun and self._reopened is None and not ledger.is_draining
        is_at = ledger.head == start.opening[0].seq - 1
        if not (is_quiet and is_ours and is_at and ledger.status.is_rest):
            raise ApplicationError("the run went on meanwhile", type=NOT_AWAITED, non_retryable=True)
        return start

    @workflow.query(name=FIND)
    def find(self, message: RawValue) -> RawValue:
        """Return a recorded value for a body: the input of its workflow, or the output of a node in it."""
        header, _ = unpack(message_of(message))
        scope = self._ledger.state.scope_of(str(header["path"]))
        node = header["node"]
        ref = scope.input if node is None else scope.outputs.get(str(node))
        return raw_value(pack({"is_there": ref is not None}, None if ref is None else self._ledger.resolve(ref)))

    def _arrive(self, inbound: Inbound) -> None:
        info = workflow.info()
        place, is_full = info.get_current_history_length(), info.is_continue_as_new_suggested()
        self._inbound.append(_Arrival(place, to_ms(workflow.now()), is_full, inbound))

    async def _drive(self) -> None:
        ledger = self._ledger
        info = workflow.info()
        if ledger.start.snapshot is None:
            ledger.open(to_ms(info.workflow_start_time))  # `start_time` is that of the first task
        ledger.begin(to_ms(workflow.now()), is_full=info.is_continue_as_new_suggested())
        await self._follow_up()
        self._show(ledger.listed_status())
        while not ledger.is_over:
            await self._until_something_comes()
            if self._reopened is not None:
                break
            first = self._inbound[0]
            batch = [each.inbound for each in self._inbound if each.place == first.place]
            del self._inbound[: len(batch)]
            ledger.absorb(batch, first.now_ms, is_full=first.is_full)
            await self._follow_up()
            if (message := ledger.try_to_move()) is not None:
                await self._until_all_are_told()
                await self._make_room(message)
                self._move_to = self._carry(message)
                return
            await self._issue()
            self._show(ledger.listed_status())
            if workflow.info().get_current_history_length() > _LONGEST_HISTORY:
                reason = "the history is full, and what the run still needs is too large to go on in another workflow"
                raise ApplicationError(reason, type="HistoryTooLongError", non_retryable=True)
        await self._until_all_are_told()
        if self._reopened is None:
            await self._make_room(self._result())
        if self._reopened is not None:  # also if that was asked for a moment ago
            message = self._reopened.to_bytes()
            await self._make_room(message)
            self._move_to = self._carry(message)

    async def _until_something_comes(self) -> None:
        if not self._inbound:
            await workflow.wait_condition(
                lambda: bool(self._inbound) or self._fault is not None or self._reopened is not None
            )
            self._pace.begin()
        if self._fault is not None:
            raise self._fault

    async def _make_room(self, message: bytes | None) -> None:
        """Begin another workflow task if a message does not go with this one; None if its size is not known yet."""
        is_full = self._pace.is_full if message is None else not self._pace.fits(message)
        if is_full:
            await workflow.sleep(_A_MOMENT)
            self._arrive(Rang())
            self._pace.begin()
        if message is not None:
            self._pace.add(message)

    def _carry(self, message: bytes) -> bytes:
        """Take along what came and is not folded yet: the server will not tell it to the next workflow."""
        carried = tuple(each.request for each in carried_of([each.inbound for each in self._inbound]))
        return replace(Start.from_bytes(message), carried=carried).to_bytes() if carried else message

    async def _follow_up(self) -> None:
        """Do what the ledger says must be done."""
        ledger = self._ledger
        await self._issue()
        while (asks := ledger.next_asks()) is not None:
            await self._make_room(None)
            answer = await workflow.execute_local_activity(
                ASK,
                late_value(asks),
                result_type=RawValue,
                start_to_close_timeout=_FOR_EVER,
                retry_policy=_ASK_AGAIN,
            )
            self._pace.add(message_of(answer))
            header, replies = unpack(message_of(answer))
            if "lacking" in header:
                raise ParkedError(f"this worker lacks '{header['lacking']}'; the run waits for one that has it")
            if "silent" in header:
                raise ParkedError(str(header["silent"]))
            ledger.settle([Reply.from_bytes(each) for each in replies])
            await self._issue()
        await self._issue()
        ledger.note_rest()
        self._tell()

    def _tell(self) -> None:
        """Let hooks be told of rests, one after the other; the run does not wait for them."""
        self._to_tell.extend(self._ledger.tidings.since(self._told))
        self._told = len(self._ledger.tidings.all)
        if self._to_tell and self._telling is None:
            self._telling = self._wait(self._tell_all())

    async def _tell_all(self) -> None:
        start = self._ledger.start
        while self._to_tell:
            tiding = self._to_tell.popleft()
            with suppress(ActivityError):  # it is given up; the history keeps why
                await workflow.execute_activity(
                    TELL,
                    raw_value(
                        Errand(start.run_id, tiding.kind, tiding.seq, start.hook_delay_ms, tiding.after).to_bytes()
                    ),
                    activity_id=f"?{tiding.kind}:{tiding.seq}",
                    result_type=RawValue,
                    start_to_close_timeout=_FOR_EVER,
                    heartbeat_timeout=self._lease,
                    retry_policy=_AGAIN,
                    summary=tiding.kind,
                )
        self._telling = None

    async def _until_all_are_told(self) -> None:
        await workflow.wait_condition(lambda: self._telling is None)

    async def _issue(self) -> None:
        ledger = self._ledger
        for command, message in ledger.take_calls():
            await self._make_room(message)
            self._call(command, message)
        if ledger.state.is_canceling:
            for handle in self._handles.values():
                handle.cancel()
            self._handles.clear()
        self._set_alarm(ledger.next_due())

    def _call(self, command: Calling, message: bytes) -> None:
        handle = workflow.start_activity(
            command.function if isinstance(command, RunStep | RunHook) else ASK,
            late_value(message),
            activity_id=activity_id_of(command),
            result_type=RawValue,
            start_to_close_timeout=_FOR_EVER,
            heartbeat_timeout=self._lease,
            retry_policy=_AGAIN,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        self._handles[command.path] = handle
        handle.add_done_callback(partial(self._call_ended, command.path))

    def _call_ended(self, path: str, handle: asyncio.Task[RawValue]) -> None:
        """Take what became of a call. A task that waits for it would be one more thing to switch to for each step."""
        if self._handles.get(path) is handle:
            del self._handles[path]
        if handle.cancelled():  # the workflow leaves the worker's cache
            return
        error = handle.exception()
        try:
            if error is None:
                self._arrive(Told(path, Reply.from_bytes(message_of(handle.result()))))
            elif isinstance(error, ActivityError):
                self._arrive(Lost(path))
            else:
                self._note_fault(error)
        except Exception as error:  # noqa: BLE001 - nobody awaits this callback: who drives the run raises it
            self._note_fault(error)

    def _set_alarm(self, due_at_ms: int | None) -> None:
        if due_at_ms == self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due_at_ms
        self._alarm = None if due_at_ms is None else self._wait(self._ring(due_at_ms))

    async def _ring(self, due_at_ms: int) -> None:
        await workflow.sleep(timedelta(milliseconds=max(1, due_at_ms - to_ms(workflow.now()))))
        self._alarm = self._alarm_at = None
        self._arrive(Rang())

    def _wait(self, coroutine: collections.abc.Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._waiting.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Let the workflow task fail in which something could not be read: nobody else would hear of it."""
        self._waiting.discard(task)
        if not task.cancelled():
            self._note_fault(task.exception())

    def _note_fault(self, error: BaseException | None) -> None:
        if self._fault is None:
            self._fault = error

    def _show(self, status: RunStatus) -> None:
        """Tell the lists of the server what the run is doing, if it is listed and that has changed.

        How it ended, its workflow tells, except when a body aborted it.
        """
        ends_as_shown = status.is_terminal and not self._is_aborted and self._telling is None
        if self._shown in (None, status.value) or ends_as_shown:
            return
        self._shown = status.value
        workflow.upsert_search_attributes([STATUS.value_set(status.value)])  # pyright: ignore[reportUnknownMemberType]

    def _move(self, message: bytes) -> NoReturn:
        """Go on in another workflow. Lists show the run once, with the time at which it was started."""
        if self._shown is None:
            workflow.continue_as_new(raw_value(message))
        state, opened = self._ledger.state, self._reopened
        pairs = later(self._ledger.created_at_ms, state.execution if opened is None else opened.opening[-1].execution)
        known = workflow.info().typed_search_attributes.updated(*pairs)  # pyright: ignore[reportUnknownMemberType]
        workflow.continue_as_new(raw_value(message), search_attributes=known)

    @property
    def _is_aborted(self) -> bool:
        """Whether a body ended the run, and nobody asked Temporal for it."""
        return self._ledger.state.finished is RunStatus.CANCELED and workflow.cancellation_reason() is None

    def _end(self) -> RawValue:
        """End the workflow as the run ended, so that Temporal's own tools show it."""
        state = self._ledger.state
        self.ended = state.finished
        if state.finished is RunStatus.CANCELED:
            if not self._is_aborted:
                raise asyncio.CancelledError  # Temporal shows `Canceled` only if it was asked to cancel
            raise ApplicationError("a body aborted the run", type=RUN_CANCELED, non_retryable=True)
        if state.finished is RunStatus.FAILED or state.result is None:
            message = "the run failed; its history says why"
            raise ApplicationError(message, type=RUN_FAILED, non_retryable=True)
        return raw_value(self._result())

    def _result(self) -> bytes:
        """Return what Temporal's own tools show as the result; the journal has it in parts, whatever its size."""
        result = self._ledger.state.result
        if result is None:
            return b"null"
        raw = self._ledger.resolve(result)
        return raw if len(raw) <= LARGEST_MESSAGE else encode("too large to be shown as one value")
