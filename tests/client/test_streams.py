"""The client watches runs over a real network, also one that breaks; and it lets runs go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn

from eventually import eventually
from outlast import Outlast, RunNotFoundError, RunStateError, ServerUnavailableError, StepContext, Workflow, step
from outlast.client import Client
from outlast.client import transport as module
from outlast.server import create_app
from outlast.sync import Door
from server.site import APPROVAL, GREET


@step
async def talk(number: int, ctx: StepContext) -> int:
    for n in range(number):
        ctx.write(n)
    return number


@step
async def breaks(x: int, ctx: StepContext) -> str:
    if ctx.execution == 0:
        raise ValueError("no such luck")
    return f"mended {x}"


TALK = Workflow("talk", input=int, output=int).then(talk).commit()
BREAKS = Workflow("breaks", input=int, output=str).then(talk).then(breaks).commit()
ALL = [GREET, APPROVAL, TALK, BREAKS]


@asynccontextmanager
async def served() -> AsyncGenerator[tuple[str, Outlast], None]:
    """A server that listens; gives its address."""
    async with Outlast(ALL, store="memory") as app:
        asgi = create_app(app)
        server = uvicorn.Server(uvicorn.Config(asgi, port=0, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        await eventually(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", app
        finally:
            asgi.state.service.stopping.set()
            server.should_exit = True
            await serving


class Breaking(httpx.AsyncBaseTransport):
    """A network that breaks each stream after some pieces, until it has done so often enough."""

    def __init__(self, breaks: int) -> None:
        self.inner = httpx.AsyncHTTPTransport()
        self.breaks = breaks
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self.inner.handle_async_request(request)
        if request.url.path.endswith("/events") and self.breaks:
            self.breaks -= 1
            self.requests += 1
            return httpx.Response(200, headers=response.headers, stream=_Cut(response))
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


class _Cut(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.response.stream:  # type: ignore[union-attr]
            yield piece[: len(piece) // 2]
            break
        raise httpx.ReadError("reset")

    async def aclose(self) -> None:
        await self.response.aclose()


async def test_stream_shows_what_one_in_process_shows():
    async with served() as (url, app), Client(url) as client:
        run = await client.create_run(TALK)
        stream = run.stream(input_data=3)
        events = [event async for event in stream]
        here = [event async for event in app.run(run.run_id).observe_stream()]
        result = await stream.result()

    assert events == here
    assert result.unwrap() == 3


async def test_stream_goes_on_where_a_connection_broke(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.0)
    network = Breaking(3)
    async with served() as (url, app), Client(url, transport=network) as client:
        run = await (await app.create_run(TALK)).start_async(input_data=200)
        await run.result()
        events = [event async for event in client.run(run.run_id).observe_stream()]
        here = [event async for event in app.run(run.run_id).observe_stream()]

    assert network.requests == 3
    assert events == here


async def test_live_run_is_watched_and_resumed():
    async with served() as (url, _), Client(url) as client:
        run = await client.create_run(APPROVAL)
        first = [event.type async for event in run.stream(input_data="ada")]
        handle = client.run(run.run_id)
        second = [event async for event in handle.resume_stream(True, label="boss")]
        recorded = [event async for event in handle.events()]
        later = [event async for event in handle.observe_stream(after=recorded[len(first) - 1].seq)]

    assert first[-1] == "workflow-finish"
    assert (second[0].type, second[-1].payload["result"]) == ("workflow-start", "hello ada: yes")
    assert [event.type for event in recorded] == first + [event.type for event in second]
    assert later == second


@pytest.mark.slow
async def test_one_client_observes_500_runs():
    async with served() as (url, app), Client(url) as client:
        runs = [await (await app.create_run(APPROVAL)).start(input_data=str(n)) for n in range(500)]
        last: dict[str, object] = {}

        async def watch(run_id: str, after: int) -> None:
            async for event in client.run(run_id).observe_stream(after=after):
                last[run_id] = event.payload.get("result")

        heads = {each.run_id: [event.seq async for event in app.run(each.run_id).events()][-1] for each in runs}
        watching = [asyncio.create_task(watch(run_id, head)) for run_id, head in heads.items()]
        for run_id in heads:
            await app.run(run_id).resume_async(True)
        await asyncio.gather(*watching)

    assert list(last.values()).count(None) == 0
    assert len(last) == 500


async def test_reader_that_follows_sees_a_later_execution():
    async with served() as (url, _), Client(url) as client:
        run = await client.create_run(BREAKS)
        await run.start(input_data=1)
        seen: list[str] = []

        async def follow() -> None:
            async for event in client.run(run.run_id).observe_stream(follow=True):
                seen.append(event.type)  # noqa: PERF401 - it is watched while it grows

        following = asyncio.create_task(follow())
        await eventually(lambda: seen.count("workflow-finish") == 1)
        result = await client.run(run.run_id).restart()
        await eventually(lambda: seen.count("workflow-finish") == 2)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    assert result.result == "mended 1"


async def test_unknown_run_is_not_watched():
    async with served() as (url, _), Client(url) as client:
        with pytest.raises(RunNotFoundError):
            await anext(aiter(client.run("nope").observe_stream()))


async def test_server_that_is_not_there_is_told_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.0)
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(ServerUnavailableError, match="did not answer: ConnectError"):
            await anext(aiter(client.run("r").observe_stream()))


async def test_runs_are_repaired_as_in_process():
    async with served() as (url, _), Client(url) as client:
        run = await client.create_run(BREAKS)
        failed = await run.start(input_data=1)
        handle = client.run(run.run_id)
        restarted = await handle.restart()
        travelled = await handle.time_travel(talk, input_data=5)
        stream = handle.time_travel_stream(talk, input_data=6)
        shown = [event async for event in stream]
        forked = await handle.fork("breaks", context={"talk": 7}, run_id="forked")
        first = await handle.result(execution=0)
        never = await (await client.create_run(BREAKS)).time_travel("breaks", input_data=9)
        begun = (await client.create_run(BREAKS)).time_travel_stream("breaks", input_data=9)
        from_the_start = [event.type async for event in begun]

    assert (failed.status, first.status) == ("failed", "failed")
    assert (restarted.result, restarted.execution) == ("mended 1", 1)
    assert (travelled.result, travelled.execution) == ("mended 5", 2)
    assert ({event.execution for event in shown}, shown[-1].payload["result"]) == ({3}, "mended 6")
    assert (from_the_start[0], from_the_start[-1]) == ("workflow-start", "workflow-finish")
    assert forked.run_id == "forked"
    assert never.status == "failed"


async def test_paused_run_is_led_step_by_step():
    async with served() as (url, _), Client(url) as client:
        run = await client.create_run(TALK)
        paused = await run.start(input_data=1, per_step=True)
        done = await client.run(run.run_id).step() if paused.status == "paused" else paused

    assert done.result == 1


async def test_run_that_has_ended_is_deleted():
    async with served() as (url, _), Client(url) as client:
        run = await client.create_run(GREET)
        await run.start(input_data="ada")
        handle = client.run(run.run_id)
        assert await handle.deliveries() == []
        await handle.delete()
        with pytest.raises(RunNotFoundError):
            await handle.snapshot()

        open_run = await client.create_run(APPROVAL)
        await open_run.start(input_data="ada")
        with pytest.raises(RunStateError):
            await client.run(open_run.run_id).delete()


async def test_sync_program_uses_the_client_through_the_door():
    def program(url: str) -> str:
        with Door(Client(url)) as wait:
            run = wait(wait.app.create_run(GREET))
            events = [event.type for event in wait.iterate(run.stream(input_data="ada"))]
            assert events[-1] == "workflow-finish"
            return wait(wait.app.run(run.run_id).result()).unwrap()

    async with served() as (url, _):
        assert await asyncio.to_thread(program, url) == "hello ada"
