"""What a workload needs of the thing it measures, and how large the workloads are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = [
    "FULL_SIZES",
    "PEER_SIZES",
    "QUICK_SIZES",
    "TURN_SIZES",
    "Open",
    "Sizes",
    "Started",
    "Subject",
    "System",
    "WrongResultError",
    "expect",
]


class WrongResultError(Exception):
    """A workload gave another result than it must: its time means nothing."""


def expect(what: str, found: object, wanted: object) -> None:
    # No `assert`: a benchmark run with -O must notice a wrong result too.
    if found != wanted:
        raise WrongResultError(f"{what}: got {found!r:.100}, not {wanted!r:.100}")


class Started(Protocol):
    """A run that is recorded."""

    async def result(self) -> int: ...

    # Figures that only the journal of an ended run can give, by name.
    async def look_back(self) -> dict[str, float]: ...


class Subject(Protocol):
    """Something that records and drives runs. A run of k steps that begins with n ends with n + k."""

    # Returns when the run is recorded, not when it has ended.
    async def start(self, steps: int, n: int) -> Started: ...

    # One run that adds 1 to each number, `width` of them at a time.
    async def map(self, numbers: Sequence[int], width: int) -> list[int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much each workload does."""

    starts: int  # W1
    waited_starts: int  # W1q
    one_step_runs: int  # W2
    chains: int  # W3, of ten steps
    width: int  # W2, W3, W4: how many at a time
    items: int  # W4
    lone_chains: int  # W5, of ten steps
    loop: int  # W6: steps of the one run
    span: int  # W6: how many of the first and last steps are compared
    foreign_starts: int  # W7
    held_runs: int  # recovery


FULL_SIZES = Sizes(
    starts=500,
    waited_starts=300,
    one_step_runs=1_000,
    chains=300,
    width=50,
    items=1_000,
    lone_chains=40,
    loop=2_000,
    span=200,
    foreign_starts=500,
    held_runs=10_000,
)
# Peers are slower by up to two orders of magnitude: enough to see by how much, in minutes.
PEER_SIZES = Sizes(
    starts=100,
    waited_starts=50,
    one_step_runs=200,
    chains=50,
    width=50,
    items=300,
    lone_chains=10,
    loop=300,
    span=30,
    foreign_starts=0,
    held_runs=0,
)
# Some hundredths of a second each, for two versions that take turns.
TURN_SIZES = Sizes(
    starts=100,
    waited_starts=100,
    one_step_runs=300,
    chains=50,
    width=50,
    items=500,
    lone_chains=15,
    loop=300,
    span=30,
    foreign_starts=0,
    held_runs=0,
)
QUICK_SIZES = Sizes(
    starts=10,
    waited_starts=5,
    one_step_runs=10,
    chains=5,
    width=5,
    items=20,
    lone_chains=3,
    loop=40,
    span=10,
    foreign_starts=10,
    held_runs=20,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One row of a table: what is measured, and what its commits wait for."""

    key: str
    label: str
    disk: str
    is_floor: bool = False
    is_peer: bool = False
    times_starts: bool = True  # whether a start of it is durable by itself, so that its time means something


Open = Callable[[Path, Sizes], AbstractAsyncContextManager[Subject]]
"""Opens a system with its data in a directory."""
