"""What an app answers when it is used wrongly: a typed error that says what to do, and nothing written."""

from __future__ import annotations

import asyncio
import contextvars
import os
import re
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from engines.place import Place
from outlast import (
    ConfigurationError,
    DefinitionError,
    InputError,
    Outlast,
    OutlastError,
    Schedule,
    SchemaVersionError,
    UnattachedWorkflowError,
    Workflow,
    step,
)
from outlast.errors import StoreError


@step
async def add_one(x: int) -> int:
    return x + 1


BUILDER = Workflow("count", input=int, output=int).then(add_one)
COUNT = BUILDER.commit()
OTHER = BUILDER.commit().clone(id="other")
UNCOMMITTED: Any = BUILDER
NOBODY: Final = 65534


async def test_app_must_be_entered(place: Place) -> None:
    """2.1: an app is used inside `async with`."""
    app = place.app(COUNT)

    with pytest.raises(UnattachedWorkflowError, match="async with Outlast"):
        await app.create_run(COUNT)
    with pytest.raises(UnattachedWorkflowError, match="async with Outlast"):
        app.run("x")
    with pytest.raises(UnattachedWorkflowError, match="async with Outlast"):
        await app.find_result(COUNT, "x")


async def test_verb_on_the_wrong_object_says_where_it_is(place: Place) -> None:
    """2.1, 2.2: a forgotten `commit()`, `create_run()` or handle; what is nowhere stays an ordinary AttributeError."""
    async with place.app(COUNT) as app:
        run: Any = await app.create_run(COUNT)
        workflow: Any = COUNT
        for wrong, name, advice in (
            (UNCOMMITTED, "create_run", "the workflow is not committed; call .commit() and use what it returns"),
            (UNCOMMITTED, "start", "the workflow is not committed"),
            (workflow, "start_async", "run = await workflow.create_run(), and then run.start_async(...)"),
            (run, "result", "started = await run.start_async(...)"),
            (run, "why", "app.run(run_id).why"),
        ):
            with pytest.raises(AttributeError, match=re.escape(advice)):
                getattr(wrong, name)
        for wrong in (UNCOMMITTED, workflow, run):
            assert not hasattr(wrong, "nothing")
            with pytest.raises(AttributeError, match=r"has no attribute 'nothing'$"):
                wrong.nothing  # noqa: B018 - what is looked at


async def test_input_that_was_left_out_is_told_so(place: Place) -> None:
    """2.3."""
    async with place.app(COUNT) as app:
        with pytest.raises(InputError, match="input should be a valid integer; nothing was given"):
            await (await app.create_run(COUNT)).start()


async def test_app_is_entered_once(place: Place) -> None:
    """3.6: entered while open, and again after it was closed."""
    async with place.app(COUNT) as app:
        with pytest.raises(ConfigurationError, match="entered once"):
            await app.__aenter__()
        assert (await (await app.create_run(COUNT)).start(input_data=1)).result == 2
    with pytest.raises(ConfigurationError, match="entered once"):
        await app.__aenter__()


async def test_app_is_entered_by_one_of_two_at_once(place: Place) -> None:
    """3.6: the other one is refused, and there are not two workers of which nobody ends one."""
    app = place.app(COUNT)
    entered = await asyncio.gather(app.__aenter__(), app.__aenter__(), return_exceptions=True)
    await app.__aexit__(None, None, None)

    assert [type(each) for each in entered] == [Outlast, ConfigurationError]
    assert "this app is opening" in str(entered[1])


async def test_closed_app_cannot_be_used(place: Place) -> None:
    """3.6: what was made in the app is of no use after it."""
    async with place.app(COUNT) as app:
        run = await app.create_run(COUNT, run_id="run")
        started = await (await app.create_run(COUNT)).start_async(input_data=1)
    uses: list[Callable[[], Any]] = [
        lambda: app.create_run(COUNT),
        lambda: app.find_result(COUNT, "x"),
        lambda: run.start_async(input_data=1),
        lambda: run.start(input_data=1),
        started.result,
        started.status,
        started.snapshot,
        started.why,
    ]

    for use in uses:
        with pytest.raises(OutlastError):
            await use()
    assert await place.row("run") is None


