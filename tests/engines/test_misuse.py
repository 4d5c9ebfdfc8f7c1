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


def test_app_without_the_event_loop_of_asyncio_says_so() -> None:
    """2.1: trio and others drive coroutines, too, but not what an app awaits."""
    entering = Outlast([COUNT], store="memory").__aenter__()

    with pytest.raises(ConfigurationError, match=r"event loop of asyncio: asyncio.run\(main\(\)\)"):
        entering.send(None)
