"""Values that are too large for a server of Temporal lie in an object store, and runs go on as with small ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import DataConverter, PayloadCodec

from behaviour.bench import begin
from eventually import eventually
from outlast import ConfigurationError, Outlast, StepContext, StoreError, StoreUnavailableError, Workflow, step
from outlast.engines.temporal import DirectoryObjectStore, TemporalEngine, activities, with_object_store
from outlast.engines.temporal.apart import is_apart
from outlast.engines.temporal.carrying import Carrier
from temporal.place import Place

pytestmark = pytest.mark.slow

MEGABYTE = 1_000_000
TEN = 10 * MEGABYTE


@step
async def make(size: int) -> str:
    return "x" * size


@step
async def size_of(text: str) -> int:
    return len(text)


@step
async def lengths(texts: dict[str, str]) -> list[int]:
    return [len(each) for each in texts.values()]


@step
async def ask(text: str, ctx: StepContext) -> str:
    return ctx.resume_data if ctx.resumed else ctx.suspend({"size": len(text)})


class Shelf(DirectoryObjectStore):
    """Can be out of reach, and lose what is put there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path
        self.is_out = False
        self.refused = 0
        self.puts = 0
        self.loses: int | None = None

    async def put(self, key: str, value: bytes) -> None:
        self._check()
        self.puts += 1
        if self.puts != self.loses:
            await super().put(key, value)

    async def find(self, key: str) -> bytes | None:
        self._check()
        return await super().find(key)

    def _check(self) -> None:
        if self.is_out:
            self.refused += 1
            raise OSError("out of reach")

    def objects(self) -> list[Path]:
        return [each for each in self.path.rglob("*") if each.is_file()]


class Reversed(PayloadCodec):
    """Stands for a codec that encrypts: nothing of a value can be seen."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(metadata={"encoding": b"reversed"}, data=each.SerializeToString()[::-1]) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload.FromString(each.data[::-1]) if each.metadata["encoding"] == b"reversed" else each
            for each in payloads
        ]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "objects")


def app_of(place: Place, shelf: Shelf | None, *workflows: Any, **options: Any) -> Outlast:
    converter = options.pop("data_converter", None)
    engine = TemporalEngine(
        place.server.address,
        task_queue=place.name,
        prefix=f"{place.name}-",
        object_store=shelf,
        data_converter=converter,
    )
    return Outlast(workflows, engine=engine, lease=timedelta(seconds=15), **options)


async def test_step_that_returns_ten_megabytes(place: Place, shelf: Shelf) -> None:
    """9.7: recorded, handed on, recovered by another worker, and read by a process that is none."""
    workflow = Workflow("w", input=int).then(make).then(ask).commit()
    async with app_of(place, shelf, workflow) as app:
        run = await begin(app, workflow, TEN, run_id="run")
        first = await run.result(timeout=60)
    async with app_of(place, shelf, workflow, worker=False) as reader:
        assert len((await reader.run("run").snapshot()).steps["make"].output) == TEN
        async with app_of(place, shelf, workflow):  # it replays the run from its history
            last = await reader.run("run").resume("y" * 3 * MEGABYTE)

    assert first.suspend_payload == {"ask": {"size": TEN}}
    assert last.result == "y" * 3 * MEGABYTE
    assert await history_bytes(place, "run") < MEGABYTE
    assert sum(each.stat().st_size for each in shelf.objects()) > 2 * TEN


async def test_outage_costs_no_attempt(place: Place, shelf: Shelf) -> None:
    """9.6, 12.1: a step whose input cannot be fetched, or whose outcome cannot be left, waits and is not repeated."""
    calls: list[str] = []

    @step
    async def before(size: int) -> str:
        calls.append("before")
        shelf.is_out = True  # what it returns cannot be left
        return "x" * size

    @step
    async def after(text: str) -> int:
        calls.append("after")
        return len(text)

    workflow = Workflow("w", input=int).then(before).then(after).commit()
    async with app_of(place, shelf, workflow) as app:
        run = await begin(app, workflow, MEGABYTE)
        await eventually(lambda: shelf.refused >= 2, within=30)
        shelf.is_out = False
        result = await run.result(timeout=60)

    assert (result.result, calls) == (MEGABYTE, ["before", "after"])
    assert [each.attempts for each in result.steps.values()] == [1, 1]


async def test_input_that_cannot_be_fetched_is_asked_for_again(
    place: Place, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9.6: eight outages in a row are no crashes of the step, of which five would end the run."""
    silent = 8
    find = Carrier.fetch

    async def fetch(carrier: Carrier, value: Any) -> bytes:
        nonlocal silent
        if silent and is_apart(value.payload):
            silent -= 1
            raise StoreUnavailableError("out of reach")
        return await find(carrier, value)

    monkeypatch.setattr(Carrier, "fetch", fetch)
    monkeypatch.setattr(activities, "_UNKNOWN_AGAIN", timedelta(milliseconds=20))
    workflow = Workflow("w", input=str).then(size_of).commit()
    async with app_of(place, shelf, workflow) as app:
        result = await (await begin(app, workflow, "x" * MEGABYTE)).result(timeout=60)

    assert (result.result, silent, result.steps["size_of"].attempts) == (MEGABYTE, 0, 1)


async def test_input_that_is_lost_fails_its_step(place: Place, shelf: Shelf) -> None:
    """9.5: nothing waits for ever for what is not there."""
    shelf.loses = 2  # the first is what `make` returned, the second what `size_of` is given
    workflow = Workflow("w", input=int).then(make).then(size_of).commit()
    async with app_of(place, shelf, workflow) as app:
        result = await (await begin(app, workflow, MEGABYTE)).result(timeout=60)

    assert (result.status, result.error_path) == ("failed", "size_of")
    assert result.error is not None
    assert result.error.type == "StoreError"
    assert "removed before its run" in result.error.message