async def test_workflow_of_no_app_is_refused(place: Place) -> None:
    """2.1: an app runs the workflows that it was given, and names them."""
    async with place.app(COUNT) as app:
        with pytest.raises(UnattachedWorkflowError, match=r"'other' is not one of this app's \('count'\)"):
            await app.create_run(OTHER)
        with pytest.raises(UnattachedWorkflowError, match="committed object itself"):
            await app.create_run(BUILDER.commit())
        with pytest.raises(UnattachedWorkflowError, match="other"):
            await OTHER.create_run()


async def test_builder_that_is_not_committed_is_refused(place: Place) -> None:
    """1.2: `.commit()` returns the runnable workflow."""
    with pytest.raises(DefinitionError, match=r"call \.commit\(\)"):
        place.app(UNCOMMITTED)
    async with place.app(COUNT) as app:
        with pytest.raises(DefinitionError, match=r"call \.commit\(\)"):
            await app.create_run(UNCOMMITTED)


@pytest.mark.parametrize("workflows", [COUNT, "count", [add_one], [None], [COUNT, BUILDER.commit()], None])
def test_what_is_no_list_of_workflows_is_refused(workflows: Any) -> None:
    """1.2: registered are committed workflows with different ids."""
    with pytest.raises(DefinitionError):
        Outlast(workflows, store="memory")


async def test_workflow_without_any_app_names_both_ways() -> None:
    """2.1: else raises `UnattachedWorkflowError` naming both forms."""
    with pytest.raises(UnattachedWorkflowError, match=r"async with Outlast(.|\n)*app\.create_run") as caught:
        await COUNT.create_run()

    assert "no app is open" in str(caught.value)


async def test_workflow_does_not_guess_between_two_apps(place: Place) -> None:
    """2.1: neither entered in this context, nor the only open one."""

    async def elsewhere() -> None:
        with pytest.raises(UnattachedWorkflowError, match="2 apps are open"):
            await COUNT.create_run()

    async with place.app(COUNT), place.app(COUNT):
        await asyncio.get_running_loop().create_task(elsewhere(), context=contextvars.Context())


@pytest.mark.parametrize(
    "options",
    [
        {"max_runs": 0},
        {"max_steps": -1},
        {"max_steps": "5"},
        {"max_runs": None},
        {"worker": "no"},
        {"clock": 5},
        {"lease": 15},
        {"lease": None},
        {"drain": 1.5},
        {"grace": timedelta(seconds=-1)},
        {"retention": 30},
        {"lease": timedelta(milliseconds=999)},
        {"drain": timedelta(seconds=-1)},
        {"on_exit": "wait"},
        {"durability": "some"},
    ],
)
def test_option_that_cannot_work_is_refused_by_name(options: dict[str, Any]) -> None:
    """2.2: no parameter is accepted and ignored."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Outlast([COUNT], store="memory", **options)


@pytest.mark.parametrize("form", ["path", "text", "url"])
async def test_store_is_given_as_path_text_or_url(tmp_path: Path, form: str) -> None:
    """21: Outlast(store="outlast.db" | "sqlite:///path" | "memory")."""
    path = tmp_path / "store.db"
    given = {"path": path, "text": str(path), "url": f"sqlite:///{path}"}[form]

    async with Outlast([COUNT], store=given) as app:
        await (await app.create_run(COUNT)).start(input_data=1)

    assert path.exists()


def _not_a_database(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)


def _other_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.execute("INSERT INTO mine VALUES (1)")
    connection.commit()
    connection.close()


def _newer_version(path: Path) -> None:
    async def make() -> None:
        async with Outlast([COUNT], store=path) as app:
            await (await app.create_run(COUNT)).start(input_data=1)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(make())
    loop.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def contents(directory: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in directory.rglob("*") if each.is_file()}


@pytest.mark.parametrize("make", [_not_a_database, _other_database, _newer_version])
def test_file_that_is_not_ours_is_refused_and_unchanged(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """3.5, 12.5: not an Outlast store, or one written by a newer version: nothing is changed, and no file is added."""
    path = tmp_path / "store.db"
    make(path)
    before = contents(tmp_path)

    async def enter() -> None:
        async with Outlast([COUNT], store=path):
            pass

    with pytest.raises(SchemaVersionError, match="another path"):
        asyncio.run(enter())
    assert contents(tmp_path) == before


@pytest.mark.parametrize("place_of", ["missing/store.db", "file/store.db", "directory"])
async def test_path_that_cannot_be_used_is_refused(tmp_path: Path, place_of: str) -> None:
    """3.5: the message says why and what to do; nothing is written."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "directory").mkdir()
    before = contents(tmp_path)

    with pytest.raises(ConfigurationError, match="choose"):
        async with Outlast([COUNT], store=tmp_path / place_of):
            pass

    assert contents(tmp_path) == before
    assert not (tmp_path / "missing").exists()


