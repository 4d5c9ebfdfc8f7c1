"""A process that tests can kill: it opens an app and does what it is told, line by line.

Run as a script it is a nursery: it imports everything once, and for each pair of descriptors that it is handed (a
channel and a file for stderr) it forks a child, before any app is opened. A child reads commands as JSON lines from its
channel and reports events the same way; it ends when the channel closes. See `processes.py` for the other side.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash.reference import ALL, COPY, REPAIRED, STEPPED, TEN_STEPS, add_one, double, leave_effect
from outlast import Outlast, RunResult, StepContext, Workflow, step
from outlast.errors import OutlastError
from outlast.storage.sqlite import SqliteStore

Command = dict[str, Any]

tell: Callable[..., None] = print
"""Set in each child: reports one event to the test."""
_gates: dict[str, threading.Event] = {}


def gate(name: str) -> threading.Event:
    return _gates.setdefault(name, threading.Event())


def _began(ctx: StepContext) -> None:
    leave_effect(ctx, ctx.attempt)
    tell("body", run_id=ctx.run_id, path=ctx.path, attempt=ctx.attempt, recovered=ctx.recovered)


@step
async def wait_async(x: int, ctx: StepContext) -> int:
    """Wait for the command `open_gate`, on the loop."""
    _began(ctx)
    try:
        while not gate("async").is_set():  # noqa: ASYNC110 - threads open gates too
            await asyncio.sleep(0.002)  # noqa: TID251 - a body that takes its time
    except asyncio.CancelledError:
        tell("canceled", run_id=ctx.run_id, path=ctx.path)
        raise
    return x + 1


@step
def wait_in_thread(x: int, ctx: StepContext) -> int:
    """Wait for the command `open_gate`, in a thread."""
    _began(ctx)
    gate("thread").wait()
    return x + 1


@step
async def wait_for_flag(x: int, ctx: StepContext) -> int:
    """Wait until somebody cancels the run, and tell that it was seen."""
    _began(ctx)
    await ctx.canceled
    tell("flag", run_id=ctx.run_id)
    return x + 1


@step
async def settle(x: int, ctx: StepContext) -> int:
    _began(ctx)
    return x + 1


@step
async def kill_process(x: int, ctx: StepContext) -> int:
    """End the process, as a segmentation fault or the kernel would that is out of memory."""
    _began(ctx)
    os.kill(os.getpid(), signal.SIGKILL)
    return x


CHUNKS = 40


@step
async def chatter(x: int, ctx: StepContext) -> int:
    """Say something again and again, with pauses in which the process may die."""
    for number in range(CHUNKS):
        await ctx.write(number)
        await asyncio.sleep(0.002)  # noqa: TID251 - a body that takes its time
    return x


CHATTER = Workflow("chatter", input=list[int]).foreach(chatter, concurrency=3).commit()
HELD = Workflow("held", input=int, output=int).then(wait_async).then(settle).commit()
HELD_IN_THREAD = Workflow("held_in_thread", input=int, output=int).then(wait_in_thread).then(settle).commit()
FLAGGED = Workflow("flagged", input=int, output=int).then(wait_for_flag).then(settle).commit()
ASLEEP = Workflow("asleep", input=int, output=int).sleep(3600).then(settle).commit()
ASKS = Workflow("asks", input=int).wait_for("answer").commit()
POISON = Workflow("poison", input=int, output=int).then(kill_process).commit()
RARELY = Workflow("rarely", input=int, output=int, max_recoveries=1).then(POISON).commit()
PAIR = Workflow("pair", input=int, output=int).then(add_one).then(double).commit()


@step
async def start_pair(x: int, ctx: StepContext) -> str:
    """Start a run, and end the process the first time."""
    _began(ctx)
    started = await ctx.start_async(PAIR, input_data=x, request_context=dict(ctx.request_context))
    if not ctx.recovered:
        os.kill(os.getpid(), signal.SIGKILL)
    return started.run_id


def be_told(result: RunResult[int]) -> None:
    """Note it in the effects file, which the state names, and wait for the command `open_gate`."""
    assert result.state is not None
    descriptor = os.open(str(result.state["effects"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.write(descriptor, f"{result.run_id} told 0\n".encode())
    os.close(descriptor)
    tell("told", run_id=result.run_id)
    gate("hook").wait()


def kill_in_hook(value: object) -> None:
    tell("hook")
    os.kill(os.getpid(), signal.SIGKILL)


DEADLY_START = Workflow("deadly_start", input=int, output=int, on_start=kill_in_hook).then(add_one).commit()
DEADLY_END = Workflow("deadly_end", input=int, output=int, on_finish=kill_in_hook).then(add_one).commit()
STARTER = Workflow("starter", input=int, output=str).then(start_pair).commit()
TOLD = Workflow("told", input=int, output=int, on_finish=be_told).then(add_one).commit()
WORKFLOWS = {
    each.id: each
    for each in (
        CHATTER,
        HELD,
        HELD_IN_THREAD,
        FLAGGED,
        ASLEEP,
        ASKS,
        POISON,
        RARELY,
        PAIR,
        DEADLY_START,
        DEADLY_END,
        STARTER,
        TOLD,
        REPAIRED,
        STEPPED,
        TEN_STEPS.workflow,
        *(known.workflow for known in ALL),
    )
}


class Child:
    """One process: an app, and the commands of a test."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._channel.settimeout(30)  # the reader makes the descriptor non-blocking for both
        self._lock = threading.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    def tell(self, event: str, **details: object) -> None:
        line = json.dumps({"event": event, **details}).encode() + b"\n"
        with self._lock, suppress(BrokenPipeError):
            self._channel.sendall(line)

    async def main(self) -> None:
        global tell  # noqa: PLW0603 - step bodies are plain functions and report too
        tell = self.tell
        reader, writer = await asyncio.open_connection(sock=self._channel.dup())
        try:
            await self._live(reader, json.loads(await reader.readline()))
        finally:
            writer.close()

    async def _live(self, reader: asyncio.StreamReader, options: Command) -> None:
        path, durability = options.pop("path"), options.pop("durability", "normal")
        for name in ("drain", "lease"):
            if name in options:
                options[name] = timedelta(seconds=options[name])
        store = SqliteStore(path, durability=durability, allow_network_filesystem=True)
        async with Outlast(list(WORKFLOWS.values()), store=store, **options) as app:
            self.tell("open", pid=os.getpid())
            listening = asyncio.create_task(self._listen(app, reader))
            await self._closing.wait()
            self.tell("closing")
        self.tell("closed")
        await listening

    async def _listen(self, app: Outlast, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            command: Command = json.loads(line)
            if command["do"] == "close":
                self._closing.set()
                continue
            task = asyncio.create_task(self._obey(app, command))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        os._exit(0)  # the test is gone

    async def _obey(self, app: Outlast, command: Command) -> None:
        verb = command.pop("do")
        deeds: dict[str, Callable[..., Coroutine[Any, Any, None] | None]] = {
            "start": self._start,
            "start_all": self._start_all,
            "result": self._result,
            "cancel": self._cancel,
            "open_gate": lambda _, **options: self._open_gate(options),
            "fork": self._fork,
            "repair": self._repair,
        }
        try:
            doing = deeds[verb](app, **command)
            if doing is not None:
                await doing
        except (OutlastError, TimeoutError) as error:
            self.tell("error", verb=verb, type=type(error).__name__, message=str(error), **_named(command))

    async def _start(
        self, app: Outlast, *, workflow: str, run_id: str, input: Any, effects: str, per_step: bool = False
    ) -> None:
        run = await app.create_run(WORKFLOWS[workflow], run_id=run_id)
        await run.start_async(
            input_data=input,
            request_context={"effects": effects},
            initial_state={"effects": effects},
            per_step=per_step,
        )
        self.tell("started", run_id=run_id)

    async def _start_all(self, app: Outlast, *, workflow: str, run_ids: list[str], input: Any, effects: str) -> None:
        starts = (
            self._start(app, workflow=workflow, run_id=run_id, input=input, effects=effects) for run_id in run_ids
        )
        await asyncio.gather(*starts)
        self.tell("started_all")

    async def _result(
        self,
        app: Outlast,
        *,
        run_id: str,
        timeout: float = 20.0,  # noqa: ASYNC109
        until: Literal["rest", "end"] = "rest",
    ) -> None:
        result = await app.run(run_id).result(timeout=timeout, until=until)
        self.tell("result", run_id=run_id, status=result.status, result=result.result)

    async def _repair(self, app: Outlast, *, run_id: str, way: str) -> None:
        """Let a run that rests go on in one of the ways there are; the target is where it failed."""
        run, target = app.run(run_id), "child.fail_at_first"
        ways: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "restart": run.restart_async,
            "time_travel": lambda: run.time_travel_async(target),
            "fork": lambda: run.fork_async(target, run_id=f"{COPY}-{run_id}"),
            "step": run.step_async,
        }
        await ways[way]()
        self.tell("repaired", run_id=run_id)

    async def _cancel(self, app: Outlast, *, run_id: str) -> None:
        self.tell("canceled_run", run_id=run_id, outcome=await app.run(run_id).cancel())

    def _open_gate(self, options: Command) -> None:
        gate(options["name"]).set()

    def _fork(self, app: Outlast) -> None:
        """Use the app in a forked child and tell what came of it."""
        report, answer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # this process has threads: that is the point
            child = os.fork()
        if child == 0:
            os.close(report)
            os.write(answer, json.dumps(_errors_in_child(app)).encode())
            os._exit(0)
        os.close(answer)
        with os.fdopen(report) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        self.tell("forked", errors=json.loads(text))


