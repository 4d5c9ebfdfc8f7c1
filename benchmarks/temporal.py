"""Measure the Temporal engine beside hand-written Temporal workflows: `make bench-temporal`.

Both do the same work with the same SDK on the same server, in one process: a chain of ten steps, and a foreach over a
hundred items, ten at a time. Values are typed and checked on both sides, by pydantic. Rounds alternate, so that a busy
machine is busy for both. What a run costs in time of processors (of this process: client, workflow and activities), in
events and in bytes of its history depends less on neighbours than how many runs are made in a second.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from outlast import Outlast, Workflow, step
from outlast.engines.temporal import TemporalEngine

STEPS, ITEMS, AT_ONCE = 10, 100, 10
SETTINGS = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    'history.timerProcessorMaxTimeShift="10ms"',
)
LIMIT = timedelta(seconds=60)
ENOUGH = 0.8
"""Ours must make at least this share of the runs that are made by hand."""


@step
async def add_one(x: int) -> int:
    return x + 1


def _chain() -> Workflow[int, int]:
    chain = Workflow("chain", input=int, output=int).then(add_one.clone(id="s0"))
    for number in range(1, STEPS):
        chain = chain.then(add_one.clone(id=f"s{number}"))
    return chain


CHAIN = _chain().commit()
EACH = Workflow("each", input=list[int]).foreach(add_one, id="item", concurrency=AT_ONCE).commit()


@activity.defn(name="add-one")
async def add_one_activity(x: int) -> int:
    return x + 1


@workflow.defn(name="chain-by-hand", sandboxed=False)
class ChainByHand:
    @workflow.run
    async def run(self, x: int) -> int:
        for _ in range(STEPS):
            x = await workflow.execute_activity(add_one_activity, x, start_to_close_timeout=LIMIT)
        return x


@workflow.defn(name="each-by-hand", sandboxed=False)
class EachByHand:
    @workflow.run
    async def run(self, items: list[int]) -> list[int]:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(x: int) -> int:
            async with places:
                return await workflow.execute_activity(add_one_activity, x, start_to_close_timeout=LIMIT)

        return list(await asyncio.gather(*(one(x) for x in items)))


@dataclass
class Side:
    """One way to do the work."""

    name: str
    run: Callable[[str], Awaitable[object]]
    """Makes one run of this id, and returns its result."""
    speeds: list[float] = field(default_factory=list[float])
    cpu_ms: list[float] = field(default_factory=list[float])

    async def measure(self, runs: int, at_once: int) -> None:
        places = asyncio.Semaphore(at_once)

        async def one() -> object:
            async with places:
                return await self.run(uuid.uuid4().hex)

        began, used = time.perf_counter(), time.process_time()
        results = await asyncio.gather(*(one() for _ in range(runs)))
        self.speeds.append(runs / (time.perf_counter() - began))
        self.cpu_ms.append((time.process_time() - used) * 1000 / runs)
        assert all(result in (STEPS, list(range(1, ITEMS + 1))) for result in results), results

    async def describe(self, client: Client) -> str:
        run_id = uuid.uuid4().hex
        await self.run(run_id)
        info = (await client.get_workflow_handle(run_id).describe()).raw_info
        return (
            f"  {self.name:8}{statistics.median(self.speeds):8.2f} runs/s"
            f"{statistics.median(self.cpu_ms):8.1f} ms of CPU"
            f"{info.history_length:6} events{info.history_size_bytes:9,} bytes"
        )


async def compare(name: str, sides: tuple[Side, Side], client: Client, *, rounds: int, runs: int, at_once: int) -> bool:
    """Measure both sides in turn, and say whether the first is fast enough beside the other."""
    for side in sides:  # warm up
        await side.measure(at_once, at_once)
        side.speeds.clear()
        side.cpu_ms.clear()
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            await side.measure(runs, at_once)
    ours, hand = sides
    speed, cpu = (
        statistics.median(getattr(ours, figure)) / statistics.median(getattr(hand, figure))
        for figure in ("speeds", "cpu_ms")
    )
    print(f"{name}: {speed:.0%} of the speed, {cpu:.0%} of the CPU")
    for side in sides:
        print(await side.describe(client), flush=True)
    return speed >= ENOUGH


async def measure(rounds: int, runs: int) -> bool:
    binary = Path(sys.executable).with_name("temporal")
    existing = str(binary) if binary.exists() else shutil.which("temporal")
    arguments = ["--output", "none", *(part for setting in SETTINGS for part in ("--dynamic-config-value", setting))]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=existing, dev_server_extra_args=arguments, dev_server_log_level="error"
    ) as server:
        address = server.client.service_client.config.target_host
        client = await Client.connect(address, data_converter=pydantic_data_converter)
        by_hand = Worker(client, task_queue="hand", workflows=[ChainByHand, EachByHand], activities=[add_one_activity])
        async with by_hand, Outlast([CHAIN, EACH], engine=TemporalEngine(address)) as app:
            items = list(range(ITEMS))

            async def ours_chain(run_id: str) -> object:
                return (await (await app.create_run(CHAIN, run_id=run_id)).start(input_data=0)).unwrap()

            async def ours_each(run_id: str) -> object:
                return (await (await app.create_run(EACH, run_id=run_id)).start(input_data=items)).unwrap()

            async def hand_chain(run_id: str) -> object:
                return await client.execute_workflow(ChainByHand.run, 0, id=run_id, task_queue="hand")

            async def hand_each(run_id: str) -> object:
                return await client.execute_workflow(EachByHand.run, items, id=run_id, task_queue="hand")

            results = [
                await compare(
                    name,
                    (Side("outlast", ours), Side("by hand", hand)),
                    client,
                    rounds=rounds,
                    runs=runs,
                    at_once=at_once,
                )
                for name, ours, hand, at_once in (
                    (f"chain of {STEPS}, alone", ours_chain, hand_chain, 1),
                    (f"chain of {STEPS}, 10 at a time", ours_chain, hand_chain, 10),
                    (f"foreach over {ITEMS}, alone", ours_each, hand_each, 1),
                )
            ]
    return all(results)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=20, help="in each round")
    options = parser.parse_args()
    logging.getLogger("temporalio").setLevel(logging.ERROR)
    return 0 if asyncio.run(measure(options.rounds, options.runs)) else 1


if __name__ == "__main__":
    sys.exit(main())
