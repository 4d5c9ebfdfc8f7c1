"""Steps in workflows in blocks in workflows in blocks, with a crash at each commit (rules 5.7, 12.1)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crash.nesting import ALL, DEEDS, SOME, nested_scenario
from crash.tally import EffectTally
from outlast import RunResult
from outlast.testing.crash import crash_at_every_commit
from outlast.testing.faults import FaultMode

IS_WHOLE = os.environ.get("OUTLAST_NESTING") == "all"
"""`OUTLAST_NESTING=all` tries every block in every block with every deed, which takes some ten minutes."""
CASES = ALL if IS_WHOLE else SOME


class Witness:
    """Checks after each crash what bodies did, and that readers see every step as they did without the crash."""

    def __init__(self, file: Path) -> None:
        self._tally = EffectTally(file)
        self._undisturbed: dict[str, Any] | None = None

    def check(self, result: RunResult[Any], crashes: int) -> None:
        self._tally.check(result, crashes)
        seen = {path: (str(each.status), each.output, each.suspend_payload) for path, each in result.steps.items()}
        seen[""] = (result.error_path, result.error and (result.error.type, result.error.message))
        if self._undisturbed is None:
            self._undisturbed = seen
        assert seen == self._undisturbed


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("outer", "inner", "deed"), CASES, ids=[f"{deed}-in-{inner}-in-{outer}" for outer, inner, deed in CASES]
)
def test_a_crash_at_any_commit_changes_nothing_however_deep_it_strikes(
    outer: str, inner: str, deed: str, tmp_path: Path
) -> None:
    """12.1: for every way in which a nested step can be in flight, and every frame around it."""
    witness = Witness(tmp_path / "effects")
    scenario = nested_scenario(outer, inner, deed)
    scenario = replace(scenario, request_context={"effects": str(tmp_path / "effects")})
    check = witness.check if DEEDS[deed].is_tallied else None

    modes: tuple[FaultMode, ...] = ("before", "after")
    if not IS_WHOLE:
        modes = (modes[CASES.index((outer, inner, deed)) % 2],)

    report = crash_at_every_commit(scenario, tmp_path, store="memory", modes=modes, check=check)

    assert report.commits > 5
    assert set(report.struck) == set(modes)
