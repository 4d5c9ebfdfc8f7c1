"""Recorded histories: what was begun by one version of Outlast goes on with the next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from outlast.engines.temporal.flow import OutlastRun
from temporal.place import Place
from temporal.record_histories import HISTORIES, play
from temporal.scenarios import EVENTS, SCENARIOS

FILES = sorted(HISTORIES.glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_history_is_replayed(file: Path) -> None:
    """Temporal compares each command with the one that is recorded."""
    history = WorkflowHistory.from_json(file.stem, file.read_text())

    with ThreadPoolExecutor(1) as executor:
        replayer = Replayer(workflows=[OutlastRun], workflow_task_executor=executor)
        await replayer.replay_workflow(history)


def test_every_scenario_has_a_history() -> None:
    assert {file.stem for file in FILES} == set(SCENARIOS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EVENTS))
async def test_number_of_events(place: Place, name: str) -> None:
    """What a run costs the server; a workflow task that had to be repeated may add three events."""
    history = await play(place.server, name, prefix=f"{place.name}-")

    kinds = [event.event_type for event in history.events]
    assert len(kinds) <= EVENTS[name]
