"""Hooks that a process was telling when its life ended: one of them may have been why (rule 13)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from engines.place import Place
from eventually import eventually
from outlast import RunResult, Workflow, step

RUNS = 5


@step
async def same(x: int) -> int:
    return x


async def test_hooks_whose_telling_was_lost_are_told_one_at_a_time(place: Place) -> None:
    """13: at least once: a hook that kills its process uses up its own tries, not those of the hooks beside it."""
    is_open, telling, most, told = False, set[str](), 0, list[str]()

    async def tell(result: RunResult[int]) -> None:
        nonlocal most
        telling.add(result.run_id)
        most = max(most, len(telling))
        try:
            if not is_open:
                await asyncio.Event().wait()
            for _ in range(5):  # others that were claimed with it would begin meanwhile
                await asyncio.to_thread(int)
            told.append(result.run_id)
        finally:
            telling.discard(result.run_id)

    workflow = Workflow("w", input=int, on_finish=tell).then(same).commit()
    run_ids = [f"run-{number}" for number in range(RUNS)]
    async with place.app(workflow, drain=timedelta()) as app:
        for run_id in run_ids:
            await (await app.create_run(workflow, run_id=run_id)).start_async(input_data=1)
        await eventually(lambda: len(telling) == RUNS)
    beside, is_open, most = most, True, 0
    async with place.app(workflow) as app:
        await eventually(lambda: len(told) == RUNS)

    assert sorted(told) == run_ids
    assert (beside, most) == (RUNS, 1)
