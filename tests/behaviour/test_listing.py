"""Finding runs and reading them in part: rule 17."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from behaviour.bench import Bench, Clock, begin
from outlast import InputError, OutputOptions, RunStatus, UnattachedWorkflowError, Workflow, step
from outlast.engines.capability import Capability
from outlast.reading import RunPage

pytestmark = pytest.mark.requires(Capability.LISTS)


@step
async def check(x: int) -> int:
    if x < 0:
        raise ValueError(f"{x} is below zero")
    return x + 1


COUNT = Workflow("count", input=int, output=int).then(check).commit()
ASK = Workflow("ask", input=int).wait_for("go", resume=int).commit()
OTHER = COUNT.clone(id="other")
STATEFUL = Workflow("stateful", input=int, output=int).then(check).commit()


def ids(page: RunPage | None) -> list[str]:
    assert page is not None
    return [run.run_id for run in page.runs]


async def test_lists_are_of_the_workflow_and_of_the_app(bench: Bench) -> None:
    """17: `list_workflow_runs` on the workflow, `app.list_runs` over all."""
    async with bench.app(COUNT, ASK) as app:
        for run_id, workflow in (("c1", COUNT), ("a1", ASK), ("c2", COUNT)):
            await (await begin(app, workflow, 1, run_id=run_id)).result()

        assert ids(await COUNT.list_workflow_runs()) == ["c2", "c1"]
        assert sorted(ids(await app.list_runs())) == ["a1", "c1", "c2"]
        assert ids(await app.list_runs(ASK)) == ids(await app.list_runs("ask")) == ["a1"]


@pytest.mark.requires(Capability.START_ORDER)
async def test_lists_begin_with_the_newest_run(bench: Bench) -> None:
    """17: newest first, whatever the runs do."""
    async with bench.app(COUNT, ASK) as app:
        for run_id, workflow in (("c1", COUNT), ("a1", ASK), ("c2", COUNT)):
            await (await begin(app, workflow, 1, run_id=run_id)).result()

        assert ids(await app.list_runs()) == ["c2", "a1", "c1"]


async def test_list_is_narrowed_by_what_runs_do_now(bench: Bench) -> None:
    """17: `status` is that of the moment of reading."""
    async with bench.app(COUNT, ASK) as app:
        await (await begin(app, COUNT, 1, run_id="good")).result()
        await (await begin(app, COUNT, -1, run_id="bad")).result()
        await (await begin(app, ASK, 1, run_id="open")).result()
        await begin(app, COUNT, 1, run_id="later", delay=3_600)

        assert ids(await app.list_runs(status=RunStatus.SUCCESS)) == ["good"]
        assert ids(await app.list_runs(status="failed")) == ["bad"]
        assert ids(await app.list_runs(status=["pending", "suspended"])) == ["later", "open"]

        await app.run("open").resume(1)
        assert ids(await app.list_runs(status=["suspended"])) == []


async def test_list_is_narrowed_by_resource_tags_and_search(bench: Bench) -> None:
    """17: filters resource_id, tags, and search as a prefix of run id, resource id or tag."""
    async with bench.app(COUNT) as app:
        for run_id, resource_id, tags in (
            ("north-1", "ada", ["urgent", "fruit"]),
            ("north-2", "eve", ["fruit"]),
            ("south-1", "adam", []),
        ):
            run = await app.create_run(COUNT, run_id=run_id, resource_id=resource_id)
            await run.start(input_data=1, tags=tags)

        assert ids(await app.list_runs(resource_id="ada")) == ["north-1"]
        assert ids(await app.list_runs(tags=["fruit"])) == ["north-2", "north-1"]
        assert ids(await app.list_runs(tags=["fruit", "urgent"])) == ["north-1"]
        assert ids(await app.list_runs(search="north")) == ["north-2", "north-1"]
        assert ids(await app.list_runs(search="ada")) == ["south-1", "north-1"]
        assert ids(await app.list_runs(search="urgent")) == ["north-1"]
        assert (await app.list_runs(search="urgent")).runs[0].tags == ("fruit", "urgent")


async def test_workflow_takes_the_conditions_that_the_app_takes(bench: Bench) -> None:
    """17: `list_workflow_runs(status, resource_id, from_date, to_date, tags, search, after, per_page)`."""
    async with bench.app(COUNT, OTHER) as app:
        for run_id, workflow, number, resource_id, tags in (
            ("north", COUNT, 1, "ada", ["red"]),
            ("south", COUNT, -1, "eve", []),
            ("other", OTHER, 1, "ada", ["red"]),
        ):
            run = await app.create_run(workflow, run_id=run_id, resource_id=resource_id)
            await run.start(input_data=number, tags=tags)
        first = await COUNT.list_workflow_runs(per_page=1)
        later = datetime.now(UTC) + timedelta(hours=1)

        assert sorted(ids(await COUNT.list_workflow_runs())) == ["north", "south"]
        for conditions, found in (
            ({"status": "failed"}, ["south"]),
            ({"resource_id": "ada"}, ["north"]),
            ({"from_date": later}, []),
            ({"to_date": later - timedelta(days=1)}, []),
            ({"tags": ["red"]}, ["north"]),
            ({"search": "sou"}, ["south"]),
        ):
            assert ids(await COUNT.list_workflow_runs(**conditions)) == found, conditions  # type: ignore[arg-type]
        second = await COUNT.list_workflow_runs(per_page=1, after=first.after)
        assert sorted(ids(first) + ids(second)) == ["north", "south"]


@pytest.mark.requires(Capability.TAG_PREFIXES)
async def test_search_finds_the_beginning_of_a_tag(bench: Bench) -> None:
    """17: search is a prefix of a tag, too."""
    async with bench.app(COUNT) as app:
        await (await begin(app, COUNT, 1, run_id="r", tags=["fruit", "urgent"])).result()

        assert ids(await app.list_runs(search="urg")) == ["r"]


async def test_list_is_narrowed_by_date(bench: Bench) -> None:
    """17: from_date and to_date are about when the run was recorded, both inclusive."""
    clock = Clock()
    async with bench.app(COUNT, clock=clock) as app:
        for days, run_id in enumerate(["today", "tomorrow", "after"]):
            clock.offset = timedelta(days=days)
            await (await begin(app, COUNT, 1, run_id=run_id)).result()
        (second,) = (await app.list_runs(search="tomorrow")).runs

        assert ids(await app.list_runs(from_date=second.created_at)) == ["after", "tomorrow"]
        assert ids(await app.list_runs(to_date=second.created_at)) == ["tomorrow", "today"]
        assert ids(await app.list_runs(from_date=second.created_at + timedelta(milliseconds=1))) == ["after"]


async def test_pages_follow_each_other(bench: Bench) -> None:
    """17: cursor paging; runs that come meanwhile move nothing."""
    async with bench.app(COUNT) as app:
        for n in range(5):
            await (await begin(app, COUNT, 1, run_id=f"r{n}")).result()

        first = await app.list_runs(per_page=2)
        await (await begin(app, COUNT, 1, run_id="new")).result()
        second = await app.list_runs(per_page=2, after=first.after)
        third = await app.list_runs(per_page=2, after=second.after)

        assert (ids(first), ids(second), ids(third)) == (["r4", "r3"], ["r2", "r1"], ["r0"])
        assert third.after is None
        assert (first.total, third.total, third.is_total_exact) == (5, 6, True)


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({"status": "done"}, "status is not valid: 'done' is none of pending, running"),
        ({"status": ["failed", 3]}, "status is not valid: 3 is none of"),
        ({"from_date": datetime(2030, 1, 1)}, "from_date is not valid: a datetime with a time zone"),  # noqa: DTZ001
        ({"to_date": "2030-01-01"}, "to_date is not valid"),
        ({"per_page": 0}, "per_page is not valid: a number from 1 to 1,000 is needed, not 0"),
        ({"per_page": 1_001}, "per_page is not valid"),
        ({"per_page": 2.5}, "per_page is not valid: a number from 1 to 1,000 is needed, not 2.5"),
        ({"per_page": "5"}, "per_page is not valid"),
        ({"after": 5}, "after is not valid: a text is needed"),
        ({"after": "second"}, "after is not valid: not a place that a page"),
        ({"tags": "red"}, "tags is not valid: a list of texts"),
        ({"search": ""}, "search is not valid: needs 1 to 200"),
        ({"resource_id": ""}, "resource_id is not valid"),
    ],
    ids=str,
)
async def test_conditions_that_cannot_be_meant_are_refused(
    bench: Bench, conditions: dict[str, Any], reason: str
) -> None:
    """17: a typed error names the place and the reason."""
    async with bench.app(COUNT) as app:
        with pytest.raises(InputError) as caught:
            await app.list_runs(**conditions)

    assert reason in str(caught.value)


async def test_only_runs_of_workflows_are_listed_and_counted(bench: Bench) -> None:
    """17: what is neither a workflow nor the id of one has no runs, and is no condition either."""
    unfinished: Any = Workflow("unfinished", input=int).then(check)
    async with bench.app(COUNT) as app:
        for find in (app.list_runs, app.counts, app.schedules.list):
            with pytest.raises(UnattachedWorkflowError, match=r"'unfinished' is not committed; call \.commit\(\)"):
                await find(unfinished)


@pytest.mark.parametrize("run_id", [5, None, b"r1", "r\udcff"])
async def test_what_cannot_be_an_id_is_refused(bench: Bench, run_id: Any) -> None:
    """17: `None` for an id that is unknown; what no run can have, as bytes that are no text, is named."""
    async with bench.app(COUNT) as app:
        for find in (COUNT.get_workflow_run_by_id, COUNT.get_workflow_run_execution_result):
            with pytest.raises(InputError, match="run_id is not valid: needs a text"):
                await find(run_id)
        with pytest.raises(InputError, match="run_id is not valid: needs a text"):
            await COUNT.delete_workflow_run_by_id(run_id)
        with pytest.raises(InputError, match="run_id is not valid: needs a text"):
            app.run(run_id)


async def test_counts_are_by_workflow_and_status(bench: Bench) -> None:
    """17: counts by status."""
    async with bench.app(COUNT, ASK) as app:
        for number in (1, 2, -1):
            await (await begin(app, COUNT, number)).result()
        await (await begin(app, ASK, 1)).result()

        count = {RunStatus.FAILED: 1, RunStatus.SUCCESS: 2}
        assert await app.counts() == {"ask": {RunStatus.SUSPENDED: 1}, "count": count}
        assert await app.counts(COUNT) == {"count": count}
        assert await app.counts("nothing") == {}


async def test_run_by_id_shows_everything_known(bench: Bench) -> None:
    """17: `get_workflow_run_by_id` gives what lists show and what results show."""
    async with bench.app(COUNT) as app:
        run = await app.create_run(COUNT, run_id="r", resource_id="ada")
        before = datetime.now(UTC) - timedelta(seconds=1)
        await run.start(input_data=1, tags=["red"])

        details = await COUNT.get_workflow_run_by_id("r")

        assert details is not None
        assert (details.run_id, details.workflow_id, details.resource_id, details.tags) == (
            "r",
            "count",
            "ada",
            ("red",),
        )
        assert (details.status, details.execution) == (RunStatus.SUCCESS, 0)
        assert before < details.created_at <= details.updated_at
        assert (details.input, details.result, details.error, details.state) == (1, 2, None, None)
        assert details.steps["check"].output == 2


async def test_run_by_id_shows_failures_and_suspensions(bench: Bench) -> None:
    """17: result, error, or suspended paths with their payloads."""
    async with bench.app(COUNT, ASK) as app:
        await (await begin(app, COUNT, -1, run_id="bad")).result()
        await (await begin(app, ASK, 1, run_id="open")).result()

        bad, waits = await COUNT.get_workflow_run_by_id("bad"), await ASK.get_workflow_run_by_id("open")

        assert bad is not None
        assert waits is not None
        assert (bad.status, bad.error_path) == (RunStatus.FAILED, "check")
        assert bad.error is not None
        assert bad.error.message == "-1 is below zero"
        assert (list(waits.suspended), dict(waits.suspend_payload)) == (["go"], {"go": None})


async def test_run_by_id_reads_only_the_fields_asked_for(bench: Bench) -> None:
    """17: `fields` names the parts."""
    async with bench.app(COUNT) as app:
        await (await begin(app, COUNT, 1, run_id="r")).result()

        details = await COUNT.get_workflow_run_by_id("r", fields=["result"])
        bare = await COUNT.get_workflow_run_by_id("r", fields=[])

        assert details is not None
        assert bare is not None
        assert (details.fields, details.result, details.input, details.steps) == (("result",), 2, None, {})
        assert (bare.status, bare.result) == (RunStatus.SUCCESS, None)


async def test_state_is_shown_if_asked_for(bench: Bench) -> None:
    """8.3: the state is returned only if the start said so or the reader asks for it."""
    async with bench.app(STATEFUL) as app:
        await (await begin(app, STATEFUL, 1, run_id="quiet", initial_state={"n": 1})).result()
        options = OutputOptions(include_state=True)
        await (await begin(app, STATEFUL, 1, run_id="loud", initial_state={"n": 1}, output_options=options)).result()

        quiet, loud = [await STATEFUL.get_workflow_run_by_id(each) for each in ("quiet", "loud")]
        asked = await STATEFUL.get_workflow_run_by_id("quiet", fields=["state"])

        assert quiet is not None
        assert loud is not None
        assert asked is not None
        assert (quiet.state, loud.state, asked.state) == (None, {"n": 1}, {"n": 1})


async def test_run_by_id_is_none_for_what_is_not_of_this_workflow(bench: Bench) -> None:
    """3.4: None for an id that is unknown, or of another workflow."""
    async with bench.app(COUNT, ASK) as app:
        await (await begin(app, COUNT, 1, run_id="r")).result()

        assert await COUNT.get_workflow_run_by_id("nobody") is None
        assert await ASK.get_workflow_run_by_id("r") is None


async def test_unknown_field_is_refused(bench: Bench) -> None:
    """17: a typed error names what there is."""
    async with bench.app(COUNT):
        wrong: Any = ["results"]
        with pytest.raises(InputError, match="'results' is none of input, steps, result, error, suspended, state"):
            await COUNT.get_workflow_run_by_id("r", fields=wrong)


async def test_reading_needs_an_open_app(bench: Bench) -> None:
    """2.1: without an app the error says how to get one."""
    app = bench.app(COUNT)

    with pytest.raises(UnattachedWorkflowError):
        await app.list_runs()
    with pytest.raises(UnattachedWorkflowError):
        await COUNT.list_workflow_runs()


async def test_pages_and_runs_have_a_wire_form(bench: Bench) -> None:
    """21: camelCase keys and times in milliseconds since 1970."""
    async with bench.app(COUNT) as app:
        await (await begin(app, COUNT, 1, run_id="r", tags=["red"])).result()

        page = await app.list_runs()

        run = page.runs[0]
        assert page.to_dict() == {
            "runs": [
                {
                    "runId": "r",
                    "workflowId": "count",
                    "resourceId": None,
                    "status": "success",
                    "execution": 0,
                    "createdAt": round(run.created_at.timestamp() * 1000),
                    "updatedAt": round(run.updated_at.timestamp() * 1000),
                    "tags": ["red"],
                }
            ],
            "after": None,
            "total": 1,
            "isTotalExact": True,
        }
