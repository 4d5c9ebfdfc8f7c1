"""Workers whose every misfortune is drawn: stopped, blocked, killed at commits, with clocks that are set.

The engine, the worker and the store are the real ones; simulated are the loop on which several processes take turns,
the time, and what befalls them. `OUTLAST_SEEDS` says how many worlds are tried; `OUTLAST_SEED=42 OUTLAST_SEEDS=1`
repeats world 42.
"""

# ruff: noqa: T201 - the numbers are for people

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator

import pytest

from chance import first_seed
from simulation.world import live_through

WORLDS = int(os.environ.get("OUTLAST_SEEDS", "15"))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Workers complain while they die."""
    logger = logging.getLogger("outlast")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * WORLDS)
def test_whatever_befalls_the_workers_every_run_ends_as_it_must() -> None:
    """12.1: one winner for each outcome, no run lost, every write fenced, all runs end."""
    fates: Counter[str] = Counter()
    first = first_seed()
    for seed in range(first, first + WORLDS):
        print(f"world {seed}")
        world = live_through(seed)
        fates += world.fates
        fates["write refused"] += world.database.refused

    print(f"{WORLDS} worlds: {dict(sorted(fates.items()))}")
    if WORLDS > 5:
        assert fates.keys() >= {"stop", "block", "clock", "before", "after", "lost", "failed", "write refused"}


def test_a_seed_repeats_its_world() -> None:
    """What failed once can be looked at again: the same seed gives the same journals, times included."""
    seed = first_seed()

    assert live_through(seed).digest() == live_through(seed).digest()