@contextmanager
def as_ordinary_user(*paths: Path) -> Iterator[None]:
    """Give paths to somebody whom permissions bind; root, who may write everywhere, becomes that user meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    for path in paths:
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("kind", ["directory", "file"])
async def test_path_that_cannot_be_written_is_refused(kind: str) -> None:
    """3.5: the message says which permission is missing."""
    with TemporaryDirectory() as directory:  # one that everybody may enter, other than those of pytest
        path = Path(directory) / "store.db"
        async with Outlast([COUNT], store=path):
            pass
        target = path.parent if kind == "directory" else path
        with as_ordinary_user(path.parent, *path.parent.iterdir()):
            target.chmod(0o555)
            try:
                with pytest.raises(ConfigurationError, match="permissions"):
                    async with Outlast([COUNT], store=path):
                        pass
            finally:
                target.chmod(0o755)


async def test_file_that_is_damaged_ends_in_a_store_error(tmp_path: Path) -> None:
    """3.5: whatever SQLite says of a file arrives as a typed error."""
    path = tmp_path / "store.db"
    async with Outlast([COUNT], store=path) as app:
        await (await app.create_run(COUNT)).start(input_data=1)
    head = path.read_bytes()[:4096]
    path.write_bytes(head + b"\xff" * (path.stat().st_size - 4096))

    with pytest.raises(StoreError):
        async with Outlast([COUNT], store=path) as app:
            await (await app.create_run(COUNT)).start(input_data=1)


async def test_app_that_could_not_be_entered_leaves_nothing_behind(tmp_path: Path) -> None:
    """2.1: it is not the app that workflows find."""
    with pytest.raises(ConfigurationError):
        async with Outlast([COUNT], store=tmp_path / "missing" / "store.db"):
            pass

    with pytest.raises(UnattachedWorkflowError, match="no app is open"):
        await COUNT.create_run()


async def test_error_in_the_block_goes_through(place: Place) -> None:
    """3.6: leaving with an error closes the app like any other leaving."""

    async def fail_inside() -> None:
        async with place.app(COUNT) as app:
            await (await app.create_run(COUNT, run_id="run")).start(input_data=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_inside()

    row = await place.row("run")
    assert row is not None
    assert row.status == "success"


async def test_leaving_in_another_task_than_entering_works(place: Place) -> None:
    """2.1: as some frameworks do at start and stop."""
    app = place.app(COUNT)
    await asyncio.create_task(app.__aenter__())

    result = await (await COUNT.create_run()).start(input_data=1)
    await asyncio.create_task(app.__aexit__(None, None, None))

    assert result.result == 2
    with pytest.raises(UnattachedWorkflowError, match="no app is open"):
        await COUNT.create_run()


async def test_copies_of_an_app_are_left_one_by_one(tmp_path: Path) -> None:
    """2.1: as many processes on one file, each has a store of its own."""
    app = Outlast([COUNT], store=tmp_path / "store.db")
    async with app.with_options(worker=False) as first:
        async with app.with_options() as second:
            done = await (await second.create_run(COUNT, run_id="run")).start(input_data=1)

        assert await first.run("run").status() == done.status
        await (await first.create_run(COUNT)).start_async(input_data=1)


async def test_copies_of_an_app_in_memory_share_its_runs() -> None:
    """2.1: they are the same app."""
    app = Outlast([COUNT], store="memory")
    async with app.with_options(worker=False) as first:
        started = await (await first.create_run(COUNT)).start_async(input_data=1)
        async with app:
            assert (await started.result(timeout=10)).result == 2
    async with app.with_options(store="memory") as other:
        assert await other.find_result(COUNT, started.run_id) is None


async def test_store_that_another_app_has_open_is_refused(place: Place) -> None:
    """2.1: whoever is left first would close it for both."""
    store = place.store()
    async with Outlast([COUNT], store=store) as app:
        with pytest.raises(ConfigurationError, match="this store is open in another app"):
            await Outlast([COUNT], store=store).__aenter__()
        assert (await (await app.create_run(COUNT)).start(input_data=1)).result == 2
    async with Outlast([COUNT], store=store) as app:
        assert (await (await app.create_run(COUNT)).start(input_data=1)).result == 2


USES: Final[dict[str, Callable[[Outlast], Coroutine[Any, Any, Any]]]] = {
    "create_run": lambda app: app.create_run(COUNT),
    "start_many": lambda app: app.start_many(COUNT, [{"input_data": 1}]),
    "find_result": lambda app: app.find_result(COUNT, "run"),
    "list_runs": lambda app: app.list_runs(),
    "run": lambda app: app.run("run").result(),
    "schedules": lambda app: app.schedules.list(),
}


@pytest.mark.parametrize("use", USES)
async def test_app_on_another_event_loop_says_where_it_can_be_used(place: Place, use: str) -> None:
    """2.1: what is made on one loop cannot be awaited on another."""

    async def on_another_loop() -> Any:
        return await USES[use](app)

    async with place.app(COUNT) as app:
        with pytest.raises(UnattachedWorkflowError, match=r"open on another event loop.*with_options.*Door"):
            await asyncio.to_thread(asyncio.run, on_another_loop())


AWAITED: dict[str, Callable[[Any, Any], Any]] = {
    "start_async": lambda new, _: new.start_async(input_data=1),
    "start": lambda new, _: new.start(input_data=1),
    "start with a key": lambda new, _: new.start_async(input_data=1, idempotency_key="k"),
    "stream": lambda new, _: _first_of(new.stream(input_data=1)),
    "time_travel of a new run": lambda new, _: new.time_travel("add_one", input_data=1),
    "result": lambda _, known: known.result(),
    "result of a stream": lambda _, known: known.observe_stream().result(),
    "observe_stream": lambda _, known: _first_of(known.observe_stream()),
    "events": lambda _, known: _first_of(known.events()),
    "resume": lambda _, known: known.resume(1),
    "cancel": lambda _, known: known.cancel(),
    "snapshot": lambda _, known: known.snapshot(),
    "status": lambda _, known: known.status(),
    "why": lambda _, known: known.why(),
    "deliveries": lambda _, known: known.deliveries(),
    "delete": lambda _, known: known.delete(),
    "restart": lambda _, known: known.restart(),
    "time_travel": lambda _, known: known.time_travel("add_one", input_data=2),
    "fork": lambda _, known: known.fork("add_one", input_data=2),
    "step": lambda _, known: known.step(),
}
"""What can be awaited of a new run and of a known one."""


async def _first_of(stream: Any) -> Any:
    return await anext(aiter(stream))


@pytest.mark.parametrize("verb", AWAITED)
async def test_handle_on_another_event_loop_says_where_it_can_be_used(place: Place, verb: str) -> None:
    """2.1: the same as of the app itself, and nothing is written."""

    async def on_another_loop() -> Any:
        return await AWAITED[verb](new, known)

    async with place.app(COUNT) as app:
        known = await (await app.create_run(COUNT, run_id="known")).start_async(input_data=1)
        await known.result()
        new = await app.create_run(COUNT, run_id="new")
        before = await place.row("known")
        with pytest.raises(UnattachedWorkflowError, match=r"open on another event loop.*with_options.*Door"):
            await asyncio.to_thread(asyncio.run, on_another_loop())

        assert await place.row("new") is None
        assert await place.row("known") == before
        assert (await new.start(input_data=1)).result == (await known.result()).result


SCHEDULING: dict[str, Callable[[Any], Any]] = {
    "create": lambda schedules: schedules.create(COUNT, Schedule(every=timedelta(days=1), input_data=1), id="new"),
    "get": lambda schedules: schedules.get("known"),
    "list": lambda schedules: schedules.list(),
    "update": lambda schedules: schedules.update("known", Schedule(every=timedelta(days=2), input_data=1)),
    "pause": lambda schedules: schedules.pause("known"),
    "resume": lambda schedules: schedules.resume("known"),
    "delete": lambda schedules: schedules.delete("known"),
    "run_now": lambda schedules: schedules.run_now("known"),
    "triggers": lambda schedules: schedules.triggers("known"),
}


@pytest.mark.parametrize("verb", SCHEDULING)
async def test_schedules_on_another_event_loop_say_where_they_can_be_used(place: Place, verb: str) -> None:
    """2.1, 16.1: the same of `app.schedules` that somebody kept, and nothing is written."""

    async def on_another_loop() -> Any:
        return await SCHEDULING[verb](schedules)

    async with place.app(COUNT, worker=False) as app:
        schedules = app.schedules
        known = await schedules.create(COUNT, Schedule(every=timedelta(days=1), input_data=1), id="known")
        with pytest.raises(UnattachedWorkflowError, match=r"open on another event loop.*with_options.*Door"):
            await asyncio.to_thread(asyncio.run, on_another_loop())

        assert (await schedules.list()).schedules == (known,)
        assert not await schedules.triggers("known")


async def test_half_read_stream_on_another_event_loop_says_where_it_can_be_read(place: Place) -> None:
    """2.1, 14.2: also one whose next event is at hand; on its own loop it goes on."""

    async def on_another_loop() -> Any:
        return await anext(reader)

    async with place.app(COUNT) as app:
        known = await (await app.create_run(COUNT)).start_async(input_data=1)
        await known.result()
        reader = aiter(known.observe_stream())
        first = await anext(reader)
        with pytest.raises(UnattachedWorkflowError, match=r"open on another event loop.*with_options.*Door"):
            await asyncio.to_thread(asyncio.run, on_another_loop())

        rest = [event.seq async for event in reader]
        assert [first.seq, *rest] == [event.seq async for event in known.observe_stream()]


def test_app_without_the_event_loop_of_asyncio_says_so() -> None:
    """2.1: trio and others drive coroutines, too, but not what an app awaits."""
    entering = Outlast([COUNT], store="memory").__aenter__()

    with pytest.raises(ConfigurationError, match=r"event loop of asyncio: asyncio.run\(main\(\)\)"):
        entering.send(None)


@pytest.mark.parametrize("given", ["5", float("nan"), True, [], 10**400])
async def test_timeout_that_is_no_length_of_time_is_refused(place: Place, given: Any) -> None:
    """2.6: before anything is begun, and not after the wait that it was to bound."""
    async with place.app(COUNT) as app:
        done = await (await app.create_run(COUNT)).start_async(input_data=1)
        await done.result()
        new = await app.create_run(COUNT, run_id="new")
        for wait in (done.result, done.observe_stream().result, new.stream(input_data=1).result):
            with pytest.raises(InputError, match=r"timeout is not valid: seconds or a timedelta are needed.*None"):
                await wait(timeout=given)
    assert await place.row("new") is None


async def test_timeout_of_a_deadline_that_is_over_ends_the_wait_at_once(place: Place) -> None:
    """2.6: what is left of a deadline may be less than nothing; no bound at all may be said in numbers."""
    suspends = Workflow("waits").wait_for("answer").commit()
    async with place.app(suspends) as app:
        started = await (await app.create_run(suspends)).start_async()
        for over in (0, -1, timedelta(seconds=-1), -(10**400)):
            with pytest.raises(TimeoutError):
                await started.result(timeout=over, until="end")
        assert (await started.result(timeout=float("inf"))).status == "suspended"


@pytest.mark.parametrize("per_step", ["yes", 1, None])
async def test_per_step_that_is_neither_true_nor_false_is_refused(place: Place, per_step: Any) -> None:
    """12.6: a text that says no would count as yes; nothing is written."""
    async with place.app(COUNT) as app:
        done = await (await app.create_run(COUNT, run_id="run")).start_async(input_data=1)
        await done.result()
        before = await place.row("run")
        new = await app.create_run(COUNT, run_id="new")
        for use in (
            lambda: new.start_async(input_data=1, per_step=per_step),
            lambda: new.start(input_data=1, per_step=per_step),
            lambda: _first_of(new.stream(input_data=1, per_step=per_step)),
            lambda: new.time_travel("add_one", input_data=1, per_step=per_step),
            lambda: app.start_many(COUNT, [{"input_data": 1, "run_id": "new", "per_step": per_step}]),
            lambda: done.time_travel("add_one", input_data=1, per_step=per_step),
            lambda: _first_of(done.time_travel_stream("add_one", input_data=1, per_step=per_step)),
            lambda: done.fork("add_one", input_data=1, per_step=per_step, run_id="new"),
            lambda: done.step(per_step=per_step),
        ):
            with pytest.raises(InputError, match=r"per_step.*: True or False is needed, not"):
                await use()
        assert await place.row("run") == before
    assert await place.row("new") is None


@pytest.mark.parametrize("per_step", ["yes", 0])
async def test_restart_refuses_per_step_that_is_neither_true_nor_false(place: Place, per_step: Any) -> None:
    """12.3, 12.6."""

    @step
    async def fail(x: int) -> int:
        raise ValueError(x)

    fails = Workflow("fails", input=int).then(fail).commit()
    async with place.app(fails) as app:
        failed = await (await app.create_run(fails)).start_async(input_data=1)
        await failed.result()
        with pytest.raises(InputError, match="per_step is not valid"):
            await failed.restart(per_step=per_step)
        assert (await failed.snapshot()).execution == 0


@pytest.mark.parametrize("verb", ["start_async", "start", "stream"])
async def test_input_that_is_not_given_by_name_says_so(place: Place, verb: str) -> None:
    """2.2, 2.3: the first mistake that everybody makes."""
    async with place.app(COUNT) as app:
        run: Any = await app.create_run(COUNT, run_id="run")
        with pytest.raises(InputError, match=rf"it is given by name, as run\.{verb}\(input_data=5\)"):
            await getattr(run, verb)(5)
    assert await place.row("run") is None


def test_app_in_a_plain_with_is_told_of_async_with() -> None:
    """2.1: and of the door, for programs without an event loop."""
    app: Any = Outlast([COUNT], store="memory")

    with pytest.raises(AttributeError, match=r"write `async with Outlast.*outlast\.sync\.Door"), app:
        pass


HALF: Final = "\ud800"
"""Half a character, which no UTF-8 holds."""

LOOKED_UP: dict[str, Callable[[Outlast, Any], Any]] = {
    "run": lambda app, id: app.run(id),
    "find_result": lambda app, id: app.find_result(COUNT, id),
    "list_runs": lambda app, id: app.list_runs(id),
    "counts": lambda app, id: app.counts(id),
    "schedules.list": lambda app, id: app.schedules.list(id),
    "schedules.list after": lambda app, id: app.schedules.list(after=id),
    "schedules.get": lambda app, id: app.schedules.get(id),
    "schedules.pause": lambda app, id: app.schedules.pause(id),
    "schedules.resume": lambda app, id: app.schedules.resume(id),
    "schedules.delete": lambda app, id: app.schedules.delete(id),
    "schedules.run_now": lambda app, id: app.schedules.run_now(id),
    "schedules.triggers": lambda app, id: app.schedules.triggers(id),
}


@pytest.mark.parametrize("verb", LOOKED_UP)
async def test_id_that_no_text_can_be_is_refused_where_it_is_looked_up(place: Place, verb: str) -> None:
    """17: a typed error, whatever the store would have said."""
    async with place.app(COUNT) as app:
        with pytest.raises(InputError, match=r"needs a text"):
            await LOOKED_UP[verb](app, HALF)


async def test_mark_and_time_of_another_type_are_refused(place: Place) -> None:
    """2.1: as neighbours do."""
    wrong: Any = "5"
    async with place.app(COUNT) as app:
        with pytest.raises(InputError, match="mark is not valid: the mark of a handle is needed"):
            app.run("run", mark=wrong)
        with pytest.raises(InputError, match="start_within is not valid: seconds or a timedelta are needed"):
            await app.record_run(COUNT, run_id="run", start_within=wrong)
    assert await place.row("run") is None
