"""The state of a run: rules 8.1 to 8.3."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, model_validator
from typing_extensions import TypedDict

from behaviour.bench import Bench, begin
from eventually import eventually
from outlast import (
    DELETE,
    Add,
    Append,
    Extend,
    InputError,
    Max,
    MergeDict,
    Min,
    OutputOptions,
    ReadContext,
    StepContext,
    Union,
    Workflow,
    step,
)

SHOWN = OutputOptions(include_state=True)


class Progress(BaseModel):
    done: int = 0
    note: str | None = None


@step
async def read(x: Any, ctx: StepContext) -> dict[str, Any]:
    return ctx.plain_state


def patching(id: str, *patches: dict[str, Any]) -> Any:
    @step(id=id)
    async def patch(x: Any, ctx: StepContext) -> None:
        for each in patches:
            ctx.set_state(each)

    return patch


async def final_state(bench: Bench, workflow: Any, **options: Any) -> Any:
    async with bench.app(workflow) as app:
        run = await app.create_run(workflow)
        result = await run.start(output_options=SHOWN, **options)
    assert result.status == "success", result.error
    return result.state


# 8.1


@pytest.mark.parametrize("is_async", [True, False])
async def test_step_sees_its_own_patches(bench: Bench, is_async: bool) -> None:
    """8.1: a step sees the snapshot at its start plus its own patches; calls merge in order."""

    def change(x: int, ctx: StepContext) -> list[Any]:
        seen = [ctx.state.done]
        ctx.set_state({"done": 5})
        seen.append(ctx.state.done)
        ctx.set_state({"done": 6, "note": "n"})
        return [*seen, ctx.state.done, ctx.state.note, type(ctx.state).__name__]

    async def change_async(x: int, ctx: StepContext) -> list[Any]:
        return change(x, ctx)

    body = step(id="change")(change_async if is_async else change)
    workflow = Workflow("w", input=int, state=Progress).then(body).commit()

    assert (await bench.run(workflow, 1)).result == [0, 5, 6, "n", "Progress"]


async def test_later_steps_see_what_earlier_ones_set(bench: Bench) -> None:
    """8.1: the merge is recorded with the outcome."""
    workflow = Workflow("w").then(patching("a", {"x": 1}, {"y": 2})).then(patching("b", {"x": 3})).then(read).commit()

    assert (await bench.run(workflow)).result == {"x": 3, "y": 2}


async def test_changing_what_ctx_state_gave_changes_nothing(bench: Bench) -> None:
    """8.1, 5.9: a snapshot is a copy."""

    @step
    async def spoil(x: Any, ctx: StepContext) -> dict[str, Any]:
        ctx.set_state({"items": [1]})
        ctx.state["items"].append(2)
        ctx.plain_state["items"].append(3)
        return ctx.plain_state

    workflow = Workflow("w").then(spoil).then(read).commit()

    result = await bench.run(workflow)

    assert result.steps["spoil"].output == result.result == {"items": [1]}


async def test_patch_is_a_copy_of_what_was_given(bench: Bench) -> None:
    """8.1: what the author does to the object later changes nothing."""

    @step
    async def late(x: Any, ctx: StepContext) -> None:
        items = [1]
        ctx.set_state({"items": items})
        items.append(2)

    assert await final_state(bench, Workflow("w").then(late).commit()) == {"items": [1]}


async def test_running_step_keeps_the_snapshot_of_its_start(bench: Bench) -> None:
    """8.1: what others record meanwhile is not seen."""
    written = asyncio.Event()

    @step
    async def early(x: Any, ctx: StepContext) -> Any:
        await written.wait()
        return ctx.plain_state

    @step
    async def writer(x: Any, ctx: StepContext) -> None:
        ctx.set_state({"x": 1})

    workflow = Workflow("w").parallel([early, writer]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow)
        await eventually(lambda: _has_ended(started, "writer"))
        written.set()
        result = await started.result()

    assert result.result["early"] == {}


async def _has_ended(handle: Any, path: str) -> Any:
    step_result = (await handle.snapshot()).steps.get(path)
    return step_result is not None and step_result.ended_at is not None


@pytest.mark.parametrize("ending", ["return", "suspend", "bail"])
async def test_patch_over_the_limit_fails_the_step(bench: Bench, ending: str) -> None:
    """9.7: what a step sets in the state is bounded as its output is."""

    @step
    async def fill(x: Any, ctx: StepContext) -> None:
        ctx.set_state({"text": "x" * 5_000_000})
        if ending == "suspend":
            ctx.suspend()
        elif ending == "bail":
            ctx.bail(1)

    result = await bench.run(Workflow("w").then(fill).commit())

    assert result.error is not None
    assert (result.status, result.error.type, result.error_path) == ("failed", "PayloadTooLargeError", "fill")
    assert "patch of the state by step 'fill'" in result.error.message


async def test_patches_of_a_failed_attempt_are_dropped(bench: Bench) -> None:
    """8.1: dropped on failure; the next attempt starts from the snapshot before it."""
    seen: list[Any] = []

    @step(retries=1)
    async def flaky(x: Any, ctx: StepContext) -> None:
        seen.append(ctx.plain_state)
        ctx.set_state({f"attempt{ctx.attempt}": True})
        if ctx.attempt == 0:
            raise ValueError

    assert await final_state(bench, Workflow("w").then(flaky).commit()) == {"attempt1": True}
    assert seen == [{}, {}]


async def test_patches_of_a_bail_are_kept(bench: Bench) -> None:
    """8.1: the merge is recorded with the outcome (success, suspend, bail)."""

    @step
    async def leave(x: Any, ctx: StepContext) -> None:
        ctx.set_state({"x": 1})
        ctx.bail("out")

    assert await final_state(bench, Workflow("w").then(leave).commit()) == {"x": 1}


async def test_patches_of_a_suspension_are_visible_while_it_lasts(bench: Bench) -> None:
    """8.1: recorded with the suspension, once."""

    @step
    async def ask(x: Any, ctx: StepContext) -> None:
        ctx.set_state({"calls": 1})
        if not ctx.resumed:
            ctx.suspend()

    workflow = Workflow("w", state=Tally).then(ask).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, output_options=SHOWN)
        first = await started.result()
        second = await started.resume()

    assert first.state is not None
    assert second.state is not None
    assert (first.state["calls"], second.state["calls"]) == (1, 2)


@pytest.mark.parametrize(
    ("patch", "path"),
    [({"done": "many"}, "done"), ({"unknown": 1}, "unknown"), ({"done": DELETE}, None), ("no dict", None)],
    ids=["type", "unknown", "delete", "no-dict"],
)
async def test_invalid_patch_fails_the_step_and_names_the_field(bench: Bench, patch: Any, path: str | None) -> None:
    """8.1, 21: a patch is validated field by field where the step ran; `DELETE` of a required field is refused."""

    class Required(BaseModel):
        done: int

    @step
    async def wrong(x: Any, ctx: StepContext) -> None:
        ctx.set_state(patch)

    workflow = Workflow("w", state=Required).then(wrong).commit()
    async with bench.app(workflow) as app:
        result = await (await app.create_run(workflow)).start(initial_state={"done": 1})

    assert result.error is not None
    assert (result.status, result.error_path) == ("failed", "wrong")
    assert path is None or path in result.error.message


async def test_refused_patch_changes_nothing_if_the_body_goes_on(bench: Bench) -> None:
    """8.1: a patch is taken as a whole or not at all."""

    @step
    async def half(x: Any, ctx: StepContext) -> None:
        try:
            ctx.set_state({"note": "kept?", "done": "many"})
        except Exception:  # noqa: BLE001 - whatever it is
            ctx.set_state({"done": 1})

    workflow = Workflow("w", state=Progress).then(half).commit()

    assert await final_state(bench, workflow) == {"done": 1, "note": None}


async def test_validators_of_the_whole_model_run_only_on_the_initial_state(bench: Bench) -> None:
    """8.1: model-level validators run only on the initial state: a step may go through what they would refuse."""

    class Range(BaseModel):
        low: int = 0
        high: int = 10

        @model_validator(mode="after")
        def check(self) -> Range:
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    @step
    async def cross(x: Any, ctx: StepContext) -> None:
        ctx.set_state({"low": 20})

    @step
    async def look(x: Any, ctx: StepContext) -> list[int]:
        return [ctx.state.low, ctx.state.high]

    workflow = Workflow("w", state=Range).then(cross).then(look).commit()
    async with bench.app(workflow) as app:
        with pytest.raises(InputError, match="low is above high"):
            await begin(app, workflow, initial_state={"low": 11})
        result = await (await begin(app, workflow)).result()

    assert result.result == [20, 10]


async def test_initial_state_is_validated_before_anything_is_written(bench: Bench) -> None:
    """2.3: failure raises `InputError` naming each path; nothing is recorded."""
    workflow = Workflow("w", state=Progress).then(read).commit()
    async with bench.app(workflow) as app:
        with pytest.raises(InputError) as caught:
            await begin(app, workflow, run_id="run", initial_state={"done": "x", "note": 5})

        assert sorted(each.path for each in caught.value.problems) == ["done", "note"]
        assert await bench.row("run") is None


async def test_step_may_declare_the_part_of_the_state_that_it_uses(bench: Bench) -> None:
    """1.1: `state` (type of the part of the state it uses)."""

    class Part(TypedDict, total=False):
        done: int

    @step(state=Part)
    async def part(x: Any, ctx: StepContext) -> Any:
        ctx.set_state({"done": ctx.state["done"] + 1})
        return ctx.state["done"]

    workflow = Workflow("w", state=Progress).then(part).commit()

    assert await final_state(bench, workflow, initial_state={"done": 4}) == {"done": 5, "note": None}


async def test_conditions_maps_and_durations_see_the_state(bench: Bench) -> None:
    """6: the reading half of the context."""
    seen: dict[str, Any] = {}

    def note(name: str, answer: Any) -> Any:
        def function(ctx: ReadContext[Any]) -> Any:
            seen[name] = ctx.state.done
            return answer

        return function

    workflow = (
        Workflow("w", state=Progress)
        .then(patching("set", {"done": 3}))
        .map(note("map", [1]))
        .sleep(note("sleep", 0.001))
        .foreach(read.clone(id="each"), concurrency=note("concurrency", 1))
        .branch([(note("condition", False), read)])
        .dowhile(read.clone(id="loop"), note("loop", False))
        .commit()
    )

    assert (await bench.run(workflow)).status == "success"
    assert seen == dict.fromkeys(["map", "sleep", "concurrency", "condition", "loop"], 3)


async def test_nested_workflow_shares_the_state_of_the_run(bench: Bench) -> None:
    """5.7: it shares the parent's run and state."""
    inner = Workflow("inner").then(patching("a", {"inner": 1})).then(read.clone(id="see")).commit()
    workflow = Workflow("w").then(patching("b", {"outer": 1})).then(inner).then(read).commit()

    result = await bench.run(workflow)

    assert result.steps["inner.see"].output == result.result == {"outer": 1, "inner": 1}


