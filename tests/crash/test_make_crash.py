"""The command for sceptics, `make crash`: it kills real processes, counts, and fails when there is reason to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crash.__main__ import Sum, attempt
from crash.catalog import SCENARIOS
from crash.sigkill import SAMPLE

ROOT = Path(__file__).parents[2]


def crash(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crash", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_it_crashes_workflows_in_one_process_and_kills_real_ones() -> None:
    """12.1: simulated and by the kernel, the run ends as it would have undisturbed."""
    done = crash("--short", "--only", "chain", "told", "--stores", "memory")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "processes killed with SIGKILL, 0 failures" in done.stdout
    assert "every promise held" in done.stdout
    assert "FAILS" not in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("workflow", ["told", "told-of-failure"])
def test_hooks_are_told_although_a_process_is_killed_at_each_commit(workflow: str) -> None:
    """13: at least once through SIGKILL at every commit, those of the terminal step and of the telling included."""
    done = crash("--only", workflow, "--stores", "memory")

    assert done.returncode == 0, done.stdout + done.stderr
    (killed,) = re.findall(rf"{workflow} +normal +(\d+) +(\d+) +(\d+) +holds", done.stdout)
    assert int(killed[0]) >= 8
    assert {*killed[1:]} <= {killed[0], str(int(killed[0]) - 1)}  # commits form by timing


@pytest.mark.slow
def test_it_fails_when_nothing_was_tried() -> None:
    assert crash("--short", "--only", "no such workflow").returncode == 1


def test_a_promise_that_fails_is_counted_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def trial() -> tuple[int, list[int]]:
        raise AssertionError("killed before commit 3 of 7: the run is lost")

    total = Sum()
    attempt(SCENARIOS[0].workflow.id, "normal", total, trial)

    assert total.failures == 1
    assert "FAILS" in (shown := capsys.readouterr().out)
    assert "killed before commit 3 of 7: the run is lost" in shown


def test_the_sample_is_of_scenarios() -> None:
    assert set(SAMPLE) <= {scenario.workflow.id for scenario in SCENARIOS}
