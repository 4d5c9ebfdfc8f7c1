"""What type checkers must infer. Checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, assert_type

from typing_extensions import TypedDict

from outlast import (
    CommittedWorkflow,
    JsonValue,
    Outlast,
    ReadContext,
    Retry,
    Run,
    RunHandle,
    RunResult,
    StartedRun,
    StartInfo,
    Step,
    StepContext,
    StreamEvent,
    Workflow,
    from_context,
    from_init,
    from_input,
    from_state,
    from_step,
    step,
    template,
    value,
)
from outlast.sync import Door

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass
class Order:
    id: int


class Customer(TypedDict):
    name: str


@step
async def fetch(order_id: int) -> Order:
    return Order(order_id)


@step(retries=Retry(limit=3), description="Prices an order.")
def price(order: Order, context: StepContext) -> float:
    return context.attempt + order.id


@step
async def label(amount: float, *, context: StepContext) -> str:
    return f"{amount} {context.run_id}"


@step
def now() -> int:
    return 1


@step
async def whoami(context: StepContext) -> str:
    return context.run_id


@step
def lines(order: Order) -> list[int]:
    return [order.id]


@step
def greet(customer: Customer) -> str:
    return customer["name"]


@step
def anything(value: JsonValue) -> JsonValue:
    return value


def takes_a_step(step: Step[In, Out]) -> tuple[In, Out]:
    raise NotImplementedError(step)


def steps_know_their_types() -> None:
    assert_type(takes_a_step(fetch), tuple[int, Order])
    assert_type(takes_a_step(price), tuple[Order, float])
    assert_type(takes_a_step(label), tuple[float, str])
    assert_type(takes_a_step(now), tuple[object, int])
    assert_type(takes_a_step(whoami), tuple[object, str])


async def steps_stay_callable(context: StepContext) -> None:
    assert_type(await fetch(3), Order)
    assert_type(price(Order(1), context), float)
    assert_type(price(Order(1), context=context), float)
    assert_type(await label(1.5, context=context), str)
    assert_type(now(), int)
    assert_type(await whoami(context), str)
    assert_type(greet({"name": "a"}), str)


def clone_keeps_types() -> None:
    assert_type(fetch.clone(id="again"), Step[int, Order])
    assert_type(CHAIN.clone(id="again"), CommittedWorkflow[int, str])


CHAIN = Workflow("chain", input=int, output=str).then(fetch).then(price).then(label).commit()


async def chain() -> None:
    builder = Workflow("chain", input=int, output=str)
    assert_type(builder, Workflow[int, str, int])
    assert_type(builder.then(fetch), Workflow[int, str, Order])
    assert_type(builder.then(fetch).then(price), Workflow[int, str, float])
    assert_type(builder.then(fetch).then(price).then(label).commit(), CommittedWorkflow[int, str])


async def start_and_read() -> None:
    run = await CHAIN.create_run(resource_id="customer-1")
    assert_type(await run.start(input_data=3), RunResult[str])
    assert_type((await run.start(input_data=3)).unwrap(), str)
    started = await run.start_async(input_data=3)
    assert_type(started, StartedRun[str])
    assert_type(await started.result(), RunResult[str])
    assert_type(await CHAIN.get_workflow_run_execution_result("id"), RunResult[str] | None)


async def app() -> None:
    async with Outlast([CHAIN, FOREACH], store="memory") as app:
        run = await app.create_run(CHAIN)
        assert_type(await run.start(input_data=3), RunResult[str])
        assert_type(app.run("id"), RunHandle[Any])


FOREACH = Workflow("each", input=list[int], output=list[Order]).foreach(fetch, concurrency=2).commit()


def foreach() -> None:
    builder = Workflow("each", input=list[int], output=list[Order])
    assert_type(builder.foreach(fetch), Workflow[list[int], list[Order], list[Order]])
    assert_type(builder.foreach(fetch).foreach(price), Workflow[list[int], list[Order], list[float]])
    assert_type(
        Workflow("lines", input=Order, output=list[str]).then(lines).foreach(CHAIN).commit(),
        CommittedWorkflow[Order, list[str]],
    )


async def total(context: ReadContext[list[float]]) -> float:
    return sum(context.input)


def mean(context: ReadContext[list[float]]) -> float:
    return sum(context.input) / len(context.input)


def maps() -> None:
    floats = Workflow("map", input=list[float], output=float)
    assert_type(floats.map(lambda context: context.input[0]), Workflow[list[float], float, float])
    assert_type(floats.map(mean), Workflow[list[float], float, float])
    assert_type(floats.map(total), Workflow[list[float], float, float])
    assert_type(floats.map(total).map(lambda context: str(context.input)), Workflow[list[float], float, str])


def parallel_gives_an_object() -> None:
    builder = Workflow("both", input=Order, output=str).parallel([price, lines])
    assert_type(builder, Workflow[Order, str, dict[str, Any]])
    assert_type(
        builder.map(lambda context: f"{context.input['price']}").commit(),
        CommittedWorkflow[Order, str],
    )
    Workflow("mixed", input=int, output=dict[str, Any]).parallel([fetch, CHAIN]).commit()


def nested() -> None:
    assert_type(
        Workflow("nested", input=list[int], output=list[str]).foreach(CHAIN).commit(),
        CommittedWorkflow[list[int], list[str]],
    )
    assert_type(
        Workflow("nested", input=int, output=str).then(CHAIN).commit(),
        CommittedWorkflow[int, str],
    )


def typed_dicts() -> None:
    assert_type(
        Workflow("greet", input=Customer, output=str).then(greet).commit(),
        CommittedWorkflow[Customer, str],
    )


def steps_without_input_fit_everywhere() -> None:
    Workflow("any", input=Order, output=int).then(whoami).then(now).commit()


def undeclared_types_fit_everywhere() -> None:
    Workflow("any").then(fetch).then(price).commit()
    Workflow("any", input=int).then(fetch).commit()
    Workflow("any", output=str).then(label).commit()
    Workflow("any", input=int, output=str).then(anything).map(lambda context: str(context.input)).commit()


@step
async def reads(order: Order, context: StepContext) -> JsonValue:
    assert_type(await context.get_step_result(price), float | None)
    assert_type(await context.get_step_result("price"), Any)
    assert_type(context.blocking.get_step_result(lines), list[int] | None)
    return None


@step
def halve(amount: float) -> float:
    return amount / 2


async def is_small(context: ReadContext[float]) -> bool:
    return context.input < 1


def branch_gives_an_object() -> None:
    orders = Workflow("route", input=Order, output=dict[str, Any])
    cases = orders.branch([(lambda context: context.input.id > 3, price), (lambda _: True, lines)])
    assert_type(cases, Workflow[Order, dict[str, Any], dict[str, Any]])
    assert_type(cases.commit(), CommittedWorkflow[Order, dict[str, Any]])
    floats = Workflow("route", input=float)
    assert_type(floats.branch([(is_small, halve)], mode="first", id="size"), Workflow[float, Any, dict[str, Any]])


def loops_give_what_their_body_gives() -> None:
    floats = Workflow("loop", input=float, output=float)
    assert_type(floats.dowhile(halve, lambda context: context.input > 1), Workflow[float, float, float])
    assert_type(floats.dountil(halve, is_small, max_iterations=9), Workflow[float, float, float])
    assert_type(
        Workflow("loop", input=int).dountil(CHAIN, lambda context: context.input.isdigit()),
        Workflow[int, Any, str],
    )


def pauses_pass_the_type_through() -> None:
    orders = Workflow("nap", input=Order, output=float)
    assert_type(orders.sleep(3), Workflow[Order, float, Order])
    assert_type(orders.sleep(timedelta(days=400)), Workflow[Order, float, Order])
    assert_type(orders.sleep(lambda context: context.input.id), Workflow[Order, float, Order])
    assert_type(orders.sleep_until(datetime(2030, 1, 1, tzinfo=UTC)), Workflow[Order, float, Order])
    assert_type(
        orders.sleep_until(lambda context: datetime.fromtimestamp(context.input.id, UTC)),
        Workflow[Order, float, Order],
    )
    assert_type(orders.sleep(1).then(price).commit(), CommittedWorkflow[Order, float])


def wait_gives_its_resume_type() -> None:
    builder = Workflow("wait", input=int, output=float)
    assert_type(builder.wait_for("order", resume=Order), Workflow[int, float, Order])
    assert_type(
        builder.wait_for("order", resume=Order, timeout=60, default={"id": 1}).then(price).commit(),
        CommittedWorkflow[int, float],
    )
    assert_type(builder.wait_for("anything"), Workflow[int, float, Any])


def sources_give_an_object() -> None:
    builder = Workflow("map", input=int, output=dict[str, Any]).then(fetch)
    mapped = builder.map(
        {
            "kind": value("order"),
            "id": from_input("id"),
            "first": from_init(""),
            "total": from_step(fetch, "id"),
            "named": from_step("fetch", "id"),
            "count": from_state("count"),
            "tenant": from_context("tenant"),
            "text": template("order ${inputData.id}"),
        }
    )
    assert_type(mapped, Workflow[int, dict[str, Any], dict[str, Any]])
    assert_type(mapped.commit(), CommittedWorkflow[int, dict[str, Any]])


def foreach_with_all_its_options() -> None:
    builder = Workflow("each", input=list[int], output=list[Order])
    assert_type(
        builder.foreach(fetch, concurrency=lambda context: len(context.input), on_error="fail"),
        Workflow[list[int], list[Order], list[Order]],
    )
    assert_type(builder.foreach(fetch, on_error="collect"), Workflow[list[int], list[Order], list[Any]])


async def resume_and_cancel() -> None:
    started = await (await CHAIN.create_run()).start_async(input_data=3)
    assert_type(await started.resume({"yes": True}, step=fetch, index=0), RunResult[str])
    assert_type(await started.resume_async(label="boss"), StartedRun[str])
    assert_type((await started.result()).state, Mapping[str, JsonValue] | None)


@step(resume=Order, suspend=Customer)
def ask(order: Order, context: StepContext) -> str:
    if not context.resumed:
        context.suspend({"name": "a"}, label="boss", timeout=timedelta(days=1))
    return str(order.id)


def steps_that_suspend_know_their_types() -> None:
    assert_type(takes_a_step(ask), tuple[Order, str])


def doors_know_what_they_wait_for(app: Outlast) -> None:
    with Door(app) as wait:
        assert_type(wait, Door[Outlast])
        run = wait(CHAIN.create_run())
        assert_type(run, Run[int, str])
        assert_type(wait(run.start(input_data=3)), RunResult[str])
        assert_type(wait(wait(run.start_async(input_data=3)).result()).unwrap(), str)
        assert_type(list(wait.iterate(run.stream(input_data=3))), list[StreamEvent])


@step
async def starts(order: Order, context: StepContext) -> None:
    assert_type(await context.start_async(CHAIN, input_data=3), StartedRun[str])
    assert_type(context.blocking.start_async(CHAIN, input_data=3, tags=["a"]), StartedRun[str])


def note(value: StartInfo | RunResult[Any]) -> None: ...


async def note_async(result: RunResult[Any]) -> int:
    return 1


def hooks_are_sync_or_async() -> None:
    hooked = Workflow("hooked", input=int, output=str, on_start=note, on_finish=note_async, on_error=note)
    assert_type(hooked, Workflow[int, str, int])
