"""Starting many runs at once: rule 2.7."""

from __future__ import annotations

import inspect
import uuid
from typing import Any

import pytest

from behaviour.bench import Bench, begin
from outlast import InputError, OutputOptions, Run, RunExistsError, RunStatus, UnattachedWorkflowError, Workflow, step
from outlast.engines.capability import Capability
from outlast.testing.faults import CountCommits


@step
async def add_one(x: int) -> int:
    return x + 1


COUNT = Workflow("count", input=int, output=int).then(add_one).commit()
TWICE = Workflow("twice", input=int, output=int).then(add_one).then(add_one.clone(id="again")).commit()


async def test_ids_come_in_the_order_of_the_items_and_all_of_them_run(bench: Bench) -> None:
    """2.7: starts thousands of runs and returns their ids in order."""
    async with bench.app(COUNT) as app:
        ids = await COUNT.start_many([{"input_data": n} for n in range(300)])

        results = [await app.run(run_id).result() for run_id in ids]
        assert [result.input for result in results] == list(range(300))
        assert [result.result for result in results] == list(range(1, 301))
        assert {uuid.UUID(each).version for each in ids} == {7}


@pytest.mark.slow
async def test_thousands_of_runs_take_few_transactions(bench: Bench) -> None:
    """2.7: in few transactions."""
    seam = CountCommits()
    async with bench.app(COUNT, store=bench.store(seam), worker=False) as app:
        before = seam.commits

        await app.start_many(COUNT, [dict(input_data=n) for n in range(3_000)])  # noqa: C408 - as the docs write it

        assert seam.commits - before <= 6
        assert (await app.counts(COUNT)) == {"count": {RunStatus.PENDING: 3_000}}


async def test_each_item_has_the_options_of_a_start(bench: Bench) -> None:
    """2.7: each item takes what `create_run` and `start_async` take."""
    async with bench.app(COUNT) as app:
        await COUNT.start_many(
            [
                {"run_id": "a", "resource_id": "ada", "tags": ["red"], "input_data": 1},
                {"run_id": "b", "input_data": 2, "delay": 3_600},
                {"run_id": "c", "input_data": 3, "output_options": OutputOptions(include_state=True)},
            ]
        )

        first = await COUNT.get_workflow_run_by_id("a", fields=[])
        assert first is not None
        assert (first.resource_id, first.tags) == ("ada", ("red",))
        assert await app.run("b").status() is RunStatus.PENDING
        assert (await app.run("c").result()).state == {}


async def test_item_may_pause_after_each_node(bench: Bench) -> None:
    """2.7, 12.6: `per_step` is an option of a start like the others."""
    async with bench.app(TWICE) as app:
        (run_id,) = await app.start_many(TWICE, [{"input_data": 1, "per_step": True}])

        assert (await app.run(run_id).result()).status is RunStatus.PAUSED


async def test_item_is_offered_the_options_of_a_start(bench: Bench) -> None:
    """2.7: each item takes what `create_run` and `start_async` take; a word that is none of them is told which are."""
    async with bench.app(COUNT) as app:
        verbs = (Run.start_async, app.create_run)
        parameters = [each for verb in verbs for each in inspect.signature(verb).parameters.values()]
        known = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}

        with pytest.raises(InputError) as refused:
            await app.start_many(COUNT, [{"nothing": 1}])

        (problem,) = refused.value.problems
        assert set(problem.reason.removeprefix("'nothing' is none of ").split(", ")) == known


async def test_no_items_start_nothing(bench: Bench) -> None:
    """2.7: an empty list is fine."""
    async with bench.app(COUNT):
        assert await COUNT.start_many([]) == []


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([{"input_data": 1}, {"input_data": "x"}], "[1].input_data: "),
        ([{"input_data": 1, "tags": ["a", ""]}], "[0].tags[1]: needs 1 to 200"),
        ([{"input_data": 1, "deley": 3}], "[0]: 'deley' is none of input_data, "),
        ([{"input_data": 1, "delay": -1}], "[0].delay: seconds or a timedelta"),
        ([{"input_data": 1, "run_id": ""}], "[0].run_id: needs 1 to 200"),
        ([{"input_data": 1, "run_id": "r"}, {"input_data": 2, "run_id": "r"}], "[1].run_id: the same as that of [0]"),
        (
            [{"input_data": 1, "idempotency_key": "k"}, {"input_data": 1, "idempotency_key": "k"}],
            "[1].idempotency_key: the same as that of [0]",
        ),
        ([1], "[0]: a dict of the options of a start is needed, not 1"),
        ({"input_data": 1}, "start_many is not valid: a list is needed"),
        ("abc", "start_many is not valid: a list is needed"),
    ],
    ids=str,
)
@pytest.mark.requires(Capability.LISTS)
async def test_items_are_checked_as_a_whole_before_anything_is_recorded(bench: Bench, items: Any, reason: str) -> None:
    """2.3, 2.7: wrong items raise with their place; nothing is recorded."""
    async with bench.app(COUNT) as app:
        with pytest.raises(InputError) as caught:
            await COUNT.start_many(items)

        assert reason in str(caught.value)
        assert (await app.list_runs()).total == 0


async def test_all_wrong_items_are_named(bench: Bench) -> None:
    """2.3: names each path."""
    async with bench.app(COUNT):
        with pytest.raises(InputError) as caught:
            await COUNT.start_many([{"input_data": "x"}, {"input_data": 1}, {"input_data": "y"}])

    assert [each.path for each in caught.value.problems] == ["[0].input_data", "[2].input_data"]


@pytest.mark.requires(Capability.LISTS)
async def test_id_that_was_started_before_refuses_all(bench: Bench) -> None:
    """2.4, 2.7: duplicates are refused before anything is written."""
    async with bench.app(COUNT) as app:
        await (await begin(app, COUNT, 1, run_id="taken")).result()

        with pytest.raises(RunExistsError, match="taken"):
            await COUNT.start_many([{"run_id": "new", "input_data": 1}, {"run_id": "taken", "input_data": 1}])

        assert (await app.list_runs()).total == 1


async def test_workflow_of_another_app_is_refused(bench: Bench) -> None:
    """2.1: the error names what to do."""
    async with bench.app() as app:
        with pytest.raises(UnattachedWorkflowError):
            await app.start_many(COUNT, [])
