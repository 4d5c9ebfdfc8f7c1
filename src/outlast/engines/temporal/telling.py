"""The activity that tells hooks, and a tracing system, of the rests of a run: at least once, in up to five tries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NoReturn

from temporalio import activity
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from outlast.core.history import History
from outlast.core.spans import ended_spans
from outlast.core.view import fold_state
from outlast.engines.hook_calls import HookCalls
from outlast.engines.telemetry import Tracer
from outlast.engines.temporal.flow import TELL
from outlast.engines.temporal.past import BENIGN, Past
from outlast.engines.temporal.payloads import message_of, raw_value
from outlast.engines.temporal.pulse import Pulse
from outlast.engines.temporal.reading import Reading
from outlast.engines.temporal.tidings import MOST_TRIES, SPANS, Errand
from outlast.errors import StoreUnavailableError
from outlast.failures import FailureInfo, describe_exception
from outlast.graph.committed import CommittedWorkflow
from outlast.graph.function import Function
from outlast.results import RunResult, read_result
from outlast.sealing import Disclosure, Sealer, disclosure_for

__all__ = ["Telling"]

_log = logging.getLogger("outlast.worker")

_AT_A_TIME: Final = 16
_BEAT: Final = 0.5
"""Seconds between two heartbeats."""
_UNKNOWN_AGAIN: Final = timedelta(seconds=1)
_AT_ONCE: Final = timedelta(milliseconds=100)


class Telling:
    """Calls the hooks of this process's workflows."""

    def __init__(
        self,
        client: Client,
        workflows: Sequence[CommittedWorkflow[Any, Any]],
        *,
        hook_timeout: timedelta,
        sealers: Mapping[str, Sealer],
        tracer: Tracer | None,
    ) -> None:
        self._client = client
        self._workflows = {workflow.id: workflow for workflow in workflows}
        self._hook_timeout = hook_timeout
        self._sealers = sealers
        self._tracer = tracer
        self._made: HookCalls | None = None

    @activity.defn(name=TELL)
    async def tell(self, message: RawValue) -> RawValue:
        """Call a hook. Each call counts as a try, also if the process ends in it; what was left to others does not."""
        errand = Errand.from_bytes(message_of(message))
        info = activity.info()
        past = Past.of(info.attempt, info.heartbeat_details)
        tries = past.crashes + 1
        if errand.kind == SPANS:
            failure = await self._export(errand)
            if failure is not None:
                self._fail(errand, min(tries, MOST_TRIES), failure)
            return raw_value(b"null")
        workflow = self._workflows.get(info.workflow_type or "")
        function = None if workflow is None else workflow.functions.get(f"{workflow.id}?{errand.kind}")
        if workflow is None or function is None:
            self._leave(past, f"this worker lacks the hook '{errand.kind}'", _UNKNOWN_AGAIN)
        failure = await self._call(workflow, function, errand, past) if tries <= MOST_TRIES else _crashed(errand)
        if failure is not None:
            self._fail(errand, min(tries, MOST_TRIES), failure)
        return raw_value(b"null")

    async def close(self) -> None:
        """Wait a moment for the calls that were canceled."""
        if self._made is not None:
            await self._made.close()

    async def _call(
        self, workflow: CommittedWorkflow[Any, Any], function: Function, errand: Errand, past: Past
    ) -> FailureInfo | None:
        pulse = Pulse(past, lambda: _BEAT)
        try:
            disclosure = disclosure_for(self._sealers, workflow.id)
            result = await self._read(workflow, errand, disclosure)
            return await self._calls.call(function, errand.kind, result, disclosure)
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details is not None and details.worker_shutdown:
                self._leave(past, "the worker ends; the hook is called elsewhere", _AT_ONCE)
            raise
        except Exception as error:  # noqa: BLE001 - what cannot be read counts as a try like any other
            return describe_exception(error)
        finally:
            pulse.stop()

    async def _export(self, errand: Errand) -> FailureInfo | None:
        """Hand what has ended to the tracing system; a worker that has none tells nobody. Return why it failed."""
        if self._tracer is None:
            return None
        try:
            now = await self._read_until(errand)
            records = [record for record in now.records if record.seq <= errand.seq]
            tracing, spans = ended_spans(now.run_id, now.graph, records, after=errand.after)
        except Exception as error:  # noqa: BLE001 - what cannot be read must not keep the workflow open for ever
            return describe_exception(error)
        if spans and self._tracer.is_sampled(now.run_id, now.workflow_id, tracing):
            self._tracer.export(spans)
        return None

    async def _read_until(self, errand: Errand) -> History:
        reading = Reading(self._client, activity.info().workflow_id or "")
        await reading.read()
        now = reading.history()
        if now is None or now.head < errand.seq:
            raise StoreUnavailableError("the history does not show yet what is to be told")
        return now

    async def _read(
        self, workflow: CommittedWorkflow[Any, Any], errand: Errand, disclosure: Disclosure | None
    ) -> RunResult[Any]:
        """Read the run as it was at the event that is told of."""
        now = await self._read_until(errand)
        records = [record for record in now.records if record.seq <= errand.seq]
        state = fold_state(now.graph, records)
        history = History(
            run_id=now.run_id,
            workflow_id=now.workflow_id,
            resource_id=now.resource_id,
            execution=state.execution,
            status=state.status(),
            created_at_ms=now.created_at_ms,
            graph=now.graph,
            head=errand.seq,
            records=records,
        )
        return read_result(history, workflow.output, with_state=True, disclosure=disclosure)

    def _leave(self, past: Past, why: str, pause: timedelta) -> NoReturn:
        """Leave the call to another worker; it does not count."""
        activity.heartbeat(*past.put_back().details)
        raise ApplicationError(why, type="HandedBack", next_retry_delay=pause, category=BENIGN) from None

    def _fail(self, errand: Errand, tries: int, failure: FailureInfo) -> NoReturn:
        is_last = tries >= MOST_TRIES
        _log.log(
            logging.ERROR if is_last else logging.WARNING,
            "%s of run %s failed (try %d of %d), %s: %s: %s",
            "the export of spans" if errand.kind == SPANS else f"hook '{errand.kind}'",
            errand.run_id,
            tries,
            MOST_TRIES,
            "it is given up" if is_last else "it is tried again",
            failure.type,
            failure.message,
        )
        pause = timedelta(milliseconds=max(1, errand.pause_ms) * 4 ** (tries - 1))
        raise ApplicationError(
            failure.message, type=failure.type, non_retryable=is_last, next_retry_delay=pause, category=BENIGN
        )

    @property
    def _calls(self) -> HookCalls:
        if self._made is None:
            self._made = HookCalls(_AT_A_TIME, self._hook_timeout)
        return self._made


def _crashed(errand: Errand) -> FailureInfo:
    message = f"the process ended each time while it called '{errand.kind}'"
    return FailureInfo(type="HookCrashedError", message=message)
