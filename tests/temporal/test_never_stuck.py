"""What would leave a workflow of Temporal running for ever is a recorded failure, or is refused (rule 9.5)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client

from behaviour.bench import begin
from eventually import eventually
from outlast import PayloadTooLargeError, RateLimit, StepContext, UnsupportedByEngineError, Workflow, step
from outlast.engines.capability import Capability
from outlast.engines.temporal.flow import REQUEST, SAID
from outlast.engines.temporal.ledger import Ledger
from temporal.place import Place

pytestmark = pytest.mark.slow

LARGE = 700_000
"""Three of these are more than a message of Temporal may have."""


@step
async def much(x: Any) -> str:
    return "x" * LARGE


@step
async def too_much(x: Any) -> str:
    return "x" * (4 * LARGE)


@step
async def size_of(x: Any) -> int:
    return len(str(x))


@step
async def ask(x: Any, ctx: StepContext) -> Any:
    return ctx.resume_data if ctx.resumed else ctx.suspend()


PARTS = [much.clone(id=f"part{number}") for number in range(4)]


def chained(workflow: Any, maps: int) -> Any:
    """Add maps that each answer much."""
    for number in range(maps):
        workflow = workflow.map(lambda ctx: "x" * LARGE, id=f"map{number}")
    return workflow.commit()


async def run_of(place: Place, workflow: Any, value: Any = None) -> Any:
    async with place.app(workflow, lease=15) as app:
        run = await app.create_run(workflow)
        async with asyncio.timeout(40):
            return await run.start(input_data=value)


async def test_output_that_is_too_large(place: Place) -> None:
    result = await run_of(place, Workflow("w").then(too_much).commit())

    assert (result.status, result.error_path, result.error.type) == ("failed", "too_much", "PayloadTooLargeError")


async def test_input_that_is_too_large_when_it_is_joined(place: Place) -> None:
    result = await run_of(place, Workflow("w").parallel(PARTS).then(size_of).commit())

    assert (result.status, result.error_path, result.error.type) == ("failed", "size_of", "PayloadTooLargeError")


async def test_question_that_is_too_large_when_it_is_joined(place: Place) -> None:
    workflow = Workflow("w").parallel(PARTS).map(lambda ctx: len(ctx.input), id="count").commit()

    result = await run_of(place, workflow)

    assert (result.status, result.error_path, result.error.type) == ("failed", "count", "PayloadTooLargeError")


async def test_values_that_a_map_does_not_need_are_no_matter(place: Place) -> None:
    """What could be asked for comes along as far as there is room."""
    workflow = Workflow("w", input=str).then(PARTS[0]).then(PARTS[1]).then(PARTS[2]).map(lambda ctx: 1).commit()

    result = await run_of(place, workflow, "x" * LARGE)

    assert result.result == 1


async def test_map_that_needs_what_is_too_large(place: Place) -> None:
    async def two_of_them(ctx: Any) -> int:
        return len(await ctx.get_step_result("part0")) + len(await ctx.get_step_result("part1"))

    workflow = Workflow("w").then(PARTS[0]).then(PARTS[1]).then(size_of).map(two_of_them, id="sum").commit()

    result = await run_of(place, workflow)

    assert (result.status, result.error_path, result.error.type) == ("failed", "sum", "PayloadTooLargeError")


async def test_result_that_is_too_large_as_one_value_is_read_in_parts(place: Place) -> None:
    result = await run_of(place, Workflow("w").parallel(PARTS).commit())

    assert {key: len(value) for key, value in result.result.items()} == {f"part{n}": LARGE for n in range(4)}


async def test_start_that_is_too_large_is_refused(place: Place) -> None:
    workflow = Workflow("w").then(size_of).commit()
    async with place.app(workflow) as app:
        run = await app.create_run(workflow, run_id="run")
        with pytest.raises(PayloadTooLargeError):
            await run.start_async(input_data="x" * (3 * LARGE))

        assert await app.find_result(workflow, "run") is None


@pytest.mark.parametrize(
    "workflow",
    [
        Workflow("w").then(PARTS[0]).parallel([size_of.clone(id=f"size{n}") for n in range(8)]).commit(),
        chained(Workflow("w").then(PARTS[0]), 8),
        Workflow("w").then(PARTS[0]).parallel([chained(Workflow(f"w{n}"), 1) for n in range(8)]).commit(),
    ],
    ids=["calls", "answers", "answers of one question"],
)
async def test_what_is_too_much_for_one_message_to_the_server_is_sent_in_several(place: Place, workflow: Any) -> None:
    """Each value is small enough, and the server would end a workflow that sends more than 4 MiB at a time."""
    result = await run_of(place, workflow)

    assert result.status == "success", result.error


async def test_resume_that_is_too_large_is_refused(place: Place) -> None:
    """2.3: nothing is changed by it."""
    workflow = Workflow("w").then(ask).then(size_of).commit()
    async with place.app(workflow, lease=15) as app:
        run = await begin(app, workflow)
        await run.result(timeout=20)
        with pytest.raises(PayloadTooLargeError):
            await run.resume_async("x" * (3 * LARGE))

        assert (await run.resume("yes")).result == 3


@step
async def suspend_with_much(x: Any, ctx: StepContext) -> Any:
    return ctx.suspend("x" * (3 * LARGE))


@step
async def change_much(x: Any, ctx: StepContext) -> Any:
    ctx.set_state({"text": "x" * (3 * LARGE)})


@step
async def fail_with_much(x: Any) -> Any:
    raise ValueError("x" * (3 * LARGE))


@pytest.mark.parametrize("body", [suspend_with_much, change_much, fail_with_much])
async def test_outcome_of_whatever_kind_that_is_too_large(place: Place, body: Any) -> None:
    result = await run_of(place, Workflow("w").then(body).commit())

    assert (result.status, result.error_path) == ("failed", body.id)
    assert result.error.type == ("ValueError" if body is fail_with_much else "PayloadTooLargeError")


async def test_fault_in_the_engine(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception of our own code in a workflow would fail its task again and again."""

    def break_down(*arguments: object, **options: object) -> None:
        raise KeyError("a fault")

    workflow = Workflow("w").then(size_of).commit()
    monkeypatch.setattr(Ledger, "absorb", break_down)
    async with place.app(workflow) as app:
        run = await begin(app, workflow, 1)
        await eventually(lambda: is_closed(place, run.run_id), within=30)
    monkeypatch.undo()
    async with place.app(workflow, worker=False) as app:
        result = await app.run(run.run_id).result(timeout=20)

    assert (result.status, result.error.type) == ("failed", "EngineFaultError")
    assert "a fault" in result.error.message