# 8.2


class Tally(BaseModel):
    log: Annotated[list[str], Append] = []
    more: Annotated[list[str], Extend] = []
    calls: Annotated[int, Add] = 0
    high: Annotated[int | None, Max] = None
    low: Annotated[int | None, Min] = None
    tags: Annotated[list[str], Union] = []
    by_key: Annotated[dict[str, int], MergeDict] = {}
    last: str | None = None


@pytest.mark.parametrize(
    ("field", "first", "second", "merged"),
    [
        ("log", "a", "b", ["a", "b"]),
        ("more", ["a"], ["b", "c"], ["a", "b", "c"]),
        ("calls", 2, 3, 5),
        ("high", 2, 1, 2),
        ("low", 2, 1, 1),
        ("tags", ["a", "b"], ["b", "c"], ["a", "b", "c"]),
        ("by_key", {"a": 1, "b": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ("last", "a", "b", "b"),
    ],
    ids=["append", "extend", "add", "max", "min", "union", "merge-dict", "replace"],
)
@pytest.mark.parametrize("shape", ["one-step", "two-steps", "parallel"])
async def test_fields_are_merged_by_their_reducer(
    bench: Bench, field: str, first: Any, second: Any, merged: Any, shape: str
) -> None:
    """8.2: unless the field declares a reducer the last wins."""
    one, two = patching("one", {field: first}), patching("two", {field: second})
    base = Workflow("w", state=Tally)
    workflow = {
        "one-step": base.then(patching("both", {field: first}, {field: second})),
        "two-steps": base.then(one).then(two),
        "parallel": base.parallel([one, two], limit=1),
    }[shape].commit()

    state = await final_state(bench, workflow)

    assert state[field] == merged


async def test_parallel_children_and_items_merge_key_by_key(bench: Bench) -> None:
    """8.2: nobody's patch is lost, also when all of them run at once."""

    @step
    async def count(x: int, ctx: StepContext) -> None:
        ctx.set_state({"calls": 1, "log": str(x), "by_key": {str(x): x}})

    workflow = Workflow("w", input=list[int], state=Tally).foreach(count, concurrency=20).commit()

    state = await final_state(bench, workflow, input_data=list(range(50)))

    assert state["calls"] == 50
    assert sorted(state["log"], key=int) == [str(number) for number in range(50)]
    assert state["by_key"] == {str(number): number for number in range(50)}


async def test_same_field_set_in_parallel_is_that_of_the_last_in_the_journal(bench: Bench) -> None:
    """8.2: same key: the last wins, in journal order."""
    first_ended = asyncio.Event()

    @step
    async def late(x: Any, ctx: StepContext) -> None:
        await first_ended.wait()
        ctx.set_state({"last": "late"})

    @step
    async def early(x: Any, ctx: StepContext) -> None:
        ctx.set_state({"last": "early", "log": "early"})

    workflow = Workflow("w", state=Tally).parallel([late, early]).commit()
    async with bench.app(workflow) as app:
        started = await begin(app, workflow, output_options=SHOWN)
        await eventually(lambda: _has_ended(started, "early"))
        first_ended.set()
        result = await started.result()

    assert result.state is not None
    assert (result.state["last"], result.state["log"]) == ("late", ["early"])


async def test_none_sets_null_and_delete_removes(bench: Bench) -> None:
    """8.2: `None` sets null, `DELETE` removes."""
    workflow = (
        Workflow("w")
        .then(patching("set", {"a": 1, "b": 1, "c": 1}))
        .then(patching("change", {"a": None, "b": DELETE}))
        .commit()
    )

    assert await final_state(bench, workflow) == {"a": None, "c": 1}


async def test_delete_and_set_again_in_one_step(bench: Bench) -> None:
    """8.1: `set_state(patch)` calls merge in order, also around a removal."""
    workflow = (
        Workflow("w", state=Tally)
        .then(patching("first", {"log": "old"}))
        .then(patching("anew", {"log": DELETE}, {"log": "new"}, {"last": "x"}, {"last": DELETE}))
        .commit()
    )

    state = await final_state(bench, workflow)

    assert state["log"] == ["new"]
    assert "last" not in state or state["last"] is None


async def test_state_survives_recovery(bench: Bench) -> None:
    """8.2, 12.1: the fold of the journal gives the same state in another process."""

    @step
    async def ask(x: Any, ctx: StepContext) -> None:
        ctx.set_state({"log": "asked" if not ctx.resumed else "answered"})
        if not ctx.resumed:
            ctx.suspend()

    workflow = Workflow("w", state=Tally).then(patching("first", {"log": "first", "calls": 2})).then(ask).commit()
    async with bench.app(workflow) as app:
        await (
            await begin(app, workflow, run_id="run", initial_state={"log": ["start"]}, output_options=SHOWN)
        ).result()
    async with bench.app(workflow) as app:
        result = await app.run("run").resume()

    assert result.state is not None
    assert result.state["log"] == ["start", "first", "asked", "answered"]
    assert result.state["calls"] == 2


# 8.3


async def test_state_is_not_returned_unless_asked_for(bench: Bench) -> None:
    """8.3: returned only if `output_options.include_state`."""
    workflow = Workflow("w").then(patching("a", {"x": 1})).commit()

    assert (await bench.run(workflow)).state is None


async def test_output_options_of_another_kind_are_refused(bench: Bench) -> None:
    """2.3: what to do instead is said, and nothing is recorded."""
    workflow = Workflow("w").then(patching("a", {"x": 1})).commit()
    options: Any = {"include_state": True}
    async with bench.app(workflow) as app:
        with pytest.raises(InputError, match=r"output_options is not valid: needs OutputOptions\(include_state=True\)"):
            await begin(app, workflow, output_options=options)
        with pytest.raises(InputError, match=r"output_options"):
            await app.start_many(workflow, [{"output_options": options}])
        assert (await app.list_runs()).total == 0


async def test_include_state_is_kept_with_the_run(bench: Bench) -> None:
    """8.3: at start, kept with the run."""
    workflow = Workflow("w").then(patching("a", {"x": 1})).commit()
    async with bench.app(workflow) as app:
        await (await begin(app, workflow, run_id="run", output_options=SHOWN)).result()
    async with bench.app(workflow, worker=False) as app:
        result = await app.run("run").result()

    assert result.state == {"x": 1}


async def test_initial_state_with_defaults_filled_in(bench: Bench) -> None:
    """2.3, 8.1: the declared defaults are there from the start."""
    workflow = Workflow("w", state=Progress).then(read).commit()

    assert await final_state(bench, workflow, initial_state={"note": "n"}) == {"done": 0, "note": "n"}
