"""What results tell of a run and its steps: rules 2.6, 17 and 21."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from behaviour.bench import Bench, begin, statuses
from outlast import (
    OutputOptions,
    RunStateError,
    RunSuspendedError,
    StepContext,
    Workflow,
    step,
)


@dataclass
class Invoice:
    """What a workflow gives."""

    number: int
    lines: list[str]


@step(metadata={"team": "billing", "color": "red"})
async def write(number: int, ctx: StepContext) -> Invoice:
    ctx.set_state({"last": number})
    return Invoice(number, ["paper"])


@step(metadata={"team": "care"})
async def ask(x: Any, ctx: StepContext) -> Any:
    return x if ctx.resumed else ctx.suspend({"please": 1})


@step
async def plain(x: int) -> int:
    return x


@step(metadata={"cheap": True})
async def count(x: int) -> int:
    return x + 1


BILL = Workflow("bill", input=int, output=Invoice).then(write).commit()
INNER = Workflow("inner", input=int, metadata={"kind": "nested"}).then(plain).then(ask).commit()
WAITING = Workflow("waiting", input=int).parallel([INNER, plain.clone(id="other")]).commit()


async def test_result_is_decoded_and_everything_else_is_json(bench: Bench) -> None:
    """21: `result` is decoded to the declared output type; `steps`, `state` and `input` hold JSON values."""
    async with bench.app(BILL) as app:
        options = OutputOptions(include_state=True)
        result = await (await begin(app, BILL, 7, initial_state={"first": 1}, output_options=options)).result()

    assert result.result == Invoice(7, ["paper"])
    assert result.steps["write"].output == {"number": 7, "lines": ["paper"]}
    assert (result.input, result.state) == (7, {"first": 1, "last": 7})


async def test_result_of_a_success_has_a_wire_form(bench: Bench) -> None:
    """21: attributes in snake_case; `to_dict()` gives the wire form in camelCase, with times in milliseconds."""
    async with bench.app(BILL) as app:
        run = await app.create_run(BILL, run_id="run", resource_id="ada")
        wire = (await run.start(input_data=7)).to_dict()

    (written,) = wire["steps"].values()  # type: ignore[union-attr]
    assert isinstance(written, dict)
    assert isinstance(started := written.pop("startedAt"), int)
    assert isinstance(ended := written.pop("endedAt"), int)
    assert started <= ended
    assert written == {
        "status": "success",
        "payload": 7,
        "output": {"number": 7, "lines": ["paper"]},
        "attempts": 1,
        "metadata": {"team": "billing", "color": "red"},
    }
    assert len(str(wire.pop("traceId"))) == 32
    assert len(str(wire.pop("spanId"))) == 16
    del wire["steps"]
    assert wire == {
        "runId": "run",
        "workflowId": "bill",
        "resourceId": "ada",
        "execution": 0,
        "status": "success",
        "input": 7,
        "result": {"number": 7, "lines": ["paper"]},
    }


async def test_result_of_a_suspension_names_paths_and_payloads(bench: Bench) -> None:
    """21: `suspended` is a list of dotted paths, `suspend_payload` maps path to payload; 17: steps as `wf.step`."""
    async with bench.app(WAITING) as app:
        result = await (await begin(app, WAITING, 1)).result()
        wire = result.to_dict()

    assert (list(result.suspended), dict(result.suspend_payload)) == (["inner.ask"], {"inner.ask": {"please": 1}})
    assert (wire["suspended"], wire["suspendPayload"]) == (["inner.ask"], {"inner.ask": {"please": 1}})
    waiting = result.to_dict()["steps"]["inner.ask"]  # type: ignore[index, call-overload]
    assert {"suspendPayload": {"please": 1}, "status": "suspended"}.items() <= waiting.items()  # type: ignore[union-attr]
    assert statuses(result)["other"] == "success"


@pytest.mark.parametrize("include_state", [False, True])
async def test_suspended_of_a_run_that_has_ended_is_an_empty_list(bench: Bench, include_state: bool) -> None:
    """21: `suspended` is a list, whether the result is read from the ends of the journal or from all of it."""
    workflow = Workflow("w", input=int).then(plain).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1, output_options=OutputOptions(include_state=include_state))
        result = await started.result()

    assert (result.status, result.suspended) == ("success", [])


async def test_steps_carry_the_metadata_of_their_authors(bench: Bench) -> None:
    """17: `metadata`, of steps wherever they stand: alone, nested, as items and as passes."""
    workflow = (
        Workflow("all", input=int)
        .parallel([INNER, plain])
        .map(lambda ctx: [1, 2], id="list")
        .foreach(write, id="each")
        .map(lambda ctx: 3, id="three")
        .dountil(count, lambda ctx: ctx.iteration_count == 2, id="again")
        .commit()
    )
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, 1)
        await started.result()
        result = await started.resume("yes")

    billing = {"team": "billing", "color": "red"}
    assert result.status == "success"
    assert {path: each.metadata for path, each in result.steps.items() if each.metadata} == {
        "inner": {"kind": "nested"},
        "inner.ask": {"team": "care"},
        "each": billing,
        "each[0]": billing,
        "each[1]": billing,
        "again": {"cheap": True},
        "again#1": {"cheap": True},
        "again#2": {"cheap": True},
    }


async def test_unwrap_of_a_run_that_has_not_ended_says_why_there_is_nothing(bench: Bench) -> None:
    """2.6: `unwrap()` raises `RunSuspendedError` of a suspended run; of a paused one the error names the status."""
    two = Workflow("two", input=int).then(plain).then(plain.clone(id="other")).commit()
    async with bench.app(WAITING, two) as app:
        suspended = await (await begin(app, WAITING, 1)).result()
        paused = await (await begin(app, two, 1, per_step=True)).result()

    with pytest.raises(RunSuspendedError, match=r"inner\.ask") as caught:
        suspended.unwrap()
    assert caught.value.run_id == suspended.run_id
    with pytest.raises(RunStateError, match="cannot unwrap the result while the run is paused"):
        paused.unwrap()


async def test_same_values_are_read_by_whoever_asks_later(bench: Bench) -> None:
    """3.4, 17: a result read again, elsewhere, says the same."""
    async with bench.app(WAITING) as app:
        first = await (await begin(app, WAITING, 1, run_id="run")).result()
    async with bench.app(WAITING) as other:
        again = await other.run("run").snapshot()

    assert again.to_dict() == first.to_dict()
