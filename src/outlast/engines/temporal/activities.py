"""The activities: a dynamic one that calls bodies, and a local one that answers what steers a run."""

from __future__ import annotations

import asyncio
import collections.abc
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from time import perf_counter
from typing import Any, Final, NoReturn

from temporalio import activity
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from outlast.core.flow.hook import ON_START_PATH
from outlast.engines.answers import converter
from outlast.engines.metrics import STEP_DURATION, Meter, without_positions
from outlast.engines.perform import (
    Call,
    Outcome,
    Raised,
    Returned,
    Suspended,
    check_value,
    decode_init,
    is_done,
    perform_async,
    perform_sync,
)
from outlast.engines.telemetry import Tracer
from outlast.engines.temporal.attempt import Attempt
from outlast.engines.temporal.carrying import Carrier
from outlast.engines.temporal.flow import ASK
from outlast.engines.temporal.lookups import RemoteLookup, TableLookup
from outlast.engines.temporal.messages import Ask, Asks, Reply, Task, Verdict
from outlast.engines.temporal.mouth import Mouths, Speaker
from outlast.engines.temporal.packing import pack
from outlast.engines.temporal.past import BENIGN, Past
from outlast.engines.temporal.payloads import raw_value
from outlast.engines.temporal.pulse import Pulse
from outlast.engines.temporal.said import Uttered
from outlast.engines.temporal.sightings import Sightings
from outlast.engines.temporal.tasks import path_of
from outlast.engines.threads import BodyThreads
from outlast.errors import PayloadTooLargeError, StoreError, StoreUnavailableError, StreamWriteError
from outlast.failures import FailureInfo, describe_exception
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.compose import WorkflowTypes
from outlast.graph.context import AttemptFacts, CancelFlag, ReadContext, RunFacts, StepContext
from outlast.graph.function import Function
from outlast.graph.hook import StartInfo
from outlast.graph.source import source_from_json
from outlast.graph.source_map import source_function
from outlast.sealing import Disclosure, Sealer, disclosure_for, opened
from outlast.trace import attempt_trace, run_trace
from outlast.values import JsonValue, decode

__all__ = ["Activities"]

_log = logging.getLogger("outlast.worker")

_SHORTEST_BEAT: Final = 0.25
"""Seconds between two heartbeats of a call: their answers tell of a cancel."""
_LONGEST_BEAT: Final = 0.9
"""The same when many bodies are in flight; well below the shortest lease."""
_BEAT_PER_BODY: Final = 0.01
"""What each body in flight adds, so that a worker makes about 100 heartbeats a second."""
_UNKNOWN_AGAIN: Final = timedelta(seconds=1)


