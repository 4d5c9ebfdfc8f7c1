"""What the client does when answers are lost: it repeats what is safe to repeat, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
import pytest

from outlast import ClientError, Outlast, ServerUnavailableError, errors
from outlast.client import Client
from outlast.client import transport as module
from outlast.errors import OutlastError, code_of
from outlast.server import create_app
from outlast.server.problem import Refusal, problem_of, render_body
from server.site import APPROVAL, GREET

Fault = Literal["not sent", "lost", "503", "429"]


class Unreliable(httpx.AsyncBaseTransport):
    """A network between the client and a server: each request meets the next fault, then all goes well."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.faults: list[Fault] = []
        self.requests: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        fault = self.faults.pop(0) if self.faults else None
        if fault == "not sent":
            raise httpx.ConnectError("refused", request=request)
        if fault in ("503", "429"):
            return httpx.Response(int(fault), json={"error": "not now"})
        response = await self.inner.handle_async_request(request)
        if fault == "lost":
            raise httpx.ReadError("reset", request=request)
        return response


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[Client, Outlast, Unreliable], None]:
    async with Outlast([GREET, APPROVAL], store="memory") as app:
        network = Unreliable(httpx.ASGITransport(create_app(app)))
        async with Client("http://127.0.0.1", transport=network) as client:
            yield client, app, network


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.0)


@pytest.mark.parametrize("fault", ["not sent", "lost", "503", "429"])
async def test_reading_is_repeated(fault: Fault):
    async with connected() as (client, _, network):
        network.faults = [fault] * 3

        assert (await client.list_runs()).total == 0
        assert len(network.requests) == 4


@pytest.mark.parametrize("fault", ["not sent", "lost", "503", "429"])
async def test_start_with_an_id_of_the_client_is_repeated_and_happens_once(fault: Fault):
    async with connected() as (client, app, network):
        network.faults = [fault] * 3
        run = await client.create_run(GREET)
        result = await run.start(input_data="ada")

        assert result.unwrap() == "hello ada"
        assert (await app.list_runs()).total == 1


async def test_start_with_a_key_is_repeated_and_happens_once():
    async with connected() as (client, app, network):
        network.faults = ["lost", "lost"]
        run = await client.create_run(GREET, run_id="mine")
        started = await run.start_async(input_data="ada", idempotency_key="7")

        assert started.run_id == "mine"
        assert (await app.list_runs()).total == 1


async def test_start_with_an_id_of_the_caller_is_not_repeated_in_doubt():
    """A second request could find the run of somebody else under that id, and take it for its own."""
    async with connected() as (client, app, network):
        network.faults = ["lost"]
        run = await client.create_run(GREET, run_id="mine")

        with pytest.raises(ServerUnavailableError, match="ReadError"):
            await run.start_async(input_data="ada")
        assert len(network.requests) == 1
        assert (await app.list_runs()).total == 1


@pytest.mark.parametrize(("fault", "requests"), [("lost", 1), ("not sent", 2), ("503", 1), ("429", 2)])
async def test_resume_is_repeated_only_if_it_was_not_sent(fault: Fault, requests: int):
    async with connected() as (client, _, network):
        run = await client.create_run(APPROVAL)
        await run.start(input_data="ada")
        network.requests.clear()
        network.faults = [fault]

        if requests == 1:
            with pytest.raises(ServerUnavailableError):
                await client.run(run.run_id).resume_async(True)
        else:
            await client.run(run.run_id).resume_async(True)
        assert len(network.requests) == requests


async def test_cancel_is_repeated():
    async with connected() as (client, app, network):
        run = await client.create_run(APPROVAL)
        await run.start(input_data="ada")
        network.faults = ["lost"]
        await client.run(run.run_id).cancel()

        assert (await app.run(run.run_id).result(until="end")).status == "canceled"


async def test_giving_up_says_what_was_asked_and_not_with_which_query():
    async with connected() as (client, _, network):
        network.faults = ["not sent"] * 9

        with pytest.raises(ServerUnavailableError, match=r"/api/runs did not answer: ConnectError refused") as error:
            await client.list_runs(search="secret")
        assert "secret" not in str(error.value)
        assert error.value.retryable


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"\xff"])
async def test_answer_of_another_program_is_a_client_error(body: bytes):
    async def other(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body)

    async with Client("http://127.0.0.1", transport=httpx.MockTransport(other)) as client:
        with pytest.raises(ClientError, match="answers what no Outlast server answers"):
            await client.list_runs()


def examples() -> list[OutlastError]:
    """One of each error that the server answers, made from examples of its parameters."""
    made: dict[str, Callable[[], Any]] = {
        "InputError": lambda: errors.InputError("input_data", (errors.Problem("a[0]", "is missing"),)),
        "PayloadTooLargeError": lambda: errors.PayloadTooLargeError("input_data", 9, 5),
        "RunStateError": lambda: errors.RunStateError("r", "resume", "success"),
        "RunNotFoundError": lambda: errors.RunNotFoundError("r"),
        "RunExistsError": lambda: errors.RunExistsError("r"),
        "IdempotencyConflictError": lambda: errors.IdempotencyConflictError("r", "k"),
        "ResumeConflictError": lambda: errors.ResumeConflictError("r", "a"),
        "ResumeTargetError": lambda: errors.ResumeTargetError("r", "several", is_ambiguous=True),
        "StoreUnavailableError": lambda: errors.StoreUnavailableError("the disk is full"),
        "UnattachedWorkflowError": lambda: errors.UnattachedWorkflowError("not open"),
    }
    return [make() for make in made.values()]


@pytest.mark.parametrize("error", examples(), ids=lambda error: type(error).__name__)
async def test_error_comes_back_as_it_was_raised(error: OutlastError):
    refusal = problem_of(error)
    assert isinstance(refusal, Refusal)

    async def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(refusal.status_code, content=render_body(refusal))

    async with Client("http://127.0.0.1", transport=httpx.MockTransport(refuse)) as client:
        with pytest.raises(type(error)) as raised:
            await client.run("r").resume_async(1)

    assert (str(raised.value), raised.value.args) == (str(error), error.args)


def test_codes_are_stable():
    assert code_of(errors.RunNotFoundError) == "run-not-found"
    assert code_of(errors.InputError) == "input"
