"""The Python client: the verbs, results and errors of the app, over HTTP."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import httpx
import pytest
from pydantic import BaseModel

from outlast import (
    CancelOutcome,
    ClientError,
    CommittedWorkflow,
    ConfigurationError,
    Idempotency,
    IdempotencyConflictError,
    InputError,
    Outlast,
    OutputOptions,
    ResumeTargetError,
    Run,
    RunExistsError,
    RunHandle,
    RunNotFoundError,
    RunStateError,
    StepFailedError,
    TracingOptions,
    UnattachedWorkflowError,
    Workflow,
    step,
)
from outlast.client import Client, RemoteRun, RemoteRunHandle, RemoteStartedRun
from outlast.server import Token, create_app
from outlast.tracing import check_tracing
from server.site import APPROVAL, GREET, approve

INTERNAL = {"as_started", "rewind"}
"""Public for its siblings in the package only."""
SECRET = "secret-of-client-0123456789"


class Order(BaseModel):
    day: date
    amount: int = 1


@step
async def price(order: Order) -> Order:
    return order.model_copy(update={"amount": order.amount * 2})


@step
async def fail(x: object) -> None:
    try:
        raise KeyError("cause")
    except KeyError as error:
        raise ValueError("no such luck") from error


PRICE = Workflow("price", input=Order, output=Order).then(price).commit()
FAIL = Workflow("fail").then(fail).commit()


@asynccontextmanager
async def connected(
    *workflows: CommittedWorkflow[Any, Any], tokens: list[Token] | None = None, token: str | None = None
) -> AsyncGenerator[tuple[Client, Outlast], None]:
    async with Outlast(list(workflows) or [GREET, APPROVAL, PRICE, FAIL], store="memory") as app:
        transport = httpx.ASGITransport(create_app(app, tokens=tokens or []))
        async with Client("http://127.0.0.1:4111", token=token, transport=transport) as client:
            yield client, app


async def test_run_is_started_and_waited_for():
    async with connected() as (client, _):
        run = await client.create_run(GREET, resource_id="ada")
        result = await run.start(input_data="ada")

    assert (result.unwrap(), result.run_id, result.resource_id) == ("hello ada", run.run_id, "ada")


async def test_trace_of_a_start_is_kept_with_the_run():
    async with connected() as (client, app):
        options = TracingOptions(trace_id="ab", tags=["x"], metadata={"a": 1}, hide_input=True, is_sampled=False)
        there = await (await client.create_run(GREET)).start(input_data="ada", tracing_options=options)
        here = await app.run(there.run_id).result()

    assert (there.trace_id, there.span_id) == (here.trace_id, here.span_id)
    assert here.tracing == check_tracing(options)


async def test_results_are_those_in_process():
    async with connected() as (client, app):
        for workflow, input_data in ((GREET, "ada"), (APPROVAL, "ada"), (FAIL, None)):
            run = await client.create_run(workflow)
            there = await run.start(input_data=input_data)
            here = await app.run(run.run_id).result()

            assert there == here
            assert (await client.run(run.run_id).snapshot()) == here


async def test_values_have_the_declared_types():
    async with connected() as (client, _):
        run = await client.create_run(PRICE)
        result = await run.start(input_data=Order(day=date(2026, 1, 2), amount=3))

    assert result.unwrap() == Order(day=date(2026, 1, 2), amount=6)


async def test_workflow_that_this_program_does_not_have_is_named_by_its_id():
    async with connected() as (client, _):
        run = await client.create_run("price")
        result = await run.start(input_data={"day": "2026-01-02"})

    assert result.unwrap() == {"day": "2026-01-02", "amount": 2}


async def test_failure_is_told_with_its_causes():
    async with connected() as (client, _):
        result = await (await client.create_run(FAIL)).start()

    assert result.error is not None
    assert (result.error.type, result.error.cause and result.error.cause.type) == ("ValueError", "KeyError")
    with pytest.raises(StepFailedError, match="step 'fail' failed with ValueError: no such luck"):
        result.unwrap()


async def test_start_async_does_not_wait():
    async with connected() as (client, _):
        run = await client.create_run(GREET)
        started = await run.start_async(input_data="ada", output_options=OutputOptions(include_state=True))

        assert isinstance(started, RemoteStartedRun)
        assert (await started.result(timeout=10)).state == {}


async def test_suspended_run_is_resumed():
    async with connected() as (client, _):
        run = await client.create_run(APPROVAL)
        suspended = await run.start(input_data="ada")
        handle = client.run(run.run_id)
        why = await handle.why()
        result = await handle.resume(True, step=approve)

    assert suspended.suspend_payload == {"approve": {"please": "hello ada"}}
    assert "waits for somebody to resume it" in why
    assert result.unwrap() == "hello ada: yes"


async def test_handle_of_a_resume_waits_for_what_comes_of_it():
    async with connected() as (client, _):
        run = await client.create_run(APPROVAL)
        await run.start(input_data="ada")
        resumed = await client.run(run.run_id).resume_async(False, label="boss")
        result = await client.run(run.run_id, mark=resumed.mark).result()

        assert result == await resumed.result()
        assert result.unwrap() == "hello ada: no"


async def test_waiting_too_long_leaves_the_run_as_it_is():
    async with connected() as (client, _):
        run = await client.create_run(APPROVAL)
        await run.start(input_data="ada")

        with pytest.raises(TimeoutError):
            await client.run(run.run_id).result(timeout=timedelta(milliseconds=30), until="end")
        assert await client.run(run.run_id).status() == "suspended"


async def test_cancel_says_what_became_of_it():
    async with connected() as (client, _):
        run = await client.create_run(APPROVAL)
        await run.start(input_data="ada")
        handle = client.run(run.run_id)

        assert await handle.cancel("late") is CancelOutcome.REQUESTED
        result = await handle.result()
        assert (result.status, result.cancel_reason) == ("canceled", "late")
        assert await handle.cancel() is CancelOutcome.ALREADY_FINISHED


async def test_priority_reaches_the_run():
    limited = Workflow("limited", input=str, concurrency=1).then(fail).commit()
    async with connected(limited) as (client, app):
        run = await client.create_run(limited)
        await run.start_async(input_data="ada", priority=7, delay=3600)

        row = await app._engine._store.find_run(run.run_id)  # noqa: SLF001
        flow = await app._engine._store.find_flow(row.key)  # noqa: SLF001

    assert (flow.priority, [gate.limit for gate in flow.gates]) == (7, ["runs of workflow 'limited'"])


async def test_lists_and_counts_are_those_of_the_app():
    async with connected() as (client, app):
        for n in range(3):
            await (await client.create_run(GREET, resource_id="x")).start(input_data=str(n), tags=["night"])
        now = datetime.now(UTC)
        page = await client.list_runs(GREET, status=["success"], tags=["night"], to_date=now, per_page=2)
        rest = await client.list_runs("greet", after=page.after, per_page=2, resource_id="x")

        assert page == await app.list_runs(GREET, per_page=2)
        assert [len(page.runs), len(rest.runs), rest.after] == [2, 1, None]
        assert await client.counts() == await app.counts()
        assert set(await client.workflows()) == {"greet", "approval", "price", "fail"}


async def test_key_stands_for_one_run():
    async with connected() as (client, _):
        ids = [
            (await (await client.create_run(GREET)).start_async(input_data="ada", idempotency_key=key)).run_id
            for key in ("7", Idempotency(key="7", keep=timedelta(hours=1)))
        ]

        assert ids[0] == ids[1]
        with pytest.raises(IdempotencyConflictError):
            await (await client.create_run(GREET)).start_async(input_data="eve", idempotency_key="7")


async def test_errors_are_those_in_process():
    async with connected() as (client, _):
        done = await client.create_run(GREET, run_id="done")
        await done.start(input_data="ada")
        open_run = await client.create_run(APPROVAL, run_id="open")
        await open_run.start(input_data="ada")

        with pytest.raises(RunNotFoundError, match="run nope: no such run"):
            await client.run("nope").status()
        with pytest.raises(RunExistsError, match="run done: already started"):
            await done.start_async(input_data="ada")
        with pytest.raises(RunStateError) as state:
            await client.run("done").resume(True)
        assert (state.value.run_id, state.value.verb, state.value.status) == ("done", "resume", "success")
        with pytest.raises(ResumeTargetError, match="suspended: 'approve'"):
            await client.run("open").resume(True, step="nope")
        with pytest.raises(InputError) as bad:
            await client.run("open").resume("perhaps")
        assert bad.value.subject == "resume_data"
        with pytest.raises(InputError, match="none of pending"):
            await client.list_runs(status="nope")


async def test_bad_input_is_refused_before_anything_is_sent():
    async with connected() as (client, app):
        run = await client.create_run(PRICE)
        with pytest.raises(InputError, match="amount"):
            await run.start_async(input_data={"day": date(2026, 1, 2), "amount": "many"})  # type: ignore[arg-type]
        with pytest.raises(InputError, match="delay"):
            await run.start_async(input_data=Order(day=date(2026, 1, 2)), delay=-1)
        with pytest.raises(InputError, match="run_id"):
            await client.create_run(PRICE, run_id="")

        assert (await app.list_runs()).total == 0


async def test_nonsense_of_all_verbs_is_refused_as_in_process():
    """2.2, 2.6, 12.6: before anything is sent, where the server would take some of it for something else."""
    no: Any = "no"
    async with connected() as (client, app):
        run: Any = await client.create_run(GREET)
        known = client.run("known")
        for use, told in (
            (lambda: run.start_async("ada"), "it is given by name, as run.start_async"),
            (lambda: run.start("ada"), "it is given by name, as run.start"),
            (lambda: run.start_async(input_data="ada", per_step=no), "per_step is not valid"),
            (lambda: run.time_travel("greet", input_data="ada", per_step=no), "per_step is not valid"),
            (lambda: known.restart(per_step=no), "per_step is not valid"),
            (lambda: known.step(per_step=no), "per_step is not valid"),
            (lambda: known.result(timeout=no), "timeout is not valid"),
            (lambda: known.result(until=no), "until is not valid"),
            (lambda: known.result(execution=no), "execution is not valid"),
            (lambda: known.snapshot(execution=cast("Any", "0")), "execution is not valid"),
            (lambda: known.observe_stream().result(timeout=no), "timeout is not valid"),
        ):
            with pytest.raises(InputError, match=told):
                await use()
        with pytest.raises(InputError, match=r"it is given by name, as run\.stream"):
            run.stream("ada")

        assert (await app.list_runs()).total == 0


async def test_wrong_token_is_a_client_error():
    tokens = [Token.of(SECRET, name="reader", scope="read")]
    async with connected(tokens=tokens, token="wrong") as (client, _):
        with pytest.raises(ClientError, match="401: Invalid or expired token") as error:
            await client.list_runs()
        assert (error.value.status, error.value.code) == (401, "unauthenticated")
        assert error.value.request_id in str(error.value)
    async with connected(tokens=tokens, token=SECRET) as (client, _):
        assert (await client.list_runs()).total == 0
        with pytest.raises(ClientError, match="scope 'run'"):
            await (await client.create_run(GREET)).start(input_data="ada")


async def test_ids_may_have_any_characters():
    async with connected() as (client, _):
        run = await client.create_run(GREET, run_id="a/b?c=d&e %2F ü")
        result = await run.start(input_data="ada")

        assert result.run_id == "a/b?c=d&e %2F ü"


@pytest.mark.parametrize("url", ["", "localhost:4111", "ftp://x"])
def test_url_that_is_none_is_refused(url: str):
    with pytest.raises(ConfigurationError, match="write it as"):
        Client(url)


@pytest.mark.parametrize(("remote", "local"), [(RemoteRun, Run), (RemoteRunHandle, RunHandle)])
def test_handles_have_the_verbs_of_those_in_process(remote: type, local: type):
    """The same calls work on both: the same names, the same parameters with the same defaults."""

    def verbs(kind: type) -> dict[str, list[tuple[str, Any, Any]]]:
        return {
            name: [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    there, here = verbs(remote), verbs(local)
    assert {name: there.get(name) for name in here if name not in INTERNAL} == {
        name: verb for name, verb in here.items() if name not in INTERNAL
    }


@pytest.mark.parametrize("run_id", [".", "..", "..."])
async def test_ids_of_dots_mean_no_other_place(run_id: str):
    """17: whatever id a run has, it is read by it."""
    async with connected() as (client, _):
        await (await client.create_run(GREET, run_id=run_id)).start(input_data="ada")

        assert (await client.run(run_id).snapshot()).result == "hello ada"


async def test_what_means_no_run_and_no_workflow_is_refused_as_in_process():
    """17: before anything is asked of the server."""
    unfinished: Any = Workflow("unfinished", input=int).then(fail)
    conditions: list[dict[str, Any]] = [{"per_page": 2.5}, {"after": 5}, {"tags": "red"}, {"search": "\udcff"}]
    ids: list[Any] = [5, "r\udcff"]
    async with connected() as (client, _):
        for run_id in ids:
            with pytest.raises(InputError, match="run_id is not valid: needs a text"):
                client.run(run_id)
        for each in conditions:
            with pytest.raises(InputError, match=next(iter(each))):
                await client.list_runs(**each)
        for find in (client.list_runs, client.counts):
            with pytest.raises(UnattachedWorkflowError, match="is not committed"):
                await find(unfinished)