class Activities:
    """Calls the functions of this process's workflows."""

    def __init__(
        self,
        client: Client,
        workflows: Sequence[CommittedWorkflow[Any, Any]],
        *,
        now_ms: Callable[[], int],
        threads: BodyThreads,
        sealers: Mapping[str, Sealer],
        tracer: Tracer | None,
        meter: Meter | None,
        most_said: int,
    ) -> None:
        self._client = client
        self._workflows = {workflow.id: workflow for workflow in workflows}
        self._now_ms = now_ms
        self._threads = threads
        self._sealers = sealers
        self._tracer = tracer
        self._meter = meter
        self._carrier = Carrier(client.data_converter)
        self._most_said = most_said
        self.sightings = Sightings()
        """What is heard here of the runs for which somebody waits."""
        self._mouths: Mouths | None = None
        self._in_flight = 0

    @activity.defn(dynamic=True)
    async def call(self, args: collections.abc.Sequence[RawValue]) -> RawValue:
        """Call the body of a step, and return what became of it: what a body raises is no failure of the activity."""
        past = _past()
        message = await self._fetch(args[0])
        if isinstance(message, FailureInfo):
            return await self._carrier.insist(self._reply(Raised(message), past))
        task = _task_of(message)
        function = self._find_function(task.workflow, task.function)
        if function is None:
            return self._leave_to_another(task.function, task.workflow)
        if past.restarts and await _is_cancel_requested(self._client):
            return await self._carrier.insist(self._reply("canceled", past))
        attempt = Attempt(
            task.path,
            timeout_ms=task.timeout_ms,
            grace_ms=task.grace_ms,
            threads=self._threads,
            enter=self._enter(task),
            speaker=self._speaker(task, past),
        )
        if task.path == ON_START_PATH:
            call = self._call_of_hook(task, function)
        else:
            call = self._call_of(task, function, attempt, is_recovered=past.restarts > 0)
        begun = perf_counter()
        fits = partial(self._fits, task) if task.is_last else None
        reply = await self._attend(attempt, call, past, crashes_left=task.crashes_left, fits=fits)
        if self._meter is not None and attempt.how is not None and task.path != ON_START_PATH:
            labels = (task.workflow, without_positions(task.path), attempt.how)
            self._meter.record(STEP_DURATION, perf_counter() - begun, *labels)
        return reply

    @activity.defn(name=ASK)
    async def ask(self, message: RawValue) -> RawValue:
        """Answer questions: call maps and functions that steer the run, check declared types.

        As a local activity it holds up the run, so it leaves functions that may wait for something to one that is not.
        """
        if activity.info().is_local:
            try:
                asks = Asks.from_bytes(await self._carrier.fetch(message))
                return await self._carrier.leave(await self._answer_all(asks))
            except StoreError as error:  # the run waits until its values can be had
                return raw_value(pack({"silent": str(error)}))
        fetched = await self._fetch(message)
        if isinstance(fetched, FailureInfo):
            return await self._carrier.insist(self._reply(Raised(fetched), _past()))
        asks = Asks.from_bytes(fetched)
        [ask] = asks.asks
        if not self._knows(asks.workflow, ask):
            return self._leave_to_another(ask.function, asks.workflow)
        attempt = Attempt(ask.path, timeout_ms=None, grace_ms=asks.grace_ms, threads=self._threads)
        call = self._question(asks, ask)
        return await self._attend(attempt, call, _past(), crashes_left=asks.crashes_left)

    @property
    def mouths(self) -> int:
        """How many runs say something here."""
        return 0 if self._mouths is None else len(self._mouths)

    async def _answer_all(self, asks: Asks) -> bytes:
        lacking = next((each.function for each in asks.asks if not self._knows(asks.workflow, each)), None)
        if lacking is not None:
            return pack({"lacking": lacking})
        replies: list[bytes] = []
        room = self._carrier.largest // 2
        for ask in asks.asks:  # the rest is asked again if their answers do not go into one message
            replies.append(self._fitting(await self._answer(asks, ask)))
            room -= len(replies[-1])
            if room < 0:
                break
        return pack({}, *replies)

    def _fitting(self, reply: Reply) -> bytes:
        """Return the message of an answer, of which two must go into one message."""
        message, limit = reply.to_bytes(), self._carrier.largest // 2 - 1_024
        if len(message) <= limit:
            return message
        error = PayloadTooLargeError("what became of a question", len(message), limit)
        return replace(reply, outcome=Raised(describe_exception(error, is_retryable=False))).to_bytes()

    async def _fetch(self, value: RawValue) -> bytes | FailureInfo:
        """Return the message of an activity, or why it is lost; leave the call for later if the store is silent."""
        try:
            return await self._carrier.fetch(value)
        except StoreUnavailableError as error:
            _log.warning("'%s' waits: %s", activity.info().activity_id, error)
            self._leave("ObjectStoreSilent", str(error))
        except StoreError as error:
            return describe_exception(error, is_retryable=False)

    async def _attend(
        self,
        attempt: Attempt,
        call: Call,
        past: Past,
        *,
        crashes_left: int,
        fits: Callable[[Outcome | None], bool] | None = None,
    ) -> RawValue:
        """Call a function, be there while it runs, and return what became of it; `fits` looks at it before."""
        if past.crashes > crashes_left:
            return await self._carrier.insist(self._reply("poison", past))
        self._in_flight += 1
        self.sightings.note(activity.info().workflow_id, goes_on=True)
        pulse = Pulse(past, self._pause)
        try:
            attempt.start(call)
            outcome = await _until_over(attempt, past)
            uttered: Sequence[Uttered] = ()
            try:
                uttered = () if attempt.speaker is None else await attempt.speaker.finish()
            except StreamWriteError as error:  # nothing that was said is lost silently
                outcome = Raised(describe_exception(error, is_retryable=False))
            self.sightings.note(activity.info().workflow_id, goes_on=not isinstance(outcome, Suspended))
            is_fitting = fits is not None and fits(outcome)
            message = self._reply("canceled" if outcome is None else outcome, past, uttered, fits=is_fitting)
            return await self._carrier.insist(message)
        finally:
            if attempt.speaker is not None:
                attempt.speaker.leave()
            self._in_flight -= 1
            pulse.stop()
            await attempt.close()

    def _leave_to_another(self, reference: str, workflow_id: str) -> NoReturn:
        """Leave a call to a worker that has the function."""
        message = f"this worker lacks '{reference}' of workflow '{workflow_id}'; start one that has it"
        self._leave("UnknownFunction", message)

    def _leave(self, kind: str, message: str) -> NoReturn:
        """Have a call tried again, here or elsewhere; that is not counted."""
        activity.heartbeat(*_past().put_back().details)
        raise ApplicationError(message, type=kind, next_retry_delay=_UNKNOWN_AGAIN, category=BENIGN)

    def _pause(self) -> float:
        """Return the seconds between two heartbeats of one call: the more the more of them there are."""
        return min(_LONGEST_BEAT, max(_SHORTEST_BEAT, self._in_flight * _BEAT_PER_BODY))

    def _speaker(self, task: Task, past: Past) -> Speaker:
        if self._mouths is None:
            self._mouths = Mouths(
                self._client, now_ms=self._now_ms, most=self._most_said, limit=self._carrier.largest // 2
            )
        info = activity.info()
        return Speaker(self._mouths, task, past, (info.workflow_id or "", info.workflow_run_id or ""))

    def _fits(self, task: Task, outcome: Outcome | None) -> bool:
        """Say whether what a last step returned fits the type that its workflow declares.

        Why something does not fit, the run asks when it ends.
        """
        if not isinstance(outcome, Returned):
            return False
        decode = self._types(task.workflow, task.scope).output.decode
        return check_value(outcome.payload, task.path, decode, self._sealers.get(task.workflow)) is None

    def _reply(
        self, outcome: Outcome | Verdict, past: Past, uttered: Sequence[Uttered] = (), *, fits: bool = False
    ) -> bytes:
        reply = Reply(self._now_ms(), outcome, past.restarts, past.crashes, uttered, fits)
        message = reply.to_bytes()
        largest = self._carrier.largest
        if len(message) > largest:
            error = PayloadTooLargeError("what became of a step", len(message), largest)
            refused = Raised(describe_exception(error, is_retryable=False))
            message = replace(reply, outcome=refused, fits=False).to_bytes()
        return message

    def _is_sampled(self, source: Task | Asks) -> bool:
        return self._tracer is None or self._tracer.is_sampled(source.run_id, source.workflow, source.tracing)

    def _enter(self, task: Task) -> Callable[[], None] | None:
        """Return what makes the span of an attempt the current one of a body; None without tracing."""
        if self._tracer is None:
            return None
        run = run_trace(task.run_id, task.execution, task.tracing, is_sampled=self._is_sampled(task))
        is_hook = task.path == ON_START_PATH
        call = (task.attempt, task.suspensions)
        place = run if is_hook else attempt_trace(run, task.run_id, task.execution, task.path, call=call)
        return partial(self._tracer.enter, place)

    def _find_function(self, workflow_id: str, reference: str) -> Function | None:
        workflow = self._workflows.get(workflow_id)
        return None if workflow is None else workflow.functions.get(reference)

    def _knows(self, workflow_id: str, ask: Ask) -> bool:
        """Say whether a question can be answered here."""
        if ask.kind == "check" or ask.sources is not None:
            workflow = self._workflows.get(workflow_id)
            return workflow is not None and ask.scope in workflow.composition.types
        return self._find_function(workflow_id, ask.function) is not None

    def _types(self, workflow_id: str, scope: str) -> WorkflowTypes:
        return self._workflows[workflow_id].composition.types[scope]

    def _call_of(self, task: Task, function: Function, attempt: Attempt, *, is_recovered: bool) -> Call:
        types = self._types(task.workflow, task.scope)
        has_suspended = task.suspend_data is not None
        facts = AttemptFacts(
            attempt=task.attempt,
            is_recovered=is_recovered,
            canceled=CancelFlag(attempt.canceled),
            is_resumed=task.resume_data is not None,
            suspensions=task.suspensions,
            is_timed_out=has_suspended and task.resume_data is None,
            suspend_data=task.suspend_data,
            resume_data=task.resume_data,
        )
        info = activity.info()
        handle = self._client.get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
        lookup = RemoteLookup(handle, types.input)
        run = RunFacts(
            run_id=task.run_id,
            workflow_id=task.scope,
            resource_id=task.resource_id,
            execution=task.execution,
            request_context=task.request_context,
            tracing=task.tracing,
            is_sampled=self._is_sampled(task),
        )

        def make_context(value: object) -> ReadContext[Any]:
            return StepContext(
                run,
                task.path,
                value,
                lookup=lookup,
                function=function,
                facts=facts,
                data=_object(task.state),
                state_type=function.state or types.state,
            )

        subject = f"step '{task.path}'"
        return Call(
            function,
            task.input,
            subject,
            task.request_context,
            make_context,
            limit=self._carrier.largest,
            disclosure=self._disclose(task.workflow),
        )

    def _disclose(self, workflow_id: str) -> Disclosure | None:
        return disclosure_for(self._sealers, workflow_id)

    def _call_of_hook(self, task: Task, function: Function) -> Call:
        types = self._types(task.workflow, task.scope)

        def tell(_: object) -> StartInfo:
            return StartInfo(
                run_id=task.run_id,
                workflow_id=task.scope,
                resource_id=task.resource_id,
                input=decode_init(types.input, opened(task.input)),
                state=types.state.decode(_object(task.state)),
                request_context=_object(opened(task.request_context)),
            )

        disclosure = self._disclose(task.workflow)
        return Call(function, task.input, "hook 'on_start'", task.request_context, tell, is_done, disclosure=disclosure)

    async def _answer(self, asks: Asks, ask: Ask) -> Reply:
        """Answer a question at once, or say that it may take long."""
        if ask.kind == "check":
            types = self._types(asks.workflow, ask.scope)
            schema = types.input if ask.function == "input" else types.output
            failure = check_value(asks.values[ask.value], ask.subject, schema.decode, self._sealers.get(asks.workflow))
            return Reply(self._now_ms(), "fits" if failure is None else Raised(failure))
        call = self._question(asks, ask)
        if ask.sources is not None:  # waits for nothing: all that it reads came with the question
            return Reply(self._now_ms(), await perform_async(call, _no_watch))
        return Reply(self._now_ms(), "elsewhere" if call.function.is_async else perform_sync(call))

    def _question(self, asks: Asks, ask: Ask) -> Call:
        if ask.sources is None:
            function = self._workflows[asks.workflow].functions[ask.function]
        else:
            function = source_function({key: source_from_json(_json(each)) for key, each in _json(ask.sources).items()})
        types = self._types(asks.workflow, ask.scope)
        run = RunFacts(
            run_id=asks.run_id,
            workflow_id=ask.scope,
            resource_id=asks.resource_id,
            execution=asks.execution,
            request_context=asks.request_context,
            tracing=asks.tracing,
            is_sampled=self._is_sampled(asks),
        )
        make_context = partial(
            ReadContext,
            run,
            ask.path,
            lookup=TableLookup(asks, ask, types.input),
            data=_object(asks.state),
            state_type=types.state,
            iteration_count=ask.iteration_count,
        )
        subject = f"map '{ask.path}'" if ask.kind == "map" else f"'{ask.path}'"
        convert = None if ask.purpose is None else converter(ask.purpose, self._now_ms())
        raw = asks.values[ask.value]
        return Call(
            function,
            raw,
            subject,
            asks.request_context,
            make_context,
            convert,
            limit=self._carrier.largest // 2,
            disclosure=self._disclose(asks.workflow),
        )


