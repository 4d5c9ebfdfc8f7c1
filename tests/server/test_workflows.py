"""Workflows over HTTP: lists, details, schemas and graphs in the forms of the reference."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from outlast import Concurrency, RateLimit, ReadContext, Workflow, from_step, step
from server.site import greet, site


class Order(BaseModel):
    amount: int


@step(description="Add one.", metadata={"team": "sums"})
async def add(n: int) -> int:
    return n + 1


@step
async def double(n: int) -> int:
    return 2 * n


def is_big(ctx: ReadContext[int]) -> bool:
    return ctx.input > 10


CHILD = Workflow("child", input=int, output=int).then(double).commit()
ALL = (
    Workflow("all", input=Order, description="Everything there is.", metadata={"team": "sums"})
    .map(lambda ctx: ctx.input.amount, id="amount")
    .then(add)
    .parallel([add.clone(id="left"), CHILD])
    .map({"n": from_step("left")}, id="pick")
    .map(lambda ctx: ctx.input["n"], id="unpick")
    .branch([(is_big, add.clone(id="big")), (lambda ctx: ctx.input <= 10, add.clone(id="small"))])
    .map(lambda ctx: 3, id="three")
    .dountil(add.clone(id="count"), lambda ctx: ctx.input > 5)
    .sleep(0.02, id="pause")
    .sleep(lambda ctx: 0.01, id="nap")
    .sleep_until(datetime(2020, 1, 1, tzinfo=UTC), id="past")
    .map(lambda ctx: [1, 2], id="list")
    .foreach(double.clone(id="each"), concurrency=2)
    .wait_for("go", resume=bool)
    .commit()
)


async def test_list_has_all_workflows_by_id():
    async with site() as s:
        response = await s.get("/workflows")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert {key: info["name"] for key, info in response.json().items()} == {"greet": "greet", "approval": "approval"}


async def test_partial_list_has_no_steps_and_schemas():
    async with site() as s:
        info = (await s.get("/workflows", params={"partial": "true"})).json()["approval"]

    assert (info["stepCount"], info["steps"], info["allSteps"], info["origin"]) == (2, {}, {}, "code")
    assert "inputSchema" not in info
    assert [entry["type"] for entry in info["stepGraph"]] == ["step", "step"]


async def test_details_say_what_a_workflow_and_its_steps_take_and_give():
    async with site(ALL) as s:
        info = (await s.get("/workflows/all")).json()

    assert (info["name"], info["description"], info["metadata"]) == ("all", "Everything there is.", {"team": "sums"})
    assert json.loads(info["inputSchema"])["json"]["properties"]["amount"]["type"] == "integer"
    assert "outputSchema" not in info
    assert sorted(info["steps"]) == ["add", "big", "child", "count", "each", "go", "left", "small"]
    assert info["steps"]["add"]["description"] == "Add one."
    assert json.loads(info["steps"]["go"]["resumeSchema"]) == {"json": {"type": "boolean"}}
    assert info["steps"]["child"]["component"] == "WORKFLOW"
    assert info["allSteps"]["child.double"] == {
        "id": "child.double",
        "inputSchema": '{"json":{"type":"integer"}}',
        "outputSchema": '{"json":{"type":"integer"}}',
        "isWorkflow": False,
    }


async def test_graph_has_the_forms_of_the_reference():
    async with site(ALL) as s:
        graph: list[dict[str, Any]] = (await s.get("/workflows/all")).json()["stepGraph"]

    by_id = {entry.get("id") or entry["step"]["id"]: entry for entry in graph}
    assert by_id["add"]["step"] == {
        "id": "add",
        "canSuspend": False,
        "description": "Add one.",
        "metadata": {"team": "sums"},
    }
    assert by_id["amount"] == {"type": "mapping", "id": "amount", "mapConfig": "lambda ctx: ctx.input.amount"}
    assert json.loads(by_id["pick"]["mapConfig"]) == {"n": {"kind": "step", "steps": ["left"], "path": ""}}
    assert [each["type"] for each in by_id["parallel"]["steps"]] == ["step", "workflow"]
    assert by_id["parallel"]["steps"][1]["serializedStepFlow"][0]["step"]["id"] == "double"
    assert by_id["branch"]["type"] == "conditional"
    assert by_id["branch"]["serializedConditions"] == [
        {"id": "big-condition", "fn": "def is_big(ctx: ReadContext[int]) -> bool:\n    return ctx.input > 10"},
        {"id": "small-condition", "fn": "lambda ctx: ctx.input <= 10"},
    ]
    assert (by_id["count"]["type"], by_id["count"]["loopType"]) == ("loop", "dountil")
    assert by_id["count"]["serializedCondition"] == {"id": "count-condition", "fn": "lambda ctx: ctx.input > 5"}
    assert by_id["pause"] == {"type": "sleep", "id": "pause", "duration": 20}
    assert by_id["nap"] == {"type": "sleep", "id": "nap", "fn": "lambda ctx: 0.01"}
    assert by_id["past"] == {
        "type": "sleepUntil",
        "id": "past",
        "date": "2020-01-01T00:00:00.000+00:00",
    }
    assert by_id["each"]["opts"] == {"concurrency": 2}
    assert by_id["go"]["step"]["canSuspend"] is True


async def test_run_of_everything_is_told_under_the_ids_of_its_graph():
    async with site(ALL) as s:
        result = await s.started(ALL, {"amount": 20})
        details = (await s.get(f"/workflows/all/runs/{result['runId']}")).json()

    assert result["status"] == "suspended", result
    assert {"child", "left", "big", "count", "each", "go"} <= set(result["steps"])
    assert "child.double" not in result["steps"]
    assert details["steps"]["child.double"]["output"] == 42
    assert "small" not in details["steps"]
    assert not [path for path in details["steps"] if "[" in path or "#" in path]


async def test_declared_resume_type_says_that_a_step_can_suspend():
    async with site() as s:
        graph = (await s.get("/workflows/approval")).json()["stepGraph"]

    assert [entry["step"]["canSuspend"] for entry in graph] == [False, True]


async def test_unknown_workflow_is_not_found():
    async with site() as s:
        response = await s.get("/workflows/nope")

    assert response.status_code == 404
    assert response.json() == {
        "error": "Workflow not found",
        "code": "workflow-not-found",
        "hint": "this app has: greet, approval",
    }


async def test_functions_without_source_are_named():
    make_condition: Any = eval("lambda ctx: True")  # no file has its source
    workflow = Workflow("w").branch([(make_condition, greet)]).commit()

    async with site(workflow) as s:
        (entry,) = (await s.get("/workflows/w")).json()["stepGraph"]

    assert entry["serializedConditions"][0]["fn"].endswith(":<lambda>")


async def test_limits_of_a_workflow_are_told():
    """19: in both forms; a field that is counted apart by its path, a function by the name alone."""
    limited = (
        Workflow(
            "limited",
            input=Order,
            concurrency=[Concurrency(limit=5), Concurrency(limit=2, key="amount")],
            rate_limit=RateLimit(limit=10, per=60, burst=3, key=lambda order: order.amount, name="bank"),
        )
        .map(lambda ctx: ctx.input.amount)
        .commit()
    )
    async with site(limited, CHILD) as s:
        info = (await s.get("/workflows/limited")).json()
        definition = (await s.get("/workflows/limited/definition")).json()
        free = (await s.get("/workflows/child/definition")).json()

    assert info["limits"] == definition["limits"]
    assert definition["limits"] == [
        {"name": "runs of workflow 'limited'", "limit": 5},
        {"name": "runs of workflow 'limited' by amount", "limit": 2, "key": "amount"},
        {"name": "rate under 'bank' by a function", "limit": 10, "perMs": 60_000, "burst": 3},
    ]
    assert "limits" not in free