async def test_start_that_cannot_be_stored_starts_nothing(place: Place, shelf: Shelf) -> None:
    """3.1: what is not on disk was not started."""
    shelf.is_out = True
    workflow = Workflow("w", input=str).then(size_of).commit()
    async with app_of(place, shelf, workflow) as app:
        run = await app.create_run(workflow, run_id="run")
        with pytest.raises(StoreUnavailableError, match="the object store does not answer"):
            await run.start_async(input_data="x" * MEGABYTE)
        shelf.is_out = False

        assert await app.find_result(workflow, "run") is None
        assert (await run.start(input_data="x" * MEGABYTE)).result == MEGABYTE


async def test_maps_and_conditions_see_large_values(place: Place, shelf: Shelf) -> None:
    """5.6: what is asked beside the steps, and what is joined."""
    workflow = (
        Workflow("w", input=int, output=list[int])
        .parallel([make, make.clone(id="again")])
        .branch([(lambda ctx: len(ctx.input["make"]) > MEGABYTE, Workflow("inner").then(lengths).commit())])
        .map(lambda ctx: ctx.input["inner"], id="out")
        .commit()
    )
    async with app_of(place, shelf, workflow) as app:
        result = await (await begin(app, workflow, 3 * MEGABYTE)).result(timeout=60)

    assert result.result == [3 * MEGABYTE, 3 * MEGABYTE]


async def test_body_reads_large_results(place: Place, shelf: Shelf) -> None:
    """6: `get_step_result`, which asks the workflow."""

    @step
    async def look_back(text: Any, ctx: StepContext) -> int:
        return len(await ctx.get_step_result("make"))

    workflow = Workflow("w", input=int).then(make).then(size_of).then(look_back).commit()
    async with app_of(place, shelf, workflow) as app:
        result = await (await begin(app, workflow, 5 * MEGABYTE)).result(timeout=60)

    assert result.result == 5 * MEGABYTE


async def test_what_is_encrypted_is_stored_encrypted(place: Place, shelf: Shelf) -> None:
    workflow = Workflow("w", input=str).then(size_of).commit()
    converter = DataConverter(payload_codec=Reversed())
    async with app_of(place, shelf, workflow, data_converter=converter) as app:
        result = await (await begin(app, workflow, "abc" * MEGABYTE)).result(timeout=60)

    assert result.result == 3 * MEGABYTE
    assert shelf.objects()
    assert not any(b"abcabc" in each.read_bytes() for each in shelf.objects())


async def test_objects_are_deleted_with_their_run(place: Place, shelf: Shelf) -> None:
    """17: and those of other runs stay."""
    workflow = Workflow("w", input=str).then(size_of).commit()
    async with app_of(place, shelf, workflow) as app:
        for run_id in ("one", "two"):
            await (await begin(app, workflow, "x" * MEGABYTE, run_id=run_id)).result(timeout=60)
        assert len({each.parent for each in shelf.objects()}) == 2
        await app.run("one").delete()

        assert len({each.parent for each in shelf.objects()}) == 1
        assert (await app.run("two").result()).result == MEGABYTE


async def test_process_without_the_store_is_told_what_it_lacks(place: Place, shelf: Shelf) -> None:
    workflow = Workflow("w", input=str).then(size_of).commit()
    async with app_of(place, shelf, workflow) as app:
        await (await begin(app, workflow, "x" * MEGABYTE, run_id="run")).result(timeout=60)
    async with app_of(place, None, workflow, worker=False) as app:
        with pytest.raises(StoreError, match="object_store"):
            await app.run("run").result()


async def test_client_of_ones_own(place: Place, shelf: Shelf) -> None:
    client = await Client.connect(place.server.address, data_converter=with_object_store(shelf))
    engine = TemporalEngine(client, task_queue=place.name, prefix=f"{place.name}-")
    workflow = Workflow("w", input=str).then(size_of).commit()
    async with Outlast([workflow], engine=engine) as app:
        assert (await (await begin(app, workflow, "x" * MEGABYTE)).result(timeout=60)).result == MEGABYTE
    with pytest.raises(ConfigurationError, match="with_object_store"):
        TemporalEngine(client, object_store=shelf)


async def history_bytes(place: Place, run_id: str) -> int:
    client = await Client.connect(place.server.address)
    history = client.get_workflow_handle(f"{place.name}-{run_id}").fetch_history_events()
    return sum([event.ByteSize() async for event in history])


async def test_directory_keeps_objects(tmp_path: Path) -> None:
    store = DirectoryObjectStore(tmp_path / "objects")

    for _ in range(2):
        await store.put("aa/01", b"one")
    await store.put("aa/02", b"two")
    await store.put("bb/01", b"three")

    assert [await store.find(key) for key in ("aa/01", "aa/02", "aa/03")] == [b"one", b"two", None]
    await store.delete("aa")
    await store.delete("cc")
    assert [await store.find(key) for key in ("aa/01", "bb/01")] == [None, b"three"]
    assert len([each for each in tmp_path.rglob("*") if each.is_file()]) == 1


async def test_directory_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    """A disk that is not mounted has not lost what lies on it."""
    with pytest.raises(FileNotFoundError):
        await DirectoryObjectStore(tmp_path / "objects").find("aa/01")
