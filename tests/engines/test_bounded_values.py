"""Values are kept in memory up to a bound and read again beyond it: rules 5.9 and 19. Results are the same."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from engines.place import Place
from eventually import eventually
from outlast import CommittedWorkflow, Outlast, ReadContext, StepContext, Workflow, step
from outlast.core.record import Record
from outlast.engines.values import RunValues
from outlast.errors import StoreUnavailableError
from outlast.storage.base import RunKey
from outlast.storage.memory import MemoryDatabase, MemoryStore
from outlast.values import encode

SIZE = 300
AT_ONCE = timedelta()


@pytest.fixture(autouse=True)
def _small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outlast.engines.local.live._MOST_BYTES", 2_000)


def text(number: int) -> str:
    return f"{number}:" + "x" * SIZE


def number_of(value: str) -> int:
    return int(value.split(":", maxsplit=1)[0])


@step
async def grow(x: str) -> str:
    return text(number_of(x) + 1)


@step
async def widen(x: int) -> str:
    return text(x)


@step
async def same(x: Any) -> Any:
    return x


async def test_long_chain_gives_the_same_result(place: Place) -> None:
    """5.1: the next input is the previous output."""
    builder = Workflow("w", input=str)
    for number in range(40):
        builder = builder.then(grow.clone(id=f"s{number}"))

    result = await place.run(builder.commit(), text(0))

    assert result.result == text(40)
    assert result.steps["s0"].output == text(1)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_getters_read_what_was_evicted(place: Place, kind: str) -> None:
    """6: `get_init_data` and `get_step_result` give what was recorded, however long ago."""

    @step(id="look")
    async def look(x: str, ctx: StepContext) -> list[Any]:
        return [await ctx.get_init_data(), await ctx.get_step_result("s0"), await ctx.get_step_result("s25")]

    @step(id="look")
    def look_sync(x: str, ctx: StepContext) -> list[Any]:
        read = ctx.blocking
        return [read.get_init_data(), read.get_step_result("s0"), read.get_step_result("s25")]

    builder = Workflow("w", input=str)
    for number in range(30):
        builder = builder.then(grow.clone(id=f"s{number}"))

    result = await place.run(builder.then(look if kind == "async" else look_sync).commit(), text(0))

    assert result.result == [text(0), text(1), text(26)]


async def test_getters_of_many_bodies_at_a_time_read_what_was_evicted(place: Place) -> None:
    """6: what one body reads again may be evicted while another one's outcome is kept."""

    @step
    async def look(x: int, ctx: StepContext) -> list[str]:
        results = [await ctx.get_step_result(f"s{number}") for number in (0, 25, 1, 24)]
        return [text(x), *results]

    builder = Workflow("w", input=str)
    for number in range(30):
        builder = builder.then(grow.clone(id=f"s{number}"))
    workflow = builder.map(lambda ctx: list(range(20)), id="list").foreach(look, concurrency=20, id="each").commit()

    result = await place.run(workflow, text(0))

    assert result.result == [[text(x), text(1), text(26), text(2), text(25)] for x in range(20)]


async def test_loop_of_500_passes_gives_the_same_result(place: Place) -> None:
    """5.4: its output feeds the next pass and the condition."""
    workflow = Workflow("w", input=str).dountil(grow, lambda ctx: ctx.iteration_count == 500).commit()

    result = await place.run(workflow, text(0))

    assert result.result == text(500)


@pytest.mark.parametrize("concurrency", [1, 4, 50])
async def test_foreach_joins_outputs_that_were_evicted(place: Place, concurrency: int) -> None:
    """5.5: the output is index-aligned."""
    workflow = Workflow("w", input=list[int]).foreach(widen, concurrency=concurrency).then(same).commit()

    result = await place.run(workflow, list(range(50)))

    assert result.result == [text(number) for number in range(50)]


async def test_parallel_joins_outputs_that_were_evicted(place: Place) -> None:
    """5.2: keyed by child id in declaration order."""
    children = [grow.clone(id=f"c{number}") for number in range(20)]
    workflow = Workflow("w", input=str).parallel(children).then(same).commit()

    result = await place.run(workflow, text(0))

    assert result.result == {f"c{number}": text(1) for number in range(20)}


async def test_step_that_waited_for_a_slot_gets_its_evicted_input(place: Place) -> None:
    """19: more bodies than `max_steps` wait; what they receive may be evicted meanwhile."""
    children = [
        Workflow(f"c{number}", input=str).then(grow).then(grow.clone(id="again")).commit() for number in range(12)
    ]
    workflow = Workflow("w", input=str).parallel(children).commit()
    async with place.app(workflow, max_steps=1) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=text(0))
        result = await started.result(timeout=10)

    assert result.result == {f"c{number}": text(2) for number in range(12)}


