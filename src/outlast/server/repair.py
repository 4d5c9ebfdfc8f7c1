"""Letting runs go on in another execution, or as another run, on behalf of somebody."""

from __future__ import annotations

from typing import Any

from outlast.beginning import Run
from outlast.run import RunHandle
from outlast.server.auth import Principal
from outlast.server.service import Service
from outlast.server.wire.body import ForkBody, RestartBody, TimeTravelBody

__all__ = ["fork", "restart", "time_travel"]


async def restart(
    service: Service, workflow_id: str | None, run_id: str, principal: Principal, body: RestartBody
) -> RunHandle[Any]:
    """Open the next execution of a failed or canceled run, and return a handle that waits for it."""
    await service.find(run_id, principal, workflow_id=workflow_id)
    return await service.outlast.run(run_id).restart_async(
        request_context=body.request_context, per_step=bool(body.per_step)
    )


async def time_travel(
    service: Service, workflow_id: str | None, run_id: str, principal: Principal, body: TimeTravelBody
) -> RunHandle[Any]:
    """Let a run that rests, or was never started, go on from a step; return a handle that waits for it."""
    found = await service.find(run_id, principal, workflow_id=workflow_id)
    workflow = service.outlast.workflows.get(found.workflow_id)
    run: Run[Any, Any] | RunHandle[Any] = service.outlast.run(run_id)
    if workflow is not None:
        run = await service.outlast.create_run(workflow, run_id=run_id, resource_id=found.resource_id)
    return await run.time_travel_async(body.step, **_options(body))


async def fork(service: Service, run_id: str, principal: Principal, body: ForkBody) -> RunHandle[Any]:
    """Start a new run that goes on from a step of this one, and return a handle on it."""
    await service.find(run_id, principal)
    resource_id = principal.owner_of(body.resource_id)
    return await service.outlast.run(run_id).fork_async(
        body.step, run_id=body.run_id, resource_id=resource_id, **_options(body)
    )


def _options(body: TimeTravelBody) -> dict[str, Any]:
    nested = {
        f"{workflow}.{step}": each.output
        for workflow, steps in body.nested_steps_context.items()
        for step, each in steps.items()
    }
    return {
        "input_data": body.input_data,
        "resume_data": body.resume_data,
        "initial_state": body.initial_state,
        "context": {path: each.output for path, each in body.context.items()} | nested,
        "request_context": body.request_context,
        "per_step": bool(body.per_step),
    }
