"""Declared types of the request context: rules 1.1, 1.2, 2.3 and 21."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from behaviour.bench import Bench, begin
from outlast import InputError, StepContext, Workflow, step


@dataclass(frozen=True)
class Tenant:
    tenant: int


@step
async def look(x: Any, ctx: StepContext) -> dict[str, Any]:
    return dict(ctx.request_context)


@pytest.mark.parametrize(
    ("given", "path"), [({"tenant": "x"}, "tenant"), ({}, "tenant"), (None, "tenant"), ({"tenant": [1]}, "tenant")]
)
async def test_context_that_does_not_fit_is_refused_at_start(bench: Bench, given: Any, path: str) -> None:
    """2.3: the request context is validated before anything is written; `InputError` names each path."""
    workflow = Workflow("w", request_context=Tenant).then(look).commit()
    async with bench.app(workflow) as app:
        run = await app.create_run(workflow, run_id="run")
        with pytest.raises(InputError) as caught:
            await run.start_async(request_context=given)

    assert [problem.path for problem in caught.value.problems] == [path]
    assert "request_context" in str(caught.value)
    assert await bench.row("run") is None


async def test_run_id_of_a_refused_start_is_still_free(bench: Bench) -> None:
    """2.3: nothing is recorded."""
    workflow = Workflow("w", request_context=Tenant).then(look).commit()
    async with bench.app(workflow) as app:
        run = await app.create_run(workflow, run_id="run")
        with pytest.raises(InputError):
            await run.start(request_context={"tenant": "x"})
        result = await run.start(request_context={"tenant": 1})

    assert result.result == {"tenant": 1}


async def test_context_type_must_be_an_object(bench: Bench) -> None:
    """2.3: a request context is an object, whatever its type allows."""
    workflow = Workflow("w", request_context=list[int]).then(look).commit()
    async with bench.app(workflow) as app:
        run = await app.create_run(workflow, run_id="run")
        with pytest.raises(InputError, match="an object is needed"):
            await run.start_async(request_context=[1])

    assert await bench.row("run") is None


@pytest.mark.parametrize("is_async", [True, False])
async def test_step_whose_context_type_does_not_fit_fails_before_its_body(bench: Bench, is_async: bool) -> None:
    """21: a step whose own `request_context` type does not fit fails; 9.2: it is not tried again."""
    calls: list[str] = []

    @step(id="body", request_context=Tenant, retries=3)
    async def needy(x: Any) -> None:
        calls.append("called")

    @step(id="body", request_context=Tenant, retries=3)
    def needy_sync(x: Any) -> None:
        calls.append("called")

    result = await bench.run(
        Workflow("w").then(look).then(needy if is_async else needy_sync).commit(), request_context={"tenant": "x"}
    )

    assert (result.status, result.error_path, calls) == ("failed", "body", [])
    assert result.error is not None
    assert (result.error.type, result.steps["body"].attempts) == ("InputError", 1)
    assert "tenant" in result.error.message
    assert result.steps["look"].status == "success"


async def test_step_whose_context_type_fits_runs(bench: Bench) -> None:
    """1.1: what a step declares is what it needs; other entries are nobody's business."""

    @step(request_context=Tenant)
    async def needy(x: Any, ctx: StepContext) -> Any:
        return ctx.request_context["tenant"]

    result = await bench.run(Workflow("w").then(needy).commit(), request_context={"tenant": 7, "other": "x"})

    assert result.result == 7


async def test_resumer_gives_what_a_later_step_needs(bench: Bench) -> None:
    """21: `resume(request_context=...)`: the caller's entries win, the stored ones fill gaps, typed ones too."""

    @step(request_context=Tenant)
    async def needy(x: Any, ctx: StepContext) -> dict[str, Any]:
        return dict(ctx.request_context)

    workflow = Workflow("w").wait_for("answer").then(needy).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, request_context={"tenant": "x", "kept": 1})
        await started.result()
        result = await started.resume(request_context={"tenant": 2})

    assert result.result == {"tenant": 2, "kept": 1}


async def test_context_types_hold_after_a_recovery(bench: Bench) -> None:
    """21: in another process the merged context is the same."""

    @step(request_context=Tenant)
    async def needy(x: Any, ctx: StepContext) -> dict[str, Any]:
        return dict(ctx.request_context)

    workflow = Workflow("w").wait_for("answer").sleep(0.01).then(needy).commit()
    await bench.run(workflow, run_id="run", request_context={"kept": 1})
    async with bench.app(workflow, worker=False) as app:
        await app.run("run").resume_async(request_context={"tenant": 2})
    async with bench.app(workflow) as app:
        result = await app.run("run").result(until="end", timeout=5)

    assert result.result == {"tenant": 2, "kept": 1}