async def test_sources_read_what_was_evicted(place: Place) -> None:
    """5.6: a map sees the input and the results of steps."""
    builder = Workflow("w", input=str)
    for number in range(20):
        builder = builder.then(grow.clone(id=f"s{number}"))

    async def gather(ctx: ReadContext[str]) -> list[Any]:
        return [await ctx.get_init_data(), await ctx.get_step_result("s0"), ctx.input]

    result = await place.run(builder.map(gather, id="gather").commit(), text(0))

    assert result.result == [text(0), text(1), text(20)]


async def test_resumption_after_eviction_sees_its_values(place: Place) -> None:
    """7.2: in another process the body has its input, what it told, and what it was resumed with."""

    @step
    async def ask(x: str, ctx: StepContext) -> list[Any]:
        if not ctx.resumed:
            ctx.suspend({"told": x})
        return [x, ctx.suspend_data, ctx.resume_data, await ctx.get_step_result("s0")]

    builder = Workflow("w", input=str)
    for number in range(20):
        builder = builder.then(grow.clone(id=f"s{number}"))
    workflow = builder.then(ask).commit()
    await place.run(workflow, text(0), run_id="run")
    async with place.app(workflow) as app:
        result = await app.run("run").resume(text(99))

    assert result.result == [text(20), {"told": text(20)}, text(99), text(1)]


async def test_recovered_run_goes_on_with_evicted_values(place: Place) -> None:
    """12.1: a journal larger than the bound is folded, and the values that are needed are read again."""
    held = asyncio.Event()
    calls: list[str] = []

    @step
    async def hold(x: int, ctx: StepContext) -> str:
        if not ctx.recovered and x % 10 == 5:
            calls.append(ctx.path)
            await held.wait()
        return text(x)

    workflow = Workflow("w", input=list[int]).foreach(hold, concurrency=50, id="each").then(same).commit()
    async with place.app(workflow, drain=AT_ONCE) as app:
        await (await app.create_run(workflow, run_id="run")).start_async(input_data=list(range(50)))
        await eventually(lambda: len(calls) == 5)
    async with place.app(workflow) as app:
        result = await app.run("run").result(timeout=10)

    assert result.result == [text(number) for number in range(50)]


@step
async def count(x: Any) -> int:
    return len(x)


@step
async def ask_for_the_list(x: str, ctx: StepContext) -> int:
    return len(await ctx.get_step_result("widen"))


