"""Runs that this version cannot drive are left to others, and faults of the engine stay with one run: rule 9.8."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engines.place import Place, one_step
from eventually import eventually
from outlast import Outlast, UnreadableRunError, Workflow, step
from outlast.engines.local import bystander
from outlast.storage.base import RunRow

WORKFLOW = Workflow("w").wait_for("answer").commit()


@step
async def answer(x: Any) -> Any:
    return x


ONE = one_step(answer, input=int, output=int)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place("sqlite", tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def change(path: Path, statement: str) -> None:
    """Write into the file as a newer version would."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            assert connection.execute(statement).rowcount == 1
    finally:
        connection.close()


async def leave_newer_run(place: Place, path: Path) -> None:
    """Leave a run with an event that this version does not know, claimable at once."""
    await place.run(WORKFLOW, run_id="run")
    change(path, "UPDATE events SET v = 99 WHERE seq = 2")
    change(path, "UPDATE runs SET ready_at_ms = 0 WHERE run_id = 'run'")


async def parked(place: Place) -> RunRow | None:
    row = await place.row("run")
    return row if row is not None and row.owner is None and row.status == "waiting" else None


async def test_journal_of_a_newer_version_is_given_back_and_not_failed(
    place: Place, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """9.8: a newer event version parks the run (`waiting`) on that worker only; it never fails the run."""
    await leave_newer_run(place, path)
    before = await place.row("run")
    async with place.app(WORKFLOW) as app:
        row = await eventually(lambda: parked(place))
        status = await app.run("run").status()

    assert before is not None
    assert row is not None
    assert (status, row.head) == ("waiting", before.head)
    assert row.ready_at_ms is not None
    assert row.ready_at_ms > 0
    assert "is left to another worker" in caplog.text


async def test_worker_that_parked_a_run_goes_on_with_others(
    place: Place, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """9.8: it is the one run that waits; and it is not taken again at once."""
    await leave_newer_run(place, path)
    async with place.app(WORKFLOW) as app:
        await eventually(lambda: parked(place))
        result = await (await app.create_run(WORKFLOW, run_id="other")).start()

    assert result.status == "suspended"
    assert caplog.text.count("is left to another worker") == 1


async def test_why_says_that_this_version_cannot_read_the_run(
    place: Place, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """9.8: `why` says which event it is."""
    await leave_newer_run(place, path)
    async with place.app(WORKFLOW) as app:
        await eventually(lambda: parked(place))
        why = await app.run("run").why()

    assert why.startswith("this version of outlast cannot read the run: event '")
    assert "version 99" in why


@pytest.mark.parametrize("verb", ["snapshot", "result", "resume", "resume_async"])
async def test_run_that_this_version_cannot_read_is_a_typed_error(
    place: Place, path: Path, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    """9.8: who reads it learns what to do, and never meets an error of the inside."""
    await place.run(WORKFLOW, run_id="run")
    change(path, "UPDATE events SET v = 99 WHERE seq = 2")
    async with place.app(WORKFLOW, worker=False) as app:
        with pytest.raises(UnreadableRunError, match="version 99 was written by a newer version of outlast") as caught:
            await getattr(app.run("run"), verb)()
        status = await app.run("run").status()

    assert (caught.value.run_id, status) == ("run", "suspended")


async def test_steps_in_the_unreadable_middle_of_an_ended_run_are_a_typed_error(place: Place, path: Path) -> None:
    """9.8: the end alone may be readable; the middle is an error when somebody looks at it."""
    await place.run(ONE, 1, run_id="run")
    change(path, "UPDATE events SET v = 99 WHERE seq = 2")
    async with place.app(ONE, worker=False) as app:
        result = await app.run("run").snapshot()
        with pytest.raises(UnreadableRunError):
            list(result.steps)

    assert result.result == 1


async def test_run_on_a_graph_of_a_newer_version_is_a_typed_error(place: Place, path: Path) -> None:
    """9.8: the row alone tells the status."""
    await place.run(WORKFLOW, run_id="run")
    change(path, """UPDATE graphs SET document = CAST('{"version": 99}' AS BLOB)""")
    other = one_step(answer)
    async with place.app(other, worker=False) as app:
        with pytest.raises(UnreadableRunError):
            await app.run("run").snapshot()
        status, why = await app.run("run").status(), await app.run("run").why()

    assert status == "suspended"
    assert why.startswith("this version of outlast cannot read the run")


async def test_result_that_is_not_of_the_declared_type_any_more_is_a_typed_error(place: Place) -> None:
    """9.8, 17: a deploy changed the type; a handle without one still reads it."""
    await place.run(ONE, 1, run_id="run")
    changed = one_step(answer, input=int, output=list[int])
    async with place.app(changed, worker=False) as app:
        with pytest.raises(UnreadableRunError, match="its result is not of the declared type any more"):
            await changed.get_workflow_run_execution_result("run")
        result = await app.run("run").snapshot()

    assert result.result == 1


async def test_worker_that_knows_the_event_takes_the_parked_run(
    place: Place, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """9.8: parked on that worker only; another one goes on as if nothing had been."""
    await leave_newer_run(place, path)
    async with place.app(WORKFLOW):
        await eventually(lambda: parked(place))
    change(path, "UPDATE events SET v = 1 WHERE v = 99")
    async with place.app(WORKFLOW) as app:
        result = await app.run("run").resume("yes")

    assert result.result == "yes"


async def test_parked_run_keeps_its_execution(place: Place, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """9.8: parking changes nothing but when the run may be taken again."""
    await leave_newer_run(place, path)
    change(path, "UPDATE events SET execution = 3 WHERE seq = 2")
    async with place.app(WORKFLOW):
        row = await eventually(lambda: parked(place))

    assert row is not None
    assert row.execution == 3


async def test_event_that_cannot_be_decoded_parks_the_run_and_no_other(
    place: Place, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """9.8: a recorded value that the present code cannot decode parks the run; those claimed with it go on."""
    async with place.app(WORKFLOW, worker=False) as app:
        for run_id in ("run", "other"):
            await (await app.create_run(WORKFLOW, run_id=run_id)).start_async()
    change(
        path,
        "UPDATE events SET body = x'00' WHERE seq = 1 AND run_key = (SELECT key FROM runs WHERE run_id = 'run')",
    )
    async with place.app(WORKFLOW) as app:
        row = await eventually(lambda: parked(place))
        status = (await app.run("other").result(timeout=5)).status

    assert row is not None
    assert status == "suspended"
    assert "is left to another worker" in caplog.text


async def test_fault_while_an_outcome_is_read_parks_the_run_and_stops_nothing_else(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """9.5: nothing escapes into the event loop; one broken run does not stop the others."""
    escaped: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: escaped.append(context))

    @step
    async def fail(x: Any) -> None:
        raise ValueError("no")

    @step
    async def fine(x: Any) -> str:
        return "fine"

    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("a fault in the engine")

    monkeypatch.setattr("outlast.engines.outcomes.retry_at", broken)
    failing, other = one_step(fail), Workflow("other").then(fine).commit()
    async with place.app(failing, other, max_steps=1) as app:
        await (await app.create_run(failing, run_id="run")).start_async()
        row = await eventually(lambda: parked(place))
        result = await (await app.create_run(other)).start()
        live = _live(app)

    assert row is not None
    assert escaped == []
    assert (result.result, live) == ("fine", [])
    assert [each.name for each in caplog.records if each.levelno == logging.ERROR] == ["outlast.worker"] * 2


def _live(app: Outlast) -> list[str]:
    worker = app._engine._worker  # noqa: SLF001
    return [] if worker is None else list(worker.live)


async def test_late_start_that_cannot_be_read_is_told_once_and_stands_in_nobodys_way(
    place: Place, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9.3, 9.8: it is left to others, and those behind it end all the same, however many such runs there are."""
    monkeypatch.setattr(bystander, "_LATE_AT_ONCE", 2)
    async with place.app(ONE, worker=False) as app:
        for run_id in ("newer-1", "newer-2", "newer-3"):
            await (await app.create_run(ONE, run_id=run_id)).start_async(input_data=1, start_within=0.001)
            change(path, f"UPDATE events SET v = 99 WHERE run_key = (SELECT key FROM runs WHERE run_id = '{run_id}')")
        await (await app.create_run(ONE, run_id="late")).start_async(input_data=1, start_within=0.001)

        await eventually(lambda: has_ended(place, "late"), within=20)
        result, status = await app.run("late").snapshot(), await app.run("newer-1").status()

    assert (result.error and result.error.type, status) == ("StartDeadlineError", "pending")
    told = [record.message for record in caplog.records if "left to a worker that can read it" in record.message]
    assert len(told) == len({each.split()[1] for each in told}) == 3


async def has_ended(place: Place, run_id: str) -> bool:
    """Look without a handle: who asks for a run that is late ends it."""
    row = await place.row(run_id)
    return row is not None and row.status.is_terminal
