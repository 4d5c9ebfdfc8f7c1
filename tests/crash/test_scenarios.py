"""Every scenario of the catalog, with a crash at each of its commits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crash.catalog import SCENARIOS
from crash.tally import EffectTally
from outlast.testing.crash import Scenario, StoreKind, crash_at_every_commit


def test_there_are_at_least_thirty_scenarios_of_different_workflows() -> None:
    assert len({each.workflow.id for each in SCENARIOS}) == len(SCENARIOS) >= 30


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("store", ["normal", "memory"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.workflow.id)
def test_a_crash_at_any_commit_changes_nothing(scenario: Scenario, store: StoreKind, tmp_path: Path) -> None:
    """12.1: a recorded outcome is never produced again, and the run ends as if nothing had happened."""
    tally = EffectTally(tmp_path / "effects")
    scenario = replace(scenario, request_context={"effects": str(tmp_path / "effects")})

    report = crash_at_every_commit(scenario, tmp_path, store=store, check=tally.check)

    assert report.points > report.commits
