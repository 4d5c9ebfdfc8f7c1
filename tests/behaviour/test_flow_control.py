"""Flow control: rule 19. Limits of runs by workflow and key, rates, priorities, and what a waiting run says."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin, has_status
from eventually import eventually
from outlast import (
    Concurrency,
    ConfigurationError,
    DefinitionError,
    InputError,
    Outlast,
    RateLimit,
    RunStatus,
    StartDeadlineError,
    StepContext,
    Workflow,
    step,
)
from outlast.engines.capability import Capability

pytestmark = pytest.mark.requires(Capability.KEYED_LIMITS, Capability.PRIORITIES)


@dataclass
class Order:
    """An order of a customer."""

    customer: str
    number: int


class Counted:
    """Counts the bodies in flight, by customer, and lets them go one by one."""

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.called: list[str] = []
        self.gate = asyncio.Semaphore(0)

    async def call(self, order: Order) -> int:
        customer = order.customer
        self.called.append(f"{customer}-{order.number}")
        for key in (customer, "all"):
            self.running[key] += 1
            self.most[key] = max(self.most[key], self.running[key])
        await self.gate.acquire()
        for key in (customer, "all"):
            self.running[key] -= 1
        return order.number

    def let_go(self, count: int = 1) -> None:
        for _ in range(count):
            self.gate.release()

    def workflow(self, **limits: Any) -> Any:
        @step
        async def work(order: Order) -> int:
            return await self.call(order)

        return Workflow("orders", input=Order, output=int, **limits).then(work).commit()


def orders(customer: str, count: int) -> list[dict[str, Any]]:
    return [{"input_data": {"customer": customer, "number": number}} for number in range(count)]


async def test_a_key_never_has_more_runs_than_its_limit(bench: Bench) -> None:
    """19: per key, in all processes over one store; the others wait."""
    counted = Counted()
    workflow = counted.workflow(concurrency=Concurrency(limit=2, key="customer"))
    async with bench.app(workflow) as one, bench.app(workflow) as two:
        ids = [
            *await one.start_many(workflow, orders("ann", 6)),
            *await two.start_many(workflow, orders("bob", 6)),
        ]
        await eventually(lambda: counted.running["all"] == 4)

        counted.let_go(12)

        for run_id in ids:
            assert (await one.run(run_id).result()).status is RunStatus.SUCCESS
        assert counted.most["ann"] == counted.most["bob"] == 2


async def test_a_start_of_this_process_goes_through_the_limit(bench: Bench) -> None:
    """19: a run that is started where a slot is free waits for its limit, too."""
    counted = Counted()
    workflow = counted.workflow(concurrency=1)
    async with bench.app(workflow) as app:
        first = await begin(app, workflow, {"customer": "ann", "number": 1})
        await eventually(lambda: counted.running["all"] == 1)
        second = await begin(app, workflow, {"customer": "bob", "number": 2})

        assert await second.status() is RunStatus.PENDING
        counted.let_go(2)

        assert [(await each.result()).unwrap() for each in (first, second)] == [1, 2]
        assert counted.most["all"] == 1


async def test_key_from_a_function_of_the_decoded_input(bench: Bench) -> None:
    """19: the key is a function of the input, or a path in it; several limits hold together."""
    counted = Counted()
    odd = Concurrency(limit=1, key=lambda order: order.number % 2)
    workflow = counted.workflow(concurrency=[odd, Concurrency(limit=3)])
    async with bench.app(workflow) as app:
        ids = await app.start_many(workflow, orders("ann", 6))
        await eventually(lambda: counted.running["all"] == 2)
        counted.let_go(6)

        for run_id in ids:
            await app.run(run_id).result()
        assert counted.most["all"] == 2


async def test_a_limit_of_the_app_holds_for_all_its_workflows(bench: Bench) -> None:
    """19: per app."""
    counted = Counted()
    orders_workflow = counted.workflow()
    returns = orders_workflow.clone(id="returns")
    async with bench.app(orders_workflow, returns, concurrency=2) as app:
        ids = [*await app.start_many(orders_workflow, orders("a", 3)), *await app.start_many(returns, orders("b", 3))]
        await eventually(lambda: counted.running["all"] == 2)
        counted.let_go(6)

        for run_id in ids:
            await app.run(run_id).result()
        assert counted.most["all"] == 2


async def test_a_named_limit_is_shared_between_workflows(bench: Bench) -> None:
    """19: workflows whose limits have the same name share them."""
    counted = Counted()
    one = counted.workflow(concurrency=Concurrency(limit=1, name="printer"))
    two = one.clone(id="returns")
    async with bench.app(one, two) as app:
        ids = [*await app.start_many(one, orders("a", 2)), *await app.start_many(two, orders("b", 2))]
        await eventually(lambda: counted.running["all"] == 1)
        counted.let_go(4)

        for run_id in ids:
            await app.run(run_id).result()
        assert counted.most["all"] == 1


async def test_a_suspended_run_gives_its_place_back_and_waits_for_one_to_go_on(bench: Bench) -> None:
    """19, 7.1: what rests takes no place; it needs one again."""
    counted = Counted()

    @step
    async def ask(order: Order, context: StepContext) -> Order:
        if order.number == 0 and not context.resumed:
            context.suspend()
        return order

    @step
    async def work(order: Order) -> int:
        return await counted.call(order)

    workflow = Workflow("orders", input=Order, output=int, concurrency=1).then(ask).then(work).commit()
    async with bench.app(workflow) as app:
        asking = await begin(app, workflow, {"customer": "ann", "number": 0})
        await eventually(lambda: has_status(asking, "suspended"))
        second = await begin(app, workflow, {"customer": "ann", "number": 1})
        await eventually(lambda: counted.called == ["ann-1"])

        await asking.resume_async()

        why = await asking.why()
        assert "it waits for its turn to go on: 1 of 1 runs of workflow 'orders' are running" in why
        assert second.run_id in why
        assert counted.called == ["ann-1"]
        counted.let_go(2)
        assert (await asking.result(until="end")).unwrap() == 0
        assert counted.most["all"] == 1


async def test_a_waiting_run_says_what_it_waits_for(bench: Bench) -> None:
    """19: `why` explains each wait with numbers."""
    counted = Counted()
    workflow = counted.workflow(concurrency=Concurrency(limit=2, key="customer"))
    async with bench.app(workflow) as app:
        ids = await app.start_many(workflow, orders("ann", 4))
        await eventually(lambda: counted.running["ann"] == 2)

        why = await app.run(ids[3]).why()

        assert (
            f"the run is recorded and waits for its turn: 2 of 2 runs of workflow 'orders' by customer "
            f'with the key "ann" are running: {ids[0]}, {ids[1]}, 1 run with the same limits and priority before it'
        ) in why
        counted.let_go(4)


async def test_a_waiting_run_is_canceled_at_once(bench: Bench) -> None:
    """10: pending runs end at once; they never take a place."""
    counted = Counted()
    workflow = counted.workflow(concurrency=1)
    async with bench.app(workflow) as app:
        ids = await app.start_many(workflow, orders("ann", 3))
        await eventually(lambda: counted.running["ann"] == 1)

        await app.run(ids[1]).cancel()

        assert (await app.run(ids[1]).result()).status is RunStatus.CANCELED
        counted.let_go(2)
        assert (await app.run(ids[2]).result()).unwrap() == 2
        assert counted.called == ["ann-0", "ann-2"]


async def test_a_failed_run_gives_its_place_back(bench: Bench) -> None:
    """19: whatever the end."""

    @step
    async def fail(order: Order) -> int:
        raise ValueError(order.number)

    workflow = Workflow("orders", input=Order, output=int, concurrency=1).then(fail).commit()
    async with bench.app(workflow) as app:
        ids = await app.start_many(workflow, orders("ann", 3))

        results = [await app.run(run_id).result() for run_id in ids]

        assert [result.status for result in results] == [RunStatus.FAILED] * 3


async def test_a_sleeping_run_takes_no_place(bench: Bench) -> None:
    """19, 11: asleep for long, a run holds neither memory nor a place."""
    counted = Counted()

    @step
    async def work(order: Order) -> int:
        return await counted.call(order)

    clock = Clock()
    workflow = Workflow("orders", input=Order, output=int, concurrency=1).sleep(timedelta(hours=1)).then(work).commit()
    async with bench.app(workflow, clock=clock) as app:
        ids = await app.start_many(workflow, orders("ann", 3))
        for run_id in ids:
            await eventually(lambda run_id=run_id: has_status(app.run(run_id), "waiting"))

        clock.offset = timedelta(hours=2)
        counted.let_go(3)

        for run_id in ids:
            assert (await app.run(run_id).result()).status is RunStatus.SUCCESS
        assert counted.most["all"] == 1


async def test_higher_priorities_begin_first(bench: Bench) -> None:
    """2.2, 19: of the runs that wait, those with a higher priority begin first."""
    counted = Counted()
    workflow = counted.workflow(concurrency=1)
    async with bench.app(workflow) as app:
        await begin(app, workflow, {"customer": "first", "number": 0})
        await eventually(lambda: counted.running["all"] == 1)
        items = [
            {"input_data": {"customer": "p", "number": priority}, "priority": priority} for priority in (-5, 0, 100, 7)
        ]
        ids = await app.start_many(workflow, items)

        counted.let_go(5)

        for run_id in ids:
            await app.run(run_id).result()
        assert counted.called == ["first-0", "p-100", "p-7", "p-0", "p--5"]


async def test_priorities_decide_without_any_limit(bench: Bench) -> None:
    """2.2, 19: runs that wait for a free worker, too."""
    counted = Counted()
    workflow = counted.workflow()
    async with bench.app(workflow, worker=False) as starter:
        ids = await starter.start_many(workflow, [*orders("plain", 1), {**orders("urgent", 1)[0], "priority": 1}])
        async with bench.app(workflow, max_runs=1) as app:
            counted.let_go(2)
            for run_id in ids:
                await app.run(run_id).result()

    assert counted.called == ["urgent-0", "plain-0"]


async def test_keys_take_turns(bench: Bench) -> None:
    """19: a flood of one key does not delay another."""
    counted = Counted()
    workflow = counted.workflow(concurrency=[Concurrency(limit=1), Concurrency(limit=5, key="customer")])
    async with bench.app(workflow) as app:
        ids = await app.start_many(workflow, orders("flood", 20))
        await eventually(lambda: counted.running["all"] == 1)
        ids += await app.start_many(workflow, orders("ann", 2))

        counted.let_go(22)

        for run_id in ids:
            await app.run(run_id).result()
        assert counted.called.index("ann-0") <= 3
        assert counted.called.index("ann-1") <= 5


async def test_runs_begin_at_their_rate(bench: Bench) -> None:
    """19: a rate is shared by all processes and kept by the store; those over it wait."""
    counted = Counted()
    counted.let_go(10)
    clock = Clock()
    workflow = counted.workflow(rate_limit=RateLimit(limit=1, per=timedelta(hours=1), key="customer"))
    async with bench.app(workflow, clock=clock) as app:
        ids = await app.start_many(workflow, [*orders("ann", 2), *orders("bob", 1)])
        await app.run(ids[0]).result()
        await app.run(ids[2]).result()

        why = await app.run(ids[1]).why()

        assert "1 runs of workflow 'orders' by customer with the key \"ann\" begin in 3600 s, the next at" in why
        assert sorted(counted.called) == ["ann-0", "bob-0"]
        clock.offset = timedelta(hours=1)
        assert (await app.run(ids[1]).result()).unwrap() == 1


async def test_a_start_deadline_ends_a_run_that_waits_for_its_limit(bench: Bench) -> None:
    """9.3, 19: a run that is worth nothing later does not wait for its turn longer than that."""
    counted = Counted()
    clock = Clock()
    workflow = counted.workflow(concurrency=1)
    async with bench.app(workflow, clock=clock) as app:
        await begin(app, workflow, {"customer": "ann", "number": 0})
        await eventually(lambda: counted.running["ann"] == 1)
        late = await begin(app, workflow, {"customer": "ann", "number": 1}, start_within=60)

        assert "it fails unless a worker begins it until" in await late.why()
        clock.offset = timedelta(minutes=2)

        with pytest.raises(StartDeadlineError):
            (await late.result()).unwrap()
        counted.let_go(2)
        assert counted.called == ["ann-0"]


async def test_a_delayed_run_waits_for_its_time_and_then_for_its_limit(bench: Bench) -> None:
    """2.2, 19: before its time it takes no turn."""
    counted = Counted()
    clock = Clock()
    workflow = counted.workflow(concurrency=1)
    async with bench.app(workflow, clock=clock) as app:
        delayed = await begin(app, workflow, {"customer": "ann", "number": 9}, delay=timedelta(hours=1))
        other = await begin(app, workflow, {"customer": "ann", "number": 1})
        await eventually(lambda: counted.called == ["ann-1"])

        clock.offset = timedelta(hours=1)
        await eventually(lambda: _why_has(delayed, "1 of 1"))
        counted.let_go(2)

        assert (await other.result()).unwrap() == 1
        assert (await delayed.result()).unwrap() == 9


async def _why_has(run: Any, text: str) -> bool:
    return text in await run.why()


async def test_a_recorded_run_obeys_its_limit_when_it_is_started(bench: Bench) -> None:
    """2.1, 19: the key is taken from the input, which comes with the start."""
    counted = Counted()
    workflow = counted.workflow(concurrency=Concurrency(limit=1, key="customer"))
    async with bench.app(workflow) as app:
        runs = [await app.record_run(workflow) for _ in range(3)]
        started = []
        for number, run in enumerate(runs):
            order = {"customer": "ann", "number": number}
            started.append(await run.start_async(input_data=order, priority=number))
            await eventually(lambda: counted.running["ann"] == 1)  # the first has the place before others ask for it

        counted.let_go(3)

        assert [(await each.result()).unwrap() for each in started] == [0, 1, 2]
        assert counted.most["ann"] == 1
        assert counted.called == ["ann-0", "ann-2", "ann-1"]


async def test_restarts_and_forks_obey_the_limits_of_the_run(bench: Bench) -> None:
    """12.3, 12.4, 19: the next execution, and a new run like it, wait for their turn."""
    counted = Counted()
    workflow = counted.workflow(concurrency=Concurrency(limit=1, key="customer"))
    async with bench.app(workflow) as app:
        done = await begin(app, workflow, {"customer": "ann", "number": 0})
        counted.let_go()
        await done.result()
        holder = await begin(app, workflow, {"customer": "ann", "number": 1})
        await eventually(lambda: counted.running["ann"] == 1)

        forked = await app.run(done.run_id).fork_async("work")
        again = await app.run(done.run_id).time_travel_async("work")

        for each in (forked, again):
            assert "1 of 1 runs of workflow 'orders' by customer with the key \"ann\" are running" in await each.why()
        counted.let_go(3)
        for each in (holder, forked, again):
            await each.result()
        assert counted.most["ann"] == 1


async def test_a_raised_limit_lets_those_who_wait_go_on(bench: Bench) -> None:
    """19: the latest app that opens the store says what the limit is, for all."""
    counted = Counted()
    one, three = (counted.workflow(concurrency=limit) for limit in (1, 3))
    async with bench.app(one) as app:
        ids = await app.start_many(one, orders("ann", 3))
        await eventually(lambda: counted.running["ann"] == 1)

        async with bench.app(three, worker=False):
            await eventually(lambda: counted.running["ann"] == 3)

        counted.let_go(3)
        for run_id in ids:
            await app.run(run_id).result()


async def test_runs_given_up_by_a_worker_that_leaves_keep_their_places(bench: Bench) -> None:
    """3.6, 19: they go on elsewhere, and nobody takes their places meanwhile."""
    counted = Counted()
    workflow = counted.workflow(concurrency=1)
    async with bench.app(workflow, worker=False) as starter:
        ids = await starter.start_many(workflow, orders("ann", 2))
        async with bench.app(workflow, drain=timedelta(0)):
            await eventually(lambda: counted.running["all"] == 1)
        counted.running.clear()
        async with bench.app(workflow):
            await eventually(lambda: len(counted.called) == 2)
            assert counted.called == ["ann-0", "ann-0"]
            counted.let_go(3)
            for run_id in ids:
                await starter.run(run_id).result()


@pytest.mark.parametrize(
    ("priority", "reason"),
    [(101, "-100 to 100"), (-101, "-100 to 100"), (True, "not True"), ("high", "not 'high'"), (1.5, "not 1.5")],
)
async def test_an_unusable_priority_is_refused(bench: Bench, priority: Any, reason: str) -> None:
    """2.3: before anything is written."""
    workflow = Counted().workflow()
    async with bench.app(workflow) as app:
        run = await app.create_run(workflow)
        with pytest.raises(InputError, match=reason):
            await run.start_async(input_data={"customer": "ann", "number": 0}, priority=priority)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("supplier", "has no field 'supplier'"),
        ("customer.name", "has no field 'customer.name'"),
        (lambda order: 1 / 0, "raised ZeroDivisionError"),
        (lambda order: [1], r"not \[1\]"),
        (lambda order: 0.5, "not 0.5"),
        (lambda order: "x" * 300, "at most 200 characters"),
    ],
)
async def test_an_input_without_a_usable_key_is_refused(bench: Bench, key: Any, reason: str) -> None:
    """2.3: before anything is written; the message says which limit and why."""
    workflow = Counted().workflow(concurrency=Concurrency(limit=1, key=key))
    async with bench.app(workflow) as app:
        with pytest.raises(InputError, match=reason):
            await begin(app, workflow, {"customer": "ann", "number": 0})


def test_limits_that_cannot_work_are_refused() -> None:
    """1.3: the message says what to write instead."""
    for make, reason in [
        (lambda: Concurrency(limit=0), "whole number of at least 1"),
        (lambda: Concurrency(limit=1, key=""), "path of a field"),
        (lambda: Concurrency(limit=1, name=""), "give a text"),
        (lambda: RateLimit(limit=1, per=0), "above zero"),
        (lambda: RateLimit(limit=2, per=1, burst=3), "over its limit"),
        (lambda: Counted().workflow(concurrency=0), "at least 1"),
        (lambda: Counted().workflow(concurrency="many"), r"Concurrency\(limit=5\)"),
        (lambda: Counted().workflow(rate_limit=3), r"RateLimit\(limit=10, per=60\)"),
        (lambda: Counted().workflow(concurrency=[Concurrency(limit=1), Concurrency(limit=2)]), "two limits"),
    ]:
        with pytest.raises(DefinitionError, match=reason):
            make()


def test_two_numbers_for_one_named_limit_are_refused() -> None:
    """1.3: which of them would hold?"""
    one = Counted().workflow(concurrency=Concurrency(limit=1, name="printer"))
    two = Counted().workflow(concurrency=Concurrency(limit=2, name="printer")).clone(id="returns")

    with pytest.raises(ConfigurationError, match="under 'printer'; give them the same numbers"):
        Outlast([one, two], store="memory")