async def _until_over(attempt: Attempt, past: Past) -> Outcome | None:
    """Wait for the body. A cancel of the run reaches it, and so does the end of this worker."""
    while True:
        try:
            return await attempt.outcome()
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details is not None and details.cancel_requested:
                attempt.cancel()
                continue
            attempt.stop()
            if details is not None and details.worker_shutdown:
                activity.heartbeat(*past.hand_back().details)
                message = "the worker ends; the step runs again elsewhere"
                raise ApplicationError(message, type="HandedBack", category=BENIGN) from None
            raise


def _no_watch(context: StepContext) -> None:
    """Questions get no context of a step."""


async def _is_cancel_requested(client: Client) -> bool:
    """Ask whether the run is to be canceled, before a body is called again: its workflow may not have learned it yet.

    If the server does not answer the body is called, and heartbeats tell of the cancel.
    """
    info = activity.info()
    workflow = client.get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
    try:
        return (await workflow.describe()).raw_description.workflow_extended_info.cancel_requested
    except RPCError as error:
        _log.warning("'%s' is called again without knowing whether it is canceled: %s", info.activity_id, error)
        return False


def _task_of(message: bytes) -> Task:
    info = activity.info()
    workflow, path = info.workflow_type or "", path_of(info.activity_id)
    return Task.from_bytes(message, workflow=workflow, path=path, function=info.activity_type)


def _past() -> Past:
    info = activity.info()
    return Past.of(info.attempt, info.heartbeat_details)


def _object(raw: bytes) -> dict[str, JsonValue]:
    return _json(decode(raw))


def _json(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}
