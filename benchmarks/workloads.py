"""The workloads inside one process. Each returns its figures by name; times are in milliseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from benchmarks.subject import Sizes, Subject, expect

__all__ = ["INSIDE", "percentile", "warm_up"]


async def w1(subject: Subject, sizes: Sizes) -> dict[str, float]:
    """Start runs back to back while the earlier ones execute."""
    times: list[float] = []
    started = []
    for n in range(sizes.starts):
        began = time.perf_counter()
        started.append(await subject.start(1, n))
        times.append(time.perf_counter() - began)
    for n, run in enumerate(started):
        expect("a started run", await run.result(), n + 1)
    return {"p50": median(times) * 1000, "p99": percentile(times, 99) * 1000}


async def w1q(subject: Subject, sizes: Sizes) -> dict[str, float]:
    """Start runs, each when the one before it has ended."""
    times: list[float] = []
    for n in range(sizes.waited_starts):
        began = time.perf_counter()
        run = await subject.start(1, n)
        times.append(time.perf_counter() - began)
        expect("a lone run", await run.result(), n + 1)
    return {"p50": median(times) * 1000}


async def w2(subject: Subject, sizes: Sizes) -> dict[str, float]:
    """Runs of one step, many at a time."""
    return {"rate": sizes.one_step_runs / await side_by_side(subject, 1, sizes.one_step_runs, sizes.width)}


async def w3(subject: Subject, sizes: Sizes) -> dict[str, float]:
    """Runs of ten steps, many at a time."""
    return {"rate": 10 * sizes.chains / await side_by_side(subject, 10, sizes.chains, sizes.width)}


async def w4(subject: Subject, sizes: Sizes) -> dict[str, float]:
    """One run that maps many items."""
    numbers = list(range(sizes.items))
    began = time.perf_counter()
    mapped = await subject.map(numbers, sizes.width)
    elapsed = time.perf_counter() - began
    expect("the mapped items", mapped, [n + 1 for n in numbers])
    return {"rate": sizes.items / elapsed}


async def w5(subject: Subject, sizes: Sizes) -> dict[str, float]:
    """A chain of ten steps alone, start and result included."""
    times: list[float] = []
    for n in range(sizes.lone_chains):
        began = time.perf_counter()
        run = await subject.start(10, n)
        result = await run.result()
        times.append((time.perf_counter() - began) / 10)
        expect("a lone chain", result, n + 10)
    return {"p50": median(times) * 1000}


async def w6(subject: Subject, sizes: Sizes) -> dict[str, float]:
    """One long run; afterwards, whether its end was slower than its beginning."""
    began = time.perf_counter()
    run = await subject.start(sizes.loop, 0)
    result = await run.result()
    elapsed = time.perf_counter() - began
    expect("the long run", result, sizes.loop)
    return {"seconds": elapsed, **await run.look_back()}


INSIDE: dict[str, Callable[[Subject, Sizes], Awaitable[dict[str, float]]]] = {
    "W1": w1,
    "W1q": w1q,
    "W2": w2,
    "W3": w3,
    "W4": w4,
    "W5": w5,
    "W6": w6,
}


async def warm_up(subject: Subject) -> None:
    """Let statements be compiled, threads be started and the first pages be written before anything is timed."""
    await side_by_side(subject, 10, 10, 5)


async def side_by_side(subject: Subject, steps: int, runs: int, width: int) -> float:
    """Return the seconds for some runs, `width` of them at a time, each with its result in hand."""
    waiting = iter(range(runs))
    results: list[int] = []

    async def lane() -> None:
        for n in waiting:
            run = await subject.start(steps, n)
            results.append(await run.result() - n)

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(width)))
    elapsed = time.perf_counter() - began
    expect("the runs side by side", results, [steps] * runs)
    return elapsed


def percentile(times: Sequence[float], percent: int) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
