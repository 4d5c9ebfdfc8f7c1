"""What type checkers must refuse: an ignore that nothing needs is an error itself. Checked, never run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from outlast import Outlast, ReadContext, RunResult, Workflow, step


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


def what_is_no_step() -> None:
    INTS.then(len)  # type: ignore[arg-type]
    INTS.then(INTS)  # type: ignore[arg-type]


def app_of_what_is_not_committed() -> None:
    Outlast([INTS])  # type: ignore[list-item]


def call_with_another_type() -> Any:
    return price(3)  # type: ignore[arg-type]
