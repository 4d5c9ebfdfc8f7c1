"""The harness that users get: it passes what survives, and says what does not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crash.struck import check_struck
from outlast import ReadContext, RunHandle, StepContext, Workflow, step
from outlast.testing.clock import VirtualClock
from outlast.testing.crash import CrashReport, CrashTestError, Scenario, StoreKind, crash_at_every_commit
from outlast.testing.faults import KillAt
from outlast.testing.plugin import OutlastRun, outlast_run, virtual_clock

__all__ = ["outlast_run", "virtual_clock"]  # the fixtures, as a `conftest.py` that names the plugin would bring it


@step
async def add(n: int) -> int:
    return n + 1


steady = Workflow("steady", input=int, output=int).then(add).then(add, id="again").commit()


@pytest.mark.parametrize("store", ["memory", pytest.param("normal", marks=pytest.mark.slow)])
def test_a_workflow_that_survives_gives_its_result_and_the_number_of_crashes(tmp_path: Path, store: StoreKind) -> None:
    report = crash_at_every_commit(Scenario(workflow=steady, input_data=1), tmp_path, store=store)

    assert report.result.result == 3
    assert report.points == sum(report.struck.values()) > report.commits > 3
    assert set(report.struck) == {"before", "after", "lost", "refused"}


def test_a_workflow_whose_result_depends_on_how_often_its_body_was_called_is_found_out(tmp_path: Path) -> None:
    calls: list[int] = []

    @step
    async def count_calls(n: int) -> int:
        calls.append(n)
        return len(calls)

    counting = Workflow("counting", input=int).then(count_calls).commit()

    with pytest.raises(
        CrashTestError, match=r"KillAt\(\d+, '\w+'\): the run ended success with \d+, and without the crash"
    ):
        crash_at_every_commit(Scenario(workflow=counting, input_data=1), tmp_path, store="memory")


def commits_less_often(directory: Path, *, first: int, later: int) -> CrashReport:
    """Crash a workflow whose loop makes fewer passes in each life after the first."""
    lives: list[int] = []

    @step
    async def be_born(n: int) -> int:
        lives.append(n)
        return n

    async def is_enough(ctx: ReadContext[int]) -> bool:
        return ctx.iteration_count >= (first if len(lives) == 1 else later)

    @step
    async def stay(n: int) -> int:
        return n

    restless = Workflow("restless", input=int).then(be_born).dountil(stay, is_enough).commit()
    return crash_at_every_commit(Scenario(workflow=restless, input_data=1), directory, store="memory", modes=["before"])


def test_some_commits_may_be_missing_the_next_time(tmp_path: Path) -> None:
    """What ends side by side is recorded together or one by one, as it happens."""
    report = commits_less_often(tmp_path, first=20, later=15)

    assert report.commits * 2 / 3 <= report.points <= report.commits - 5


def test_a_workflow_most_of_whose_commits_do_not_come_again_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(CrashTestError, match=r"only \d+ of \d+ commits came again"):
        commits_less_often(tmp_path, first=20, later=2)


@pytest.mark.parametrize("commits", [1, 2, 3, 4, 10, 40])
def test_a_third_of_the_commits_may_be_missing_but_never_all(commits: int) -> None:
    check_struck(max(1, commits - commits // 3), commits)
    with pytest.raises(AssertionError, match="struck at only 0 of"):
        check_struck(0, commits)


def test_a_fault_that_never_strikes_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KillAt, "_is_due", lambda self: False)

    with pytest.raises(CrashTestError, match=r"only 0 of \d+ commits came again"):
        crash_at_every_commit(Scenario(workflow=steady, input_data=1), tmp_path, store="memory")


def test_a_failure_of_the_authors_own_check_is_raised(tmp_path: Path) -> None:
    def check(result: Any, crashes: int) -> None:
        assert not crashes, "no crash is good enough"

    with pytest.raises(AssertionError, match="no crash is good enough"):
        crash_at_every_commit(Scenario(workflow=steady, input_data=1), tmp_path, check=check, store="memory")


def test_the_fixture_runs_a_workflow(outlast_run: OutlastRun) -> None:
    assert outlast_run(steady, 1).unwrap() == 3


def test_the_fixture_crashes_a_workflow_at_every_commit(outlast_run: OutlastRun) -> None:
    assert outlast_run(steady, 1, crash_at="every commit", store="memory").unwrap() == 3


def test_the_fixture_lets_the_world_act_meanwhile(outlast_run: OutlastRun) -> None:
    @step(resume=str)
    async def ask(name: str, ctx: StepContext) -> str:
        if not ctx.resumed:
            ctx.suspend({"ask": name})
        return f"{name}: {ctx.resume_data}"

    async def answer(run: RunHandle[Any]) -> None:
        if (await run.result()).status == "suspended":
            await run.resume("yes")

    asking = Workflow("asking", input=str, output=str).then(ask).commit()

    assert outlast_run(asking, "Ada", drive=answer, crash_at="every commit", store="memory").unwrap() == "Ada: yes"


def test_a_run_of_a_month_is_crashed_at_every_commit(outlast_run: OutlastRun, virtual_clock: VirtualClock) -> None:
    month = Workflow("month", input=int, output=int).sleep(timedelta(days=30)).then(add).sleep(60, id="b").commit()
    began = virtual_clock.now()

    result = outlast_run(month, 1, crash_at="every commit", store="memory", clock=virtual_clock)

    assert result.unwrap() == 2
    assert virtual_clock.now() - began > 10 * timedelta(days=30)


async def test_the_harness_inside_a_running_loop_says_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"from a plain function"):
        crash_at_every_commit(Scenario(workflow=steady, input_data=1), tmp_path)
