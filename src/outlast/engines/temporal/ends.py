"""How runs end, counted where their workflow does: in the worker that ends it, and not when its history is replayed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from outlast.core.status import RunStatus
from outlast.engines.metrics import RUNS_ENDED, Meter
from outlast.engines.temporal.flow import OutlastRun

__all__ = ["CountedEnds"]

_REMEMBERED: Final = 10_000


class CountedEnds(Interceptor):
    """Counts the ends of runs in one worker.

    A server that refuses an end, because something reached the run meanwhile, lets the worker end it again: that is
    counted once, as long as the same worker does it.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._counted: OrderedDict[str, None] = OrderedDict()

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,
    ) -> type[WorkflowInboundInterceptor]:
        """Return what is around each workflow of the worker."""
        del input
        note = self._note

        class Inbound(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: ANN401 - the SDK's
                try:
                    result = await super().execute_workflow(input)
                except ApplicationError:
                    note(RunStatus.FAILED)
                    raise
                except asyncio.CancelledError:  # it was canceled, or it leaves the worker's cache
                    note(None)
                    raise
                note(RunStatus.SUCCESS)
                return result

        return Inbound

    def _note(self, otherwise: RunStatus | None) -> None:
        """Count the end of a run as it ended; `otherwise` of one that a fault has ended."""
        if workflow.unsafe.is_replaying():
            return
        run: object = workflow.instance()
        if not isinstance(run, OutlastRun):
            return
        status, info = run.ended or otherwise, workflow.info()
        if status is None or info.run_id in self._counted:
            return
        self._counted[info.run_id] = None
        if len(self._counted) > _REMEMBERED:
            self._counted.popitem(last=False)
        self._meter.add(RUNS_ENDED, 1, info.workflow_type, status.value)