async def test_workflow_that_somebody_terminates(place: Place) -> None:
    workflow = Workflow("w").then(ask).commit()
    async with place.app(workflow) as app:
        run = await begin(app, workflow, 1)
        await run.result(timeout=20)
        client = await Client.connect(place.server.address)
        await client.get_workflow_handle(f"{place.name}-{run.run_id}").terminate(reason="by hand")
        result = await run.result(timeout=20, until="end")

    assert (result.status, result.error.type) == ("failed", "WorkflowTerminatedError")
    assert "by hand" in result.error.message


async def test_workflow_that_somebody_cancels(place: Place) -> None:
    """A cancel from Temporal's own tools is one like any other."""
    workflow = Workflow("w").then(ask).commit()
    async with place.app(workflow) as app:
        run = await begin(app, workflow, 1)
        await run.result(timeout=20)
        client = await Client.connect(place.server.address)
        await client.get_workflow_handle(f"{place.name}-{run.run_id}").cancel()
        result = await run.result(timeout=20, until="end")

    assert result.status == "canceled"


async def test_signal_of_somebody_else_is_ignored(place: Place) -> None:
    workflow = Workflow("w").then(ask).commit()
    async with place.app(workflow) as app:
        run = await begin(app, workflow, 1)
        await run.result(timeout=20)
        client = await Client.connect(place.server.address)
        handle = client.get_workflow_handle(f"{place.name}-{run.run_id}")
        for signal in (REQUEST, SAID, "nobody-knows-it"):
            for value in ({"what": "ever"}, [{"what": "ever"}, 1]):
                await handle.signal(signal, value)
        result = await run.resume("yes")

    assert result.result == "yes"


@pytest.mark.parametrize(
    ("option", "lacking"),
    [({"on_exit": "finish"}, Capability.IDLENESS), ({"stream_retention": timedelta(days=1)}, Capability.SILENCING)],
    ids=["on_exit", "stream_retention"],
)
def test_app_that_needs_what_is_lacking_is_refused_when_it_is_made(
    place: Place, option: dict[str, Any], lacking: Capability
) -> None:
    """20: a capability that is lacking is told by its name, with what to do."""
    workflow = Workflow("w").then(size_of).commit()

    with pytest.raises(UnsupportedByEngineError) as caught:
        place.app(workflow, **option)

    assert caught.value.capability == lacking


@pytest.mark.parametrize("limits", [{"concurrency": 5}, {"rate_limit": RateLimit(limit=1, per=1)}, {}])
def test_limits_are_refused_when_the_app_is_made(place: Place, limits: dict[str, Any]) -> None:
    """19, 20: a limit that nobody keeps would be worse than none."""
    workflow = Workflow("w", **limits).then(size_of).commit()

    with pytest.raises(UnsupportedByEngineError, match="let a step wait for what is scarce") as caught:
        place.app(workflow, **({} if limits else {"concurrency": 5}))

    assert caught.value.capability == Capability.KEYED_LIMITS


async def test_priorities_are_refused(place: Place) -> None:
    """20: no parameter is accepted and ignored."""
    workflow = Workflow("w").then(size_of).commit()
    async with place.app(workflow) as app:
        with pytest.raises(UnsupportedByEngineError, match="none waits for another") as caught:
            await (await app.create_run(workflow)).start_async(input_data="x", priority=1)

    assert caught.value.capability == Capability.PRIORITIES


async def test_worker_that_lacks_a_function_leaves_the_step_to_another(place: Place) -> None:
    """9.8: the run waits for a worker that has it, and that is not counted as a crash."""

    @step
    async def new(x: Any) -> str:
        return "new"

    old_code = Workflow("w").then(size_of).commit()
    new_code = Workflow("w").then(size_of).then(new).commit()
    async with place.app(old_code), place.app(new_code, worker=False) as starter:
        run = await begin(starter, new_code, 1)
        await eventually(lambda: is_running(run, "new"), within=20)
        async with place.app(new_code):
            result = await run.result(timeout=30)

    assert (result.result, result.steps["new"].attempts) == ("new", 1)


async def is_running(run: Any, path: str) -> bool:
    step = (await run.snapshot()).steps.get(path)
    return step is not None and step.status == "running"


async def is_closed(place: Place, run_id: str) -> bool:
    client = await Client.connect(place.server.address)
    return (await client.get_workflow_handle(f"{place.name}-{run_id}").describe()).close_time is not None
