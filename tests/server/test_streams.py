"""Watching runs over HTTP: framing, places to begin, ends, readers that are slow or gone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from eventually import eventually
from outlast import StepContext, Workflow, step
from outlast.server import ServerOptions, Token, create_app
from server.site import APPROVAL, GREET, Site, site


@step
async def chatty(number: int, ctx: StepContext) -> int:
    for n in range(number):
        ctx.write({"n": n, "padding": "x" * 1000})
        if n % 50 == 0:
            await asyncio.sleep(0)  # noqa: TID251 - lets what was written get to disk
    return number


CHATTY = Workflow("chatty", input=int, output=int).then(chatty).commit()


def records(text: str) -> list[dict[str, Any]]:
    parts = text.split("\x1e")
    assert parts[-1] == "", "each record is ended, the last one too"
    return [json.loads(part) for part in parts[:-1]]


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


async def streamed(s: Site, path: str, body: object = None, **options: Any) -> list[dict[str, Any]]:
    response = await s.post(path, body, **options)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain")
    return records(response.text)


async def test_stream_shows_a_run_from_start_to_finish():
    async with site() as s:
        events = await streamed(s, "/workflows/greet/stream?runId=r", {"inputData": "ada"})

    assert types(events) == ["workflow-start", "workflow-step-start", "workflow-step-result", "workflow-finish"]
    assert {(event["runId"], event["from"]) for event in events} == {("r", "WORKFLOW")}
    assert events[-1]["payload"]["finalWorkflowResult"] == "hello ada"


async def test_observe_shows_all_of_a_run_that_rested_on_the_way_each_event_once():
    async with site() as s:
        first = await streamed(s, "/workflows/approval/stream?runId=r", {"inputData": "ada"})
        second = await streamed(s, "/workflows/approval/resume-stream?runId=r", {"resumeData": True})
        whole = await streamed(s, "/workflows/approval/observe?runId=r")
        rest = await streamed(s, "/workflows/approval/observe?runId=r&offset=3")

    assert whole == first + second
    assert rest == whole[3:]
    assert len({event["seq"] for event in whole}) == len(whole)


async def test_observe_ends_at_once_if_the_run_rests_and_the_reader_knows_all():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        events = await streamed(s, f"/workflows/approval/observe?runId={run_id}")
        path = f"/workflows/approval/observe?runId={run_id}"
        nothing = await streamed(s, path, headers={"last-event-id": str(events[-1]["seq"])})

    assert nothing == []


async def test_server_sent_events_go_on_after_the_last_id():
    async with site() as s:
        events = await streamed(s, "/workflows/greet/stream?runId=r", {"inputData": "ada"})
        headers = {"accept": "text/event-stream", "last-event-id": str(events[1]["seq"])}
        response = await s.post("/workflows/greet/observe?runId=r", headers=headers)

    blocks = response.text.split("\n\n")[:-1]
    lines = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert [int(each["id"]) for each in lines] == [event["seq"] for event in events[2:]]
    assert [each["event"] for each in lines] == ["workflow-step-result", "workflow-finish"]
    assert json.loads(lines[-1]["data"]) == events[-1]


async def test_stream_of_a_run_that_has_ended_is_a_conflict():
    async with site() as s:
        run_id = (await s.started(GREET))["runId"]
        response = await s.post(f"/workflows/greet/stream?runId={run_id}", {"inputData": "ada"})

    assert (response.status_code, response.json()["code"]) == (409, "run-state")


async def test_bad_input_is_refused_before_a_stream_begins():
    async with site() as s:
        response = await s.post("/workflows/greet/stream?runId=r", {"inputData": 3})

        assert (response.status_code, response.json()["code"]) == (400, "input")
        assert (await s.app.list_runs()).total == 0


async def test_events_in_our_own_form_begin_after_any_of_them():
    async with site() as s:
        run_id = (await s.started(APPROVAL))["runId"]
        all_events = records((await s.get(f"/runs/{run_id}/events?wait=false")).text)
        later = records((await s.get(f"/runs/{run_id}/events?after={all_events[2]['seq']}")).text)

    assert later == all_events[3:]
    assert all_events[-1]["payload"]["workflow_status"] == "suspended"
    assert all_events[0]["from"] == "workflow"


async def test_unknown_run_is_not_watched():
    async with site() as s:
        answers = [await s.post("/workflows/greet/observe?runId=nope"), await s.get("/runs/nope/events")]

    assert [each.status_code for each in answers] == [404, 404]


class Reader:
    """One reader of a stream, below HTTP clients: it takes what is sent when it likes, and may go away."""

    def __init__(self, app: Any, path: str) -> None:
        self.sent: list[bytes] = []
        self.takes = asyncio.Semaphore(0)
        self.gone = asyncio.Event()
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/api{path}",
            "raw_path": f"/api{path}".encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "http_version": "1.1",
        }
        self.answering = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.takes.acquire()
        self.sent.append(message.get("body", b""))


async def test_slow_reader_does_not_slow_the_run_and_holds_no_more_than_a_page():
    """14, 19: events are read from the journal as fast as the reader takes them."""
    async with site(CHATTY) as s:
        app = create_app(s.app)
        run = await (await s.app.create_run(CHATTY, run_id="r")).start_async(input_data=2_000)
        reader = Reader(app, "/runs/r/events")
        for _ in range(3):
            reader.takes.release()

        result = await run.result()

        assert result.unwrap() == 2_000
        assert len(reader.sent) <= 3
        for _ in range(3_000):
            reader.takes.release()
        await reader.answering
        assert b"".join(reader.sent).count(b'"workflow-step-output"') == 2_000


async def test_reader_that_goes_away_leaves_nothing_behind():
    async with site(worker=False) as s:
        await s.post("/workflows/greet/start?runId=r&create=true", {"inputData": "ada"})
        app = create_app(s.app)
        reader = Reader(app, "/runs/r/events")
        for _ in range(99):
            reader.takes.release()
        await eventually(lambda: app.state.service.streams.open == 1)
        reader.gone.set()
        await reader.answering

        assert app.state.service.streams.open == 0


async def test_streams_end_cleanly_when_the_server_stops():
    async with site(worker=False) as s:
        await s.post("/workflows/greet/start?runId=r&create=true", {"inputData": "ada"})
        app = create_app(s.app)
        readers = [Reader(app, "/runs/r/events"), Reader(app, "/runs/r/result?wait=60")]
        for reader in readers:
            for _ in range(99):
                reader.takes.release()
        await eventually(lambda: app.state.service.streams.open == 1)
        app.state.service.stopping.set()
        await asyncio.gather(*(reader.answering for reader in readers))

        assert b'"isAtRest":false' in readers[1].sent[-1] + readers[1].sent[-2]


async def test_streams_are_bounded():
    async with site(worker=False) as s:
        await s.post("/workflows/greet/start?runId=r&create=true", {"inputData": "ada"})
        app = create_app(s.app, options=ServerOptions(max_streams=1))
        readers = [Reader(app, "/runs/r/events") for _ in range(2)]
        for reader in readers:
            for _ in range(99):
                reader.takes.release()
        await readers[1].answering
        readers[0].gone.set()
        await readers[0].answering

        assert b"too-many-streams" in b"".join(readers[1].sent) + b"".join(readers[0].sent)


async def test_stream_that_is_refused_has_started_and_resumed_nothing():
    """What is answered with 503 is sent again: it must not have happened the first time."""
    async with site(options=ServerOptions(max_streams=1)) as s:
        run_id = (await s.started(APPROVAL))["runId"]
        verbs = {
            "/workflows/greet/stream?runId=new": {"inputData": "ada"},
            f"/workflows/approval/resume-stream?runId={run_id}": {"resumeData": True},
            f"/workflows/approval/time-travel-stream?runId={run_id}": {"step": "greet"},
        }
        with s.service.streams.place() as place:
            refused = [await s.post(path, body) for path, body in verbs.items()]
            place.give_back()
        begun = await s.app.engine.summarize_run("new")
        history = await s.app.engine.load_history(run_id)
        taken = await s.post("/workflows/greet/stream?runId=new", {"inputData": "ada"})

        assert [(each.status_code, each.json()["code"]) for each in refused] == [(503, "too-many-streams")] * 3
        assert begun is None
        assert history is not None
        assert (history.status, history.execution) == ("suspended", 0)
        assert taken.status_code == 200


async def test_stream_whose_start_is_refused_leaves_its_place():
    async with site(options=ServerOptions(max_streams=1)) as s:
        refused = await s.post("/workflows/greet/stream?runId=r", {"inputData": 3})
        taken = await s.post("/workflows/greet/stream?runId=r", {"inputData": "ada"})

        assert (refused.status_code, taken.status_code) == (400, 200)
        assert s.service.streams.open == 0


@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_many_observers_of_one_run_get_all_of_it(count: int):
    """1,000 clients observing one run."""
    go = asyncio.Event()

    @step
    async def wait(x: int) -> int:
        await go.wait()
        return x

    workflow = Workflow("wait", input=int).then(wait).commit()
    async with site(workflow) as s:
        await (await s.app.create_run(workflow, run_id="r")).start_async(input_data=1)
        app = create_app(s.app)
        readers = [Reader(app, "/runs/r/events") for _ in range(count)]
        for reader in readers:
            for _ in range(10):
                reader.takes.release()
        await eventually(lambda: app.state.service.streams.open == count)
        go.set()
        await asyncio.gather(*(reader.answering for reader in readers))

    bodies = {b"".join(reader.sent) for reader in readers}
    assert len(bodies) == 1
    assert types(records(bodies.pop().decode()))[-1] == "workflow-finish"


@pytest.mark.parametrize("accept", ["text/plain", "text/event-stream"])
async def test_tracebacks_in_streams_are_shown_to_admins_only(accept: str):
    """A stream tells readers no more of the code than a result does."""

    @step
    async def fail(_: str) -> str:
        raise RuntimeError("no such luck") from KeyError("why")

    workflow = Workflow("fails", input=str, output=str).then(fail).commit()
    secrets = {scope: f"secret-of-{scope}-0123456789" for scope in ("admin", "run")}
    tokens = [Token.of(secret, name=scope, scope=scope) for scope, secret in secrets.items()]
    async with site(workflow, tokens=tokens) as s:
        shown: dict[str, list[str]] = {"admin": [], "run": []}
        for scope, texts in shown.items():
            headers = {"authorization": f"Bearer {secrets[scope]}", "accept": accept}
            started = await s.post("/workflows/fails/stream", {"inputData": "x"}, headers=headers)
            run_id = (await s.app.list_runs()).runs[0].run_id
            observed = await s.post(f"/workflows/fails/observe?runId={run_id}", headers=headers)
            plain = await s.get(f"/runs/{run_id}/events", headers=headers)
            texts += [started.text, observed.text, plain.text]

    assert all("no such luck" in text and "Traceback" in text for text in shown["admin"])
    assert all("no such luck" in text and "Traceback" not in text for text in shown["run"])
