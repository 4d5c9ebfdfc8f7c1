"""Numbers over deaths: two lives together count nothing twice, and miss at most what the last commit held."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from crash.reference import CHAIN, FOREACH, RETRIES, Reference
from crash.struck import check_struck
from crash.test_every_commit import RUN, Disk, Ground, ground, live, mode
from metered import Numbers
from outlast import Outlast, RunNotFoundError
from outlast.engines.metrics import RUNS_ENDED, RUNS_STARTED, STEP_DURATION, TAKEOVERS, Instrument
from outlast.testing.faults import CountCommits, FaultMode, KillAt

__all__ = ["ground", "mode"]


async def two_lives(reference: Reference, disk: Disk, seam: CountCommits | KillAt) -> tuple[Numbers, Numbers]:
    """Live until the end or the death of the process, then in another one until the run has ended."""
    first, second = Numbers(), Numbers()
    is_started = await live(reference, disk, seam, metrics=first.provider)
    async with Outlast(
        [reference.workflow], store=disk.open_store(None), drain=timedelta(), metrics=second.provider
    ) as app:
        try:
            await app.run(RUN).result(timeout=10)
        except RunNotFoundError:
            assert not is_started
    return first, second


def together(numbers: tuple[Numbers, Numbers], instrument: Instrument) -> Counter[tuple[str, ...]]:
    counts: Counter[tuple[str, ...]] = Counter()
    for each in numbers:
        counts.update({labels: int(value) for labels, value in each.of(instrument).items()})
    return counts


@pytest.mark.timeout(120)
@pytest.mark.parametrize("reference", [CHAIN, RETRIES, FOREACH], ids=lambda reference: reference.name)
async def test_nothing_is_counted_twice_whatever_commit_is_the_last(
    ground: Ground, mode: FaultMode, reference: Reference
) -> None:
    """A step that is called again after a death is one success; the end is counted by who committed it."""
    seam = CountCommits()
    unharmed = await two_lives(reference, ground.fresh(), seam)
    wanted = {each: together(unharmed, each) for each in (RUNS_STARTED, RUNS_ENDED, STEP_DURATION)}
    assert wanted[RUNS_ENDED] == {(reference.workflow.id, "success"): 1}

    struck = 0
    for number in range(1, seam.commits + 1):
        fault = KillAt(number, mode)
        numbers = await two_lives(reference, ground.fresh(), fault)
        struck += fault.struck

        counts = {each: together(numbers, each) for each in wanted}
        missed = Counter({labels: n for each in wanted for labels, n in (wanted[each] - counts[each]).items()})
        if not counts[RUNS_STARTED] and not numbers[1].total(TAKEOVERS):
            assert mode != "lost"
            continue  # it died before the run was recorded, or before that was told
        for each, expected in wanted.items():
            assert counts[each] <= expected, f"{each.name} at commit {number}"
        if mode == "before" or not fault.struck:
            assert not missed, f"nothing was durable that nobody told, at commit {number}"
        assert len(missed) <= 3, "what one commit holds"
        assert numbers[1].total(TAKEOVERS) <= 1

    check_struck(struck, seam.commits)