@pytest.fixture
def read_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many values were asked for at a time that were not in memory any more."""
    seen, load = list[int](), RunValues.load

    async def counted(values: RunValues, seqs: list[int], load_facts: Any) -> None:
        seen.append(len(seqs))
        await load(values, seqs, load_facts)

    monkeypatch.setattr(RunValues, "load", counted)
    return seen


WIDE = Workflow("wide", input=list[int]).foreach(widen)
TOO_LARGE: dict[str, tuple[CommittedWorkflow[Any, Any], str]] = {
    "step": (WIDE.then(count).commit(), "input of step 'count'"),
    "map": (WIDE.map(lambda ctx: len(ctx.input), id="shorten").commit(), "input of map 'shorten'"),
    "condition": (WIDE.branch([(lambda ctx: True, count)]).commit(), "input of 'branch?count'"),
    "nested workflow": (
        WIDE.then(Workflow("inside", input=list[str]).then(count).commit()).commit(),
        "input of workflow 'inside'",
    ),
    "result": (WIDE.commit(), "result of the workflow"),
    "result of a declared type": (
        Workflow("wide", input=list[int], output=list[str]).foreach(widen).commit(),
        "result of the workflow",
    ),
    "getter": (WIDE.foreach(ask_for_the_list).commit(), "output of 'widen'"),
}


@pytest.mark.parametrize(("workflow", "subject"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
async def test_value_too_large_to_be_put_together_is_not_read_again(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    read_again: list[int],
    workflow: CommittedWorkflow[Any, Any],
    subject: str,
) -> None:
    """9.7: a joined value over its limit fails what needs it, and does not fill the memory before that."""
    monkeypatch.setattr("outlast.engines.values.LARGEST_JOINED", 10_000)
    size = len(encode([text(number) for number in range(50)]))

    result = await place.run(workflow, list(range(50)))

    assert result.error is not None
    assert result.error.type == "PayloadTooLargeError"
    assert result.error.message.startswith(f"{subject} is not valid: {size:,} bytes as JSON, over the limit of 10,000")
    assert max(read_again) == 1  # the list of numbers: never the list that is too large


async def test_list_too_large_to_be_put_together_is_read_again_item_by_item(
    place: Place, monkeypatch: pytest.MonkeyPatch, read_again: list[int]
) -> None:
    """9.7: it is limited only when it is put together; how many items it has is known without them."""
    monkeypatch.setattr("outlast.engines.values.LARGEST_JOINED", 10_000)
    workflow = WIDE.foreach(count, id="lengths").commit()

    result = await place.run(workflow, list(range(50)))

    assert result.result == [len(text(number)) for number in range(50)]
    assert set(read_again) == {1}


async def test_result_of_any_type_is_not_read_again_to_end_the_run(place: Place, read_again: list[int]) -> None:
    """9.7: nobody puts it together, and how large it would be is known."""
    result = await place.run(WIDE.commit(), list(range(50)))

    assert result.result == [text(number) for number in range(50)]
    assert max(read_again) == 1


@pytest.mark.parametrize("is_restarted", [False, True], ids=["once", "after a restart"])
async def test_result_shows_a_value_that_was_too_large_for_the_run(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, is_restarted: bool
) -> None:
    """9.7: the limit is that of what a run needs: whoever reads the run sees all of it, however large."""
    monkeypatch.setattr("outlast.engines.values.LARGEST_JOINED", 10_000)
    workflow = WIDE.then(count).commit()
    await place.run(workflow, list(range(50)), run_id="run")
    async with place.app(workflow) as app:
        if is_restarted:
            await app.run("run").restart()
        result = await app.run("run").result()

    assert result.status == "failed"
    assert result.steps["widen"].output == [text(number) for number in range(50)]


def cancel_first_load(turns: int) -> list[str]:
    """Cancel the first task that reads values again, after so many turns of the loop; return what is canceled."""
    loop, canceled = asyncio.get_running_loop(), list[str]()

    def cancel(made: list[asyncio.Task[Any]], left: int) -> None:
        if left > 0:
            loop.call_soon(cancel, made, left - 1)
        elif is_load(made[0]) and not canceled:
            canceled.append(made[0].get_name())
            made[0].cancel()

    def make(_: object, work: Any, **options: Any) -> asyncio.Task[Any]:
        made: list[asyncio.Task[Any]] = []
        loop.call_soon(cancel, made, turns)  # ahead of the task's first turn; a task has no name yet when it is made
        made.append(asyncio.Task(work, loop=loop, **options))
        return made[0]

    loop.set_task_factory(make)
    return canceled


def is_load(task: asyncio.Task[Any] | None) -> bool:
    return task is not None and task.get_name().startswith("outlast load")


class Slow(MemoryStore):
    """Never answers the first task that reads values again."""

    has_answered = True

    async def load_facts(self, run: RunKey, **options: Any) -> list[Record]:
        if is_load(asyncio.current_task()) and not self.has_answered:
            self.has_answered = True
            await asyncio.Event().wait()
        return await super().load_facts(run, **options)


@pytest.mark.parametrize("turns", [0, 3], ids=["before its first turn", "while it reads"])
async def test_run_whose_read_of_values_other_code_cancels_goes_on(turns: int) -> None:
    """3.1: as code that cancels all tasks of a loop; the run must not wait for its values for ever."""
    store = Slow(MemoryDatabase())
    store.has_answered = not turns
    workflow = Workflow("w", input=list[int]).foreach(widen, concurrency=4).then(same).commit()
    canceled = cancel_first_load(turns)
    async with Outlast([workflow], store=store, drain=AT_ONCE) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=list(range(50)))
        result = await started.result(timeout=10)

    assert canceled
    assert result.result == [text(number) for number in range(50)]


class Faulty(MemoryStore):
    """Has a bug that the first task meets that reads values again."""

    faults = 1

    async def load_facts(self, run: RunKey, **options: Any) -> list[Record]:
        if is_load(asyncio.current_task()) and self.faults > 0:
            self.faults -= 1
            raise KeyError("a bug")
        return await super().load_facts(run, **options)


async def test_run_is_left_to_others_if_a_fault_prevents_reading_its_values(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """9.8: like any fault of the engine; here the other one is the same worker, a little later."""
    monkeypatch.setattr("outlast.engines.local.worker._PARKED_FOR_MS", 10)
    store = Faulty(MemoryDatabase())
    workflow = Workflow("w", input=list[int]).foreach(widen, concurrency=4).then(same).commit()
    async with Outlast([workflow], store=store, drain=AT_ONCE) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=list(range(50)))
        result = await started.result(timeout=10)

    assert not store.faults
    assert "a fault in the engine while it drove run" in caplog.text
    assert "is left to another worker" in caplog.text
    assert result.result == [text(number) for number in range(50)]


class Unreliable(MemoryStore):
    """Fails some reads of single records, which only those make who read values again."""

    def __init__(self, database: MemoryDatabase, faults: int) -> None:
        super().__init__(database)
        self.faults = faults

    async def load_facts(self, run: RunKey, *, after: int = 0, **options: Any) -> list[Record]:
        if after > 0 and self.faults > 0:
            self.faults -= 1
            raise StoreUnavailableError("the disk is away; try again")
        return await super().load_facts(run, after=after, **options)


@pytest.mark.parametrize("faults", [1, 3])
async def test_store_error_while_values_are_read_again_does_not_lose_the_run(faults: int) -> None:
    """3.1: no status in which a run stays for ever with nobody working on it."""
    store = Unreliable(MemoryDatabase(), faults)
    workflow = Workflow("w", input=list[int]).foreach(widen, concurrency=4).then(same).commit()
    async with Outlast([workflow], store=store) as app:
        started = await (await app.create_run(workflow)).start_async(input_data=list(range(50)))
        result = await started.result(timeout=10)

    assert store.faults == 0
    assert result.result == [text(number) for number in range(50)]
