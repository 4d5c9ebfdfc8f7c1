from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from cli.terminal import Terminal
from outlast import Outlast, StepContext, Workflow, step
from outlast.cli.exits import Exit
from outlast.cli.progress import Progress

APP, FILE = ("--app", "shop:app"), ("--store", "shop.db")


def without_times(text: str) -> list[str]:
    return [re.sub(r"^[\d:.]{12}  ", "", line) for line in text.splitlines()]


def test_watch_tells_each_event_on_a_line_where_no_terminal_is(terminal: Terminal):
    terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 4}', "--work", *APP)

    answer = terminal.type("run", "watch", "o1", *FILE)

    assert answer.exit == Exit.DONE
    assert without_times(answer.out) == [
        "start  order",
        "step-start  price",
        "step-result  price  success  10.0",
        "step-start  pack",
        'step-result  pack  success  "box of 10.0"',
        'finish  success  "box of 10.0"',
        'result  "box of 10.0"',
    ]


def test_watch_gives_programs_an_object_for_each_event(terminal: Terminal):
    terminal.type("run", "start", "order", "--id", "o1", "-i", '{"n": 400}', "--work", *APP)

    answer = terminal.type("run", "watch", "o1", "--json", *FILE)
    events = [json.loads(line) for line in answer.out.splitlines()]
    rest = terminal.type("run", "watch", "o1", "--after", str(events[2]["seq"]), "--json", *FILE)

    assert (answer.exit, events[0]["type"], events[-1]["type"]) == (Exit.FAILED, "workflow-start", "workflow-finish")
    assert [json.loads(line) for line in rest.out.splitlines()] == events[3:]


def test_watch_goes_past_rests_that_are_history(terminal: Terminal):
    terminal.type("run", "start", "approval", "--id", "a1", "-i", '"a"', "--work", *APP)
    suspended = terminal.type("run", "watch", "a1", *FILE)
    terminal.type("run", "resume", "a1", "--data", "7", *APP)
    terminal.type("worker", "shop", "--until-idle", "--log-level", "error")

    ended = terminal.type("run", "watch", "a1", *FILE)

    assert (suspended.exit, ended.exit) == (Exit.SUSPENDED, Exit.DONE)
    assert 'waits at  ok  {"question": "?"}\n' in suspended.out
    assert ended.out.startswith(suspended.out.partition("waits at")[0])
    assert ended.out.endswith("result  7\n")


def test_start_with_watch_shows_the_run_that_it_started(terminal: Terminal):
    answer = terminal.type("run", "start", "order", "-i", '{"n": 400}', "--work", "--watch", *APP)

    assert answer.exit == Exit.FAILED
    assert "step-waiting  pack  ValueError: too [red]heavy[/red]\\x1b[2J; next attempt" in answer.out


def test_watching_for_too_long_leaves_the_run_and_says_so(terminal: Terminal):
    words = ("order", "--id", "o1", "-i", '{"n": 1}', "--watch", "--timeout", "10ms")
    answer = terminal.type("run", "start", *words, *APP)

    assert answer.exit == Exit.NOT_ENDED
    assert "error: run o1 did not come to rest within 10ms; it goes on\n" in answer.err
    assert terminal.type("run", "show", "o1", "--json", *FILE).json["status"] == "pending"


@pytest.mark.slow
def test_watching_a_live_run_follows_it_to_its_end(terminal: Terminal):
    terminal.type("run", "start", "slow", "--id", "s1", "-i", '"s1"', *APP)
    with (
        terminal.spawn("run", "watch", "s1", *FILE) as watching,
        terminal.spawn("worker", "shop", "--log-level", "error") as worker,
    ):
        assert watching.stdout is not None
        assert [watching.stdout.readline()[14:] for _ in range(2)] == [
            "start  slow\n",
            "step-start  hold\n",
        ]
        Path(terminal.directory / "s1.go").touch()
        out, err = watching.communicate(timeout=50)
        worker.terminate()
        worker.communicate(timeout=50)

    assert (watching.returncode, err, without_times(out)[-1]) == (Exit.DONE, "", 'result  "s1"')


@step
async def count(items: int, ctx: StepContext) -> int:
    ctx.progress(2, items, "half")
    return items


@step
async def fail(items: int) -> int:
    raise ValueError("no")


async def test_table_shows_steps_with_what_they_say_and_fits_the_terminal():
    workflow = Workflow("flow", input=int, output=int).then(count).then(fail).commit()
    progress = Progress("r1")
    async with Outlast([workflow], store="memory") as app:
        run = await app.create_run(workflow, run_id="r1")
        await run.start(input_data=4)
        async for event in app.run("r1").events():
            progress.read(event)
            if event.type == "workflow-step-progress":
                break
        shown = draw(progress, height=24)
        async for later in app.run("r1").events(after=event.seq):
            progress.read(later)

    assert shown == [
        "run r1 running",
        "STEP STATUS TRIES TOOK DETAIL",
        "count running 1 0ms 2 of 4 half",
    ]
    assert draw(progress, height=24)[2:] == [
        "count success 1 0ms 4",
        "fail failed 1 0ms ValueError: no",
    ]


async def test_table_drops_what_has_ended_first():
    each = Workflow("each", input=list[int], output=list[int]).foreach(count).commit()
    progress = Progress("r1")
    async with Outlast([each], store="memory") as app:
        await (await app.create_run(each, run_id="r1")).start(input_data=list(range(100)))
        async for event in app.run("r1").events():
            progress.read(event)

    lines = draw(progress, height=20)

    assert len(lines) <= 20


def draw(progress: Progress, *, height: int) -> list[str]:
    console = Console(width=80, file=open("/dev/null", "w"), highlight=False)  # noqa: PTH123, SIM115
    with console.capture() as capture:
        console.print(progress.draw(height))
    console.file.close()
    lines = capture.get().splitlines()
    assert all(len(line) <= 80 for line in lines)
    return [re.sub(r" +", " ", re.sub(r"\d+ms|\d\.\ds", "0ms", line)).rstrip() for line in lines]


@pytest.mark.parametrize("verb", ["watch", "restart", "delete"])
def test_unknown_run_is_not_found(terminal: Terminal, verb: str):
    terminal.type("run", "start", "order", "-i", '{"n": 1}', *APP)

    assert terminal.type("run", verb, "nope", *FILE).exit == Exit.NOT_FOUND
