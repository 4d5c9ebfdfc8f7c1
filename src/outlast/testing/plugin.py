"""Fixtures for pytest. In a `conftest.py`: `pytest_plugins = ["outlast.testing.plugin"]`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

from outlast.graph.committed import CommittedWorkflow
from outlast.results import RunResult
from outlast.run import RunHandle
from outlast.testing.clock import VirtualClock
from outlast.testing.crash import Scenario, StoreKind, crash_at_every_commit, run_undisturbed

__all__ = ["OutlastRun", "outlast_run", "virtual_clock"]


class OutlastRun(Protocol):
    """What the fixture `outlast_run` is."""

    def __call__(  # noqa: PLR0913 - what a scenario takes, by name
        self,
        workflow: CommittedWorkflow[Any, Any],
        input_data: object = None,
        *,
        initial_state: object = None,
        request_context: dict[str, Any] | None = None,
        others: Sequence[CommittedWorkflow[Any, Any]] = (),
        drive: Callable[[RunHandle[Any]], Any] | None = None,
        crash_at: Literal["every commit"] | None = None,
        store: StoreKind = "normal",
        clock: VirtualClock | None = None,
    ) -> RunResult[Any]:
        """Run a workflow to its end in a store of its own, and return the result.

        Args:
            workflow: What to run.
            input_data: Its input.
            initial_state: Its initial state.
            request_context: What all its steps can read.
            others: Workflows that its steps start.
            drive: An async function of the run's handle that does what others do meanwhile, as resuming it.
            crash_at: With `"every commit"`, run it again and again, each time with a crash before or after one of its
                commits, with its answer lost or with the commit refused, and compare.
            store: Which store, and with which durability.
            clock: The clock that it goes by, as the fixture `virtual_clock`; None for the one on the wall.

        Raises:
            CrashTestError: A crash made a difference; the message says which.
        """
        ...


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A clock that lets a month pass in a moment: `Outlast([...], store="memory", clock=virtual_clock)`."""
    return VirtualClock()


@pytest.fixture
def outlast_run(tmp_path: Path) -> Iterator[OutlastRun]:
    """Run workflows, and kill them at every commit if asked to. For plain test functions, not for `async def`."""

    def run(  # noqa: PLR0913 - what a scenario takes, by name
        workflow: CommittedWorkflow[Any, Any],
        input_data: object = None,
        *,
        initial_state: object = None,
        request_context: dict[str, Any] | None = None,
        others: Sequence[CommittedWorkflow[Any, Any]] = (),
        drive: Callable[[RunHandle[Any]], Any] | None = None,
        crash_at: Literal["every commit"] | None = None,
        store: StoreKind = "normal",
        clock: VirtualClock | None = None,
    ) -> RunResult[Any]:
        scenario = Scenario(
            workflow=workflow,
            input_data=input_data,
            initial_state=initial_state,
            request_context=request_context,
            others=others,
            drive=drive,
            clock=clock,
        )
        if crash_at is None:
            return run_undisturbed(scenario, tmp_path, store=store)
        return crash_at_every_commit(scenario, tmp_path, store=store).result

    # The worker that is about to die complains, and so does the one that finds what it left.
    logger = logging.getLogger("outlast")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield run
    logger.setLevel(level)
