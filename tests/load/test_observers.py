"""Many who watch, and one who watches much: memory stays flat, and nobody who is slow slows a run.

`OUTLAST_OBSERVERS` sets how many: 100 by default, and `OUTLAST_OBSERVERS=1000` by hand.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from eventually import eventually
from load.measure import needs_proc, resident_megabytes
from outlast import Outlast, StepContext, Workflow, step
from outlast.client import Client
from outlast.server import create_app
from server.site import site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), needs_proc]

OBSERVERS = int(os.environ.get("OUTLAST_OBSERVERS", "100"))
ROUND = 100
"""How many events a run writes between two looks at the memory."""
ROUNDS = 5
MOST_GROWTH = 16.0
"""Megabytes over all rounds but the first, in which caches and pools fill. One copy of all events for each reader would
be ten times that."""


class Narrator:
    """A workflow whose runs say as much as they are told to, when they are told to."""

    def __init__(self) -> None:
        self.told = 0
        """How much each run has been told to say."""
        self.has_more = asyncio.Condition()

        @step
        async def tell(_: int, ctx: StepContext) -> int:
            said = 0
            while self.told >= 0:
                while said < self.told:
                    await ctx.write("x" * 1_000)
                    said += 1
                async with self.has_more:
                    await self.has_more.wait_for(lambda seen=said: self.told != seen)
            return said

        self.workflow = Workflow("narrator", input=int, output=int).then(tell).commit()

    async def say(self, number: int) -> None:
        """Let each run go on until it has said this many things; below zero: until its end."""
        async with self.has_more:
            self.told = number
            self.has_more.notify_all()


class Observer:
    """A reader of a stream, below HTTP clients; one that is slow takes nothing after the first message."""

    def __init__(self, app: Any, path: str, *, is_slow: bool) -> None:
        self.heard = 0
        self._goes_on = asyncio.Event()
        if not is_slow:
            self._goes_on.set()
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(b"host", b"localhost")],
            "http_version": "1.1",
        }
        self.answering = asyncio.ensure_future(app(scope, self._receive, self._send))

    def catch_up(self) -> None:
        self._goes_on.set()

    async def _receive(self) -> dict[str, Any]:
        await asyncio.get_running_loop().create_future()
        return {}

    async def _send(self, message: dict[str, Any]) -> None:
        self.heard += message.get("body", b"").count(b"workflow-step-output")
        if self.heard:
            await self._goes_on.wait()


async def test_many_observers_of_one_run_keep_memory_flat_and_slow_ones_slow_nobody(tmp_path: Path):
    narrator = Narrator()
    async with site(narrator.workflow, store=tmp_path / "runs.db", durability="normal") as s:
        run = await (await s.app.create_run(narrator.workflow, run_id="r")).start_async(input_data=1)
        app = create_app(s.app)
        observers = [Observer(app, "/api/runs/r/events", is_slow=n % 2 == 1) for n in range(OBSERVERS)]
        slow, prompt = observers[1::2], observers[::2]
        sizes: list[float] = []
        for number in range(1, ROUNDS + 1):
            await narrator.say(number * ROUND)
            await eventually(lambda total=number * ROUND: all(each.heard == total for each in prompt), within=120)
            sizes.append(resident_megabytes())
        await eventually(lambda: {each.heard for each in slow} == {1})  # the others went on without them
        await narrator.say(-1)
        result = await run.result()
        for each in slow:
            each.catch_up()
        await asyncio.gather(*(each.answering for each in observers))

    print(f"{OBSERVERS} observers: {', '.join(f'{size:.0f}' for size in sizes)} MB after each round")
    assert result.unwrap() == ROUND * ROUNDS
    assert {each.heard for each in observers} == {ROUND * ROUNDS}
    assert sizes[-1] - sizes[1] < MOST_GROWTH


@asynccontextmanager
async def listening(app: Outlast) -> AsyncGenerator[str]:
    """A server on a port; gives its address."""
    asgi = create_app(app)
    server = uvicorn.Server(uvicorn.Config(asgi, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        asgi.state.service.stopping.set()
        server.should_exit = True
        await serving


async def test_one_client_that_observes_many_runs_keeps_memory_flat(tmp_path: Path):
    narrator = Narrator()
    runs = OBSERVERS // 2
    heard: dict[str, int] = {}

    async def watch(client: Client, run_id: str) -> None:
        async for event in client.run(run_id).observe_stream():
            heard[run_id] = heard.get(run_id, 0) + (event.type == "workflow-step-output")

    async with (
        Outlast([narrator.workflow], store=tmp_path / "runs.db", durability="normal") as app,
        listening(app) as url,
        Client(url) as client,
    ):
        names = [f"r{n}" for n in range(runs)]
        for run_id in names:
            await (await app.create_run(narrator.workflow, run_id=run_id)).start_async(input_data=1)
        watching = [asyncio.create_task(watch(client, run_id)) for run_id in names]
        sizes: list[float] = []
        for number in range(1, ROUNDS + 1):
            await narrator.say(number * ROUND)
            await eventually(lambda total=number * ROUND: list(heard.values()) == [total] * runs, within=120)
            sizes.append(resident_megabytes())
        await narrator.say(-1)
        await asyncio.gather(*watching)

    print(f"{runs} runs: {', '.join(f'{size:.0f}' for size in sizes)} MB after each round")
    assert sizes[-1] - sizes[1] < MOST_GROWTH
