"""What type checkers must refuse: an ignore that nothing needs is an error itself. Checked, never run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from outlast import Outlast, ReadContext, RunResult, Workflow, step
from outlast.client import Client


@dataclass
class Order:
    id: int


@step
async def fetch(order_id: int) -> Order:
    return Order(order_id)


@step
def price(order: Order) -> float:
    return order.id


@step
def lines(order: Order) -> list[int]:
    return [order.id]


ORDERS = Workflow("orders", input=int, output=float).then(fetch).then(price).commit()
INTS = Workflow("ints", input=int, output=int)
LISTS = Workflow("lists", input=list[str], output=list[float])


def mean(context: ReadContext[list[float]]) -> float:
    return sum(context.input) / len(context.input)


async def aside(context: ReadContext[int]) -> str:
    return str(context.input)


def step_whose_input_does_not_fit() -> None:
    INTS.then(price)  # type: ignore[arg-type]
    INTS.then(fetch).then(fetch)  # type: ignore[arg-type]


def nested_workflow_whose_input_does_not_fit() -> None:
    INTS.then(fetch).then(ORDERS)  # type: ignore[arg-type]


def item_that_does_not_fit() -> None:
    LISTS.foreach(fetch)  # type: ignore[arg-type]
    LISTS.foreach(ORDERS)  # type: ignore[arg-type]


def foreach_over_no_list() -> None:
    INTS.foreach(fetch)  # type: ignore[misc]


def parallel_child_whose_input_does_not_fit() -> None:
    INTS.parallel([fetch, price])  # type: ignore[list-item]


def map_of_another_input() -> None:
    INTS.map(mean)  # type: ignore[arg-type]
    INTS.map(lambda context: context.input.nothing)  # type: ignore[attr-defined]


def result_that_does_not_fit() -> None:
    # mypy compares a declared `self` without its parameters; at run time commit() refuses most of these.
    INTS.then(fetch).commit()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    INTS.map(aside).commit()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    INTS.then(fetch).then(lines).foreach(ORDERS).commit()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    INTS.parallel([fetch]).commit()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def input_data_that_does_not_fit() -> None:
    run = await ORDERS.create_run()
    await run.start(input_data="3")  # type: ignore[arg-type]
    await run.start_async(input_data=Order(3))  # type: ignore[arg-type]


async def result_of_another_type() -> RunResult[str]:
    run = await ORDERS.create_run()
    return await run.start(input_data=3)  # type: ignore[return-value]


def is_cheap(context: ReadContext[float]) -> bool:
    return context.input < 1


def branch_child_whose_input_does_not_fit() -> None:
    INTS.branch([(lambda _: True, price)])  # type: ignore[list-item]


def condition_of_another_input() -> None:
    INTS.branch([(is_cheap, fetch)])  # type: ignore[list-item]
    LISTS.branch([(is_cheap, fetch)])  # type: ignore[list-item]


def condition_that_is_no_truth() -> None:
    INTS.dowhile(fetch, lambda _: "yes")  # type: ignore[arg-type, return-value]


def loop_body_whose_input_does_not_fit() -> None:
    INTS.dountil(price, lambda _: True)  # type: ignore[arg-type]


def loop_condition_of_another_output() -> None:
    INTS.dowhile(fetch, is_cheap)  # type: ignore[arg-type]
    INTS.dountil(fetch, lambda context: context.input.nothing)  # type: ignore[attr-defined]


def branch_of_an_unknown_mode() -> None:
    INTS.branch([(lambda _: True, fetch)], mode="last")  # type: ignore[arg-type]


def pause_of_no_length() -> None:
    INTS.sleep("3")  # type: ignore[arg-type]
    INTS.sleep(lambda _: "3")  # type: ignore[arg-type, return-value]
    INTS.sleep_until(3)  # type: ignore[arg-type]


def node_after_a_pause_whose_input_does_not_fit() -> None:
    INTS.sleep(1).then(price)  # type: ignore[arg-type]


def node_after_a_wait_whose_input_does_not_fit() -> None:
    INTS.wait_for("order", resume=Order).then(fetch)  # type: ignore[arg-type]


def map_of_what_is_no_source() -> None:
    INTS.map({"id": 3})  # type: ignore[dict-item]


def foreach_of_an_unknown_way_with_errors() -> None:
    Workflow("each", input=list[int]).foreach(fetch, on_error="ignore")  # type: ignore[call-overload]


def what_is_no_step() -> None:
    INTS.then(len)  # type: ignore[arg-type]
    INTS.then(INTS)  # type: ignore[arg-type]


def app_of_what_is_not_committed() -> None:
    Outlast([INTS])  # type: ignore[list-item]


def call_with_another_type() -> Any:
    return price(3)  # type: ignore[arg-type]


async def option_that_no_form_of_a_verb_has(client: Client) -> None:
    run, handle = await ORDERS.create_run(), (await client.create_run(ORDERS))
    await run.start(labels=["a"])  # type: ignore[call-arg]
    run.stream(labels=["a"])  # type: ignore[call-arg]
    await run.start(priority="high")  # type: ignore[arg-type]
    await handle.start(input_data="3")  # type: ignore[arg-type]
    await handle.start_async(labels=["a"])  # type: ignore[call-arg]
    handle.stream(input_data="3")  # type: ignore[arg-type]
    await client.run("r").time_travel(to="price")  # type: ignore[call-arg]
    await client.run("r").resume(1, lable="a")  # type: ignore[call-arg]
