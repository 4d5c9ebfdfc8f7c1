"""Measure the Temporal engine beside hand-written Temporal workflows: `make bench-temporal`.

Both do the same work with the same SDK on the same server, in one process: a chain of ten steps, and a foreach over a
hundred items, ten at a time. Rounds alternate, so that a busy machine is busy for both.
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
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
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


async def timed(run: Callable[[], Awaitable[object]], runs: int, at_once: int) -> float:
    """Return how many runs a second are made, some at a time."""
    places = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with places:
            await run()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(runs)))
    return runs / (time.perf_counter() - began)


async def measure(rounds: int, runs: int) -> bool:
    binary = Path(sys.executable).with_name("temporal")
    existing = str(binary) if binary.exists() else shutil.which("temporal")
    arguments = [part for setting in SETTINGS for part in ("--dynamic-config-value", setting)]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=existing, dev_server_extra_args=arguments, dev_server_log_level="error"
    ) as server:
        client: Client = server.client
        by_hand = Worker(client, task_queue="hand", workflows=[ChainByHand, EachByHand], activities=[add_one_activity])
        async with by_hand, Outlast([CHAIN, EACH], engine=TemporalEngine(client)) as app:
            items = list(range(ITEMS))

            async def ours_chain() -> None:
                (await (await app.create_run(CHAIN)).start(input_data=0)).unwrap()

            async def ours_each() -> None:
                (await (await app.create_run(EACH)).start(input_data=items)).unwrap()

            async def hand_chain() -> None:
                await client.execute_workflow(ChainByHand.run, 0, id=uuid.uuid4().hex, task_queue="hand")

            async def hand_each() -> None:
                await client.execute_workflow(EachByHand.run, items, id=uuid.uuid4().hex, task_queue="hand")

            is_good = True
            for name, ours, hand, count in (
                (f"chain of {STEPS}, alone", ours_chain, hand_chain, 1),
                (f"chain of {STEPS}, 10 at a time", ours_chain, hand_chain, 10),
                (f"foreach over {ITEMS}, alone", ours_each, hand_each, 1),
            ):
                await compared(name, ours, hand, rounds=1, runs=count, at_once=count)  # warm up
                is_good &= await compared(name, ours, hand, rounds=rounds, runs=runs, at_once=count, shows=True)
    return is_good


async def compared(
    name: str,
    ours: Callable[[], Awaitable[object]],
    hand: Callable[[], Awaitable[object]],
    *,
    rounds: int,
    runs: int,
    at_once: int,
    shows: bool = False,
) -> bool:
    """Measure both sides in turn, and say whether ours is within 20 % of the other."""
    speeds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        speeds[0].append(await timed(ours, runs, at_once))
        speeds[1].append(await timed(hand, runs, at_once))
    a, b = (statistics.median(each) for each in speeds)
    if shows:
        print(f"{name:28} outlast {a:7.2f} runs/s   by hand {b:7.2f} runs/s   {a / b:6.0%}")
    return a >= 0.8 * b


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=20, help="in each round")
    options = parser.parse_args()
    logging.getLogger("temporalio").setLevel(logging.ERROR)
    return 0 if asyncio.run(measure(options.rounds, options.runs)) else 1


if __name__ == "__main__":
    sys.exit(main())