def _named(command: Command) -> Command:
    return {"run_id": command["run_id"]} if "run_id" in command else {}


def _errors_in_child(app: Outlast) -> dict[str, str]:
    """Say which error each way of using the parent's app raises. Coroutines are driven by hand: no loop runs here."""
    handle = Outlast.run
    ways: dict[str, Callable[[], Any]] = {
        "create_run": lambda: app.create_run(PAIR).send(None),
        "workflow.create_run": lambda: PAIR.create_run().send(None),
        "run": lambda: handle(app, "x"),
        "find_result": lambda: app.find_result(PAIR, "x").send(None),
        "workflow.get_result": lambda: PAIR.get_workflow_run_execution_result("x").send(None),
    }
    errors: dict[str, str] = {}
    for name, use in ways.items():
        try:
            use()
            errors[name] = "nothing"
        except BaseException as error:  # noqa: BLE001 - the test judges
            errors[name] = type(error).__name__
    return errors


def serve(control: socket.socket) -> None:
    """Fork a child for each pair of descriptors, until the test closes its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not data:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            _be_child(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _be_child(channel: int, errors: int) -> None:
    os.dup2(errors, 2)
    faulthandler.register(signal.SIGUSR1)  # for whoever looks at a process that hangs
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", force=True)
    logging.captureWarnings(capture=True)

    async def main() -> None:
        await Child(socket.socket(fileno=channel)).main()

    status = 1
    try:
        asyncio.run(main())
        status = 0
    except BaseException:
        logging.getLogger("worker_process").exception("the process failed")
    finally:
        os._exit(status)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as nursery:
        serve(nursery)
