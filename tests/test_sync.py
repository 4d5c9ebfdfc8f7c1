"""The sync door: rule 2.7."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from outlast import DoorError, ForkedAppError, InputError, Outlast, RunExistsError, Workflow, step
from outlast.sync import Door

SCRIPT = Path(__file__).parents[1] / "examples" / "script.py"


@step
def add_one(x: int) -> int:
    return x + 1


@step
async def never(x: int) -> int:
    await asyncio.Event().wait()
    return x


counting = Workflow("counting", input=int, output=int).then(add_one).commit()
hanging = Workflow("hanging", input=int, output=int).then(never).commit()
asking = Workflow("asking", input=int).wait_for("answer").commit()


def a_door(**options: Any) -> Door:
    options = {"drain": timedelta(), "store": "memory", **options}
    return Door(Outlast([counting, hanging, asking], **options))


def door_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "outlast-door"]


def python(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    head = "from outlast import Outlast, Workflow, step\nfrom outlast.sync import Door\n"
    script = directory / "script.py"
    script.write_text(head + textwrap.dedent(code))
    return subprocess.run(
        [sys.executable, "-W", "error", script], cwd=directory, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.mark.slow
def test_script_of_fifteen_lines_starts_waits_and_prints(tmp_path: Path) -> None:
    """2.7: without an event loop in sight."""
    code = SCRIPT.read_text()
    lines = [line for line in code.splitlines() if line.strip()]

    done = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )

    assert (done.stdout, done.stderr, done.returncode) == ("6 words\n", "", 0)
    assert len(lines) <= 15
    assert not re.search(r"\b(async|await|asyncio|loop)\b", code)


def test_same_verbs_give_the_same_values_and_errors() -> None:
    """2.7: the same verbs without `await`."""
    with a_door() as wait:
        run = wait(counting.create_run(run_id="run"))
        assert wait(run.start(input_data=1)).unwrap() == 2
        assert wait(counting.get_workflow_run_execution_result("run")) is not None
        assert wait(wait.app.run("run").why()) == "the run has ended: success"
        with pytest.raises(RunExistsError):
            wait(run.start_async(input_data=1))
        with pytest.raises(InputError, match="input_data"):
            wait(wait(counting.create_run()).start(input_data="one"))  # type: ignore[arg-type]
        started = wait(wait(asking.create_run()).start_async(input_data=1))
        assert wait(started.result()).status == "suspended"
        assert wait(started.resume("yes")).result == "yes"


def test_waiting_too_long_raises_the_builtin_error() -> None:
    """2.6: and leaves the run untouched."""
    with a_door() as wait:
        started = wait(wait(hanging.create_run()).start_async(input_data=1))
        with pytest.raises(TimeoutError):
            wait(started.result(timeout=0.01))
        assert wait(started.status()) == "running"


def test_many_threads_may_call_at_once() -> None:
    """2.7: one door for all of them."""
    with a_door() as wait, ThreadPoolExecutor(16) as pool:

        def run(number: int) -> int:
            return wait(wait(counting.create_run()).start(input_data=number)).unwrap()

        assert list(pool.map(run, range(100))) == list(range(1, 101))


def test_threads_that_make_the_first_call_at_once_open_one_app() -> None:
    """2.7: opened by its first call, once."""
    wait = a_door()
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: wait(counting.create_run()), range(8)))

    assert len(runs) == 8
    assert len(door_threads()) == 1
    wait.close()


def test_leaving_ends_the_thread() -> None:
    """3.6: in good order."""
    with a_door() as wait:
        assert len(door_threads()) == 1
        wait(counting.create_run())

    assert door_threads() == []


def test_leaving_hands_the_rest_over(tmp_path: Path) -> None:
    """3.6: what is not finished goes on with the next door."""
    with a_door(store=tmp_path / "runs.db") as wait:
        wait(wait(asking.create_run(run_id="run")).start(input_data=1))
    with a_door(store=tmp_path / "runs.db") as wait:
        result = wait(wait.app.run("run").resume("later"))

    assert result.result == "later"


def test_several_doors_keep_to_their_own_apps() -> None:
    """2.1: a call runs in the context of its app."""
    with a_door() as one, a_door() as two:
        wait_ids = [wait(counting.create_run()).run_id for wait in (one, two)]
        for wait, run_id in zip((one, two), wait_ids, strict=True):
            wait(wait(counting.create_run(run_id=run_id)).start(input_data=1))

        assert wait_ids[0] != wait_ids[1]
        assert one(counting.get_workflow_run_execution_result(wait_ids[0])) is not None
        assert one(counting.get_workflow_run_execution_result(wait_ids[1])) is None


def test_items_come_one_after_the_other() -> None:
    """2.7: `iterate` is what `async for` is."""
    closed: list[bool] = []

    async def count() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                await asyncio.sleep(0)  # noqa: TID251 - only to give the loop a turn
                yield number
        finally:
            closed.append(True)

    with a_door() as wait:
        assert list(wait.iterate(count())) == list(range(1000))
        first = wait.iterate(count())
        assert [next(first), next(first)] == [0, 1]
        first.close()  # type: ignore[attr-defined]

    assert closed == [True, True]


def test_stream_of_a_run_can_be_read() -> None:
    """14.2: from sync code."""
    with a_door() as wait:
        run = wait(counting.create_run())
        types = [event.type for event in wait.iterate(run.stream(input_data=1))]

    assert (types[0], types[-1]) == ("workflow-start", "workflow-finish")


# ---- Misuse


async def test_door_refuses_to_stop_a_running_loop() -> None:
    """2.7: it says what to do instead; the coroutine is closed."""
    wait = a_door()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for use in (lambda: wait(counting.create_run()), wait.open, wait.close):
            with pytest.raises(DoorError, match="use `await` here"):
                use()
        gc.collect()

    assert door_threads() == []


def test_door_is_of_no_use_after_it_was_closed() -> None:
    """2.7: with a typed error; closing twice is fine."""
    wait = a_door()
    wait.open()
    wait.close()
    wait.close()

    for use in (lambda: wait(counting.create_run()), wait.open):
        with pytest.raises(DoorError, match="is closed"):
            use()
    gc.collect()


def test_door_that_was_never_opened_can_be_closed() -> None:
    """2.7: and is closed then."""
    wait = a_door()
    wait.close()

    with pytest.raises(DoorError):
        wait.open()


@pytest.mark.parametrize("kind", ["result", "anything"])
def test_those_who_wait_are_told_when_the_door_is_closed(kind: str) -> None:
    """2.7: nobody waits for ever."""
    wait = a_door().open()
    started = wait(wait(hanging.create_run()).start_async(input_data=1))
    waits = threading.Event()
    errors: list[BaseException] = []

    async def anything() -> None:
        waits.set()
        await asyncio.Event().wait()

    async def result() -> None:
        waits.set()
        await started.result()

    def work() -> None:
        try:
            wait(result() if kind == "result" else anything())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    waits.wait(timeout=5)
    wait.close()
    thread.join(timeout=5)

    expected = "StoreUnavailableError" if kind == "result" else "DoorError"
    assert [type(error).__name__ for error in errors] == [expected]


def test_what_cannot_be_awaited_is_refused() -> None:
    with a_door() as wait, pytest.raises(TypeError, match="as wait"):
        wait(counting)  # type: ignore[arg-type]


def test_app_that_cannot_be_opened_raises_and_may_be_tried_again(tmp_path: Path) -> None:
    """2.7: the error of the app, in the thread that opens."""
    wait = a_door(store=tmp_path / "missing" / "runs.db")
    with pytest.raises(Exception, match="missing"):
        wait.open()
    (tmp_path / "missing").mkdir()

    with wait:
        assert wait(wait(counting.create_run()).start(input_data=1)).unwrap() == 2


def _in_child(use: Any) -> str:
    """Fork, and return what became of it in the child."""
    report, answer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # this process has threads: that is the point
        child = os.fork()
    if child == 0:
        os.close(report)
        try:
            os.write(answer, str(use()).encode())
        except BaseException as error:  # noqa: BLE001 - the parent judges
            os.write(answer, type(error).__name__.encode())
        os._exit(0)
    os.close(answer)
    with os.fdopen(report) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def test_door_that_was_opened_before_a_fork_is_refused_in_the_child() -> None:
    with a_door() as wait:
        assert _in_child(lambda: wait(counting.create_run())) == ForkedAppError.__name__
        assert _in_child(wait.open) == ForkedAppError.__name__
        assert wait(wait(counting.create_run()).start(input_data=1)).unwrap() == 2


@pytest.mark.slow
def test_door_that_was_made_before_a_fork_opens_in_the_child(tmp_path: Path) -> None:
    """2.7: it stands in a module that is imported before a server forks."""
    done = python(
        """
        import os

        @step
        def work(x: int) -> int:
            return x + 1

        workflow = Workflow("w", input=int, output=int).then(work).commit()
        wait = Door(Outlast([workflow], store="runs.db"))
        children = []
        for number in range(2):
            if (child := os.fork()) == 0:
                print(wait(wait(workflow.create_run()).start(input_data=number)).unwrap(), flush=True)
                wait.close()
                os._exit(0)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        """,
        tmp_path,
    )

    assert (sorted(done.stdout.split()), done.stderr, done.returncode) == (["1", "2"], "", 0)


@pytest.mark.slow
def test_interrupt_ends_the_waiting_and_leaves_in_good_order(tmp_path: Path) -> None:
    """2.7: Ctrl-C; `with` is left, the run is not affected."""
    done = python(
        """
        import asyncio, os, signal, threading
        from datetime import timedelta

        @step
        async def work(x: int) -> int:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.Event().wait()
            return x

        workflow = Workflow("w", input=int, output=int).then(work).commit()
        try:
            with Door(Outlast([workflow], store="runs.db", drain=timedelta())) as wait:
                try:
                    wait(wait(workflow.create_run(run_id="run")).start(input_data=1))
                except KeyboardInterrupt:
                    print(wait(wait.app.run("run").status()))
                    raise
        except KeyboardInterrupt:
            print("left", [each.name for each in threading.enumerate() if each.name == "outlast-door"])
        """,
        tmp_path,
    )

    assert done.stdout.splitlines() == ["running", "left []"], done.stderr
    assert done.returncode == 0


@pytest.mark.slow
def test_door_that_nobody_closes_does_not_keep_the_program(tmp_path: Path) -> None:
    """2.7: it is closed when the interpreter ends: no worker is left that looks alive or crashed."""
    done = python(
        """
        @step
        def work(x: int) -> int:
            return x + 1

        workflow = Workflow("w", input=int, output=int).then(work).commit()
        wait = Door(Outlast([workflow], store="runs.db"))
        print(wait(wait(workflow.create_run()).start(input_data=1)).unwrap())
        """,
        tmp_path,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("2\n", "", 0)
    assert list((tmp_path / "runs.db.workers").iterdir()) == []
