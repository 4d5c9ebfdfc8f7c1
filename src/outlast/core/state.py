"""The state of a run: a tree of frames that mirrors the part of the graph that is alive, and the open commands.

Everything here is a fold of the journal. Frames come and go with the nodes they stand for, so the size of the state is
that of the work in flight, not of the history. Only the core changes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, TypeVar

from outlast.core.commands import AwaitDeadline, AwaitResume, AwaitStep, Cause, Command, Sleep, StartTimer
from outlast.core.frames import Frame, Parent, ScopeFrame
from outlast.core.ref import Ref
from outlast.core.seed import Seed
from outlast.core.status import RunStatus
from outlast.graph.nodes import Graph
from outlast.values import JsonValue

__all__ = ["JournalMismatchError", "RunState"]

CommandT = TypeVar("CommandT", bound=Command)


class JournalMismatchError(Exception):
    """A recorded event cannot be folded onto this graph: the journal and the graph do not belong together."""


class RunState:
    """All that is known of a run, as the fold of its journal."""

    __slots__ = (
        "_awaits",
        "_deadlines",
        "_pauses",
        "_timers",
        "abandoned",
        "agenda",
        "crashes",
        "data",
        "ending",
        "execution",
        "finished",
        "frames",
        "graph",
        "has_told_start",
        "is_canceling",
        "is_stepping",
        "issued",
        "last_at_ms",
        "last_seq",
        "open",
        "result",
        "root",
        "seed",
        "to_begin_since",
    )

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        """The graph that it runs on."""
        self.last_seq = 0
        """`seq` of the last event applied."""
        self.last_at_ms = 0
        """Time of the last event applied: the only clock that the core knows."""
        self.root: ScopeFrame | None = None
        """The workflow's own frame; None before `RunStarted`."""
        self.frames: dict[str, Frame] = {}
        """Live frames by path."""
        self.open: dict[str, Command] = {}
        """Commands given whose answer is not recorded, in the order given, by path."""
        self.issued: list[Command] = []
        """Commands that `decide` has issued and not returned yet."""
        self.abandoned: list[str] = []
        """Paths that the latest `decide` gave up because a block around them ended without them."""
        self.agenda: deque[Frame] = deque()
        """Frames that an applied event moved and `decide` has not looked at."""
        self.to_begin_since = 0
        """`seq` of the start of a run that a worker has to begin in time; 0 if it has begun, or may begin whenever."""
        self.is_canceling = False
        """Whether nothing new may start because the run is to end: `canceled`, or `failed` if there is an `ending`."""
        self.ending: Cause | None = None
        """With `is_canceling`: why it ends `failed` instead of `canceled`."""
        self.has_told_start = False
        """Whether the hook `on_start` has returned, in this execution or an earlier one."""
        self.crashes = 0
        """How often a process ended by itself while it called a body of this run."""
        self.data: Mapping[str, JsonValue] = {}
        """The author's state of the run; replaced, never changed, so that whoever holds it keeps a snapshot."""
        self.finished: RunStatus | None = None
        """How the run ended; None while it has not."""
        self.result: Ref | None = None
        """The run's result, if it ended well."""
        self.is_stepping = False
        """Whether the run pauses after each node of the workflow."""
        self.execution = 0
        """Which execution of the run this is."""
        self.seed: Seed | None = None
        """What this execution began with; None for one that began at the start."""
        self._timers = 0
        self._awaits = 0
        self._pauses = 0
        self._deadlines = 0

    def status(self) -> RunStatus:
        """Say what the run is doing: the one table of rule 4.

        A terminal status; else `running` if anything is in flight or may start; else `waiting` if a timer is open; else
        `suspended` if anything waits to be resumed; else `paused`.
        """
        if self.finished is not None:
            return self.finished
        if self.root is None:
            return RunStatus.PENDING
        idle = self._timers + self._awaits + self._pauses
        if not idle or idle + self._deadlines < len(self.open):
            return RunStatus.RUNNING
        if self._timers:
            return RunStatus.WAITING
        return RunStatus.SUSPENDED if self._awaits else RunStatus.PAUSED

    def next_due(self) -> int | None:
        """Return the earliest due time of the open timers and suspensions, in milliseconds; None if there is none."""
        if not self._timers and not self._awaits and not self._deadlines:
            return None
        dues = (
            command.due_at_ms
            for command in self.open.values()
            if isinstance(command, StartTimer | Sleep | AwaitResume | AwaitDeadline) and command.due_at_ms is not None
        )
        return min(dues, default=None)

    def suspensions(self) -> list[AwaitResume]:
        """Return the open suspensions, in the order in which they began."""
        return [command for command in self.open.values() if isinstance(command, AwaitResume)]

    def forget_execution(self) -> None:
        """Let go of everything that belongs to the execution that was the latest, except the root and its input."""
        self.frames.clear()
        self.agenda.clear()
        self.issued.clear()
        self.open.clear()
        self._timers = self._awaits = self._pauses = self._deadlines = 0
        self.is_canceling = False
        self.ending = self.finished = self.result = None
        self.crashes = 0

    def issue(self, command: Command) -> None:
        """Open a command; `decide` returns it."""
        if type(command) in _COUNTERS:
            self._count(command, 1)
        self.open[command.path] = command
        self.issued.append(command)

    def close(self, path: str, *kinds: type[CommandT]) -> CommandT:
        """Take back the open command of a path because its answer is applied.

        Args:
            path: Whose answer it is.
            kinds: The commands that such an answer can be to.

        Raises:
            JournalMismatchError: None of them is open; the journal belongs to another graph.
        """
        command = self.open.get(path)
        if not isinstance(command, kinds):
            subject = f"'{path}'" if path else "the run"
            message = f"an outcome of {subject} is recorded, which this graph does not wait for now"
            raise JournalMismatchError(message)
        self.drop(path)
        return command

    def drop(self, path: str) -> None:
        """Take back the open command of a path, if there is one, because nobody waits for its answer any more."""
        command = self.open.pop(path, None)
        if command is not None and type(command) in _COUNTERS:
            self._count(command, -1)

    def frame(self, path: str) -> Frame:
        """Return the live frame of a path.

        Raises:
            JournalMismatchError: There is none; the journal belongs to another graph.
        """
        frame = self.frames.get(path)
        if frame is None:
            message = f"an event of '{path}' is recorded, which this graph would not be running now"
            raise JournalMismatchError(message)
        return frame

    def scope_of(self, path: str) -> ScopeFrame:
        """Return the workflow in which the node of a live path stands.

        Raises:
            JournalMismatchError: The path is not live.
        """
        parent: Parent | None = self.frame(path).parent
        while parent is not None and not isinstance(parent, ScopeFrame):
            parent = parent.parent
        if parent is None:
            message = f"'{path}' stands in no workflow"
            raise JournalMismatchError(message)
        return parent

    def succeed(self, frame: Frame, output: Ref, *, is_bail: bool = False) -> None:
        """Note that a node ended with an output."""
        frame.output = output
        frame.is_bail = is_bail
        self._end(frame)

    def fail(self, frame: Frame, cause: Cause) -> None:
        """Note that a node failed for good."""
        frame.cause = cause
        self._end(frame)

    def _end(self, frame: Frame) -> None:
        frame.ended_seq = self.last_seq
        del self.frames[frame.path]
        self.agenda.append(frame)

    def _count(self, command: Command, step: int) -> None:
        counter = _COUNTERS[type(command)]
        setattr(self, counter, getattr(self, counter) + step)


_COUNTERS: Final[Mapping[type[Command], str]] = {
    StartTimer: "_timers",
    Sleep: "_timers",
    AwaitResume: "_awaits",
    AwaitDeadline: "_deadlines",
    AwaitStep: "_pauses",
}
"""Which commands the status counts, and where."""
