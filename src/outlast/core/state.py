"""The state of a run: a tree of frames that mirrors the part of the graph that is alive, and the open commands.

Everything here is a fold of the journal. Frames come and go with the nodes they stand for, so the size of the state is
that of the work in flight, not of the history. Only the core changes it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from outlast.core.commands import Cause, Command, StartTimer
from outlast.core.ref import Ref
from outlast.core.status import RunStatus
from outlast.graph.nodes import ForeachNode, Graph, MapNode, ParallelNode, StepNode, WorkflowNode

__all__ = ["ForeachFrame", "Frame", "JournalMismatchError", "LeafFrame", "ParallelFrame", "RunState", "ScopeFrame"]


class JournalMismatchError(Exception):
    """A recorded event cannot be folded onto this graph: the journal and the graph do not belong together."""


@dataclass(slots=True, kw_only=True, eq=False)
class LeafFrame:
    """A step or map that has not ended."""

    node: StepNode | MapNode
    path: str
    parent: Parent
    slot: int
    input: Ref
    attempt: int = 0
    """The attempt that runs, or comes next."""
    due_at_ms: int | None = None
    """When that attempt may begin; None for at once."""
    output: Ref | None = None
    cause: Cause | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class ScopeFrame:
    """A workflow that has not ended: the root, or one used as a step. Names are looked up in the nearest one."""

    node: WorkflowNode
    path: str
    parent: Parent | None
    slot: int
    input: Ref
    position: int = 0
    """Index of the node that runs."""
    outputs: dict[str, Ref] = field(default_factory=dict[str, Ref])
    """Outputs of the nodes that ended, by id; children of blocks included, items of a foreach not."""
    output: Ref | None = None
    cause: Cause | None = None

    def path_of(self, node_id: str) -> str:
        """Return the path of a node in this scope."""
        return f"{self.path}.{node_id}" if self.path else node_id


@dataclass(slots=True, kw_only=True, eq=False)
class ForeachFrame:
    """A foreach that has not ended."""

    node: ForeachNode
    path: str
    parent: ScopeFrame
    slot: int
    input: Ref
    concurrency: int = 0
    """How many items may run at a time; 0 until the list was measured."""
    cursor: int = 0
    """Index of the next item to start."""
    running: int = 0
    """How many items are in flight."""
    outputs: list[Ref | None] = field(default_factory=list["Ref | None"])
    """Outputs by index; None where an item has none yet."""
    failed_at: int = -1
    """Lowest index of a failed item; -1 if none failed."""
    output: Ref | None = None
    cause: Cause | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class ParallelFrame:
    """A parallel block that has not ended."""

    node: ParallelNode
    path: str
    parent: ScopeFrame
    slot: int
    input: Ref
    running: int = 0
    """How many children are in flight."""
    outputs: list[Ref | None] = field(default_factory=list["Ref | None"])
    """Outputs in declaration order; None where a child has none yet."""
    failed_at: int = -1
    """Index of the first failed child in declaration order; -1 if none failed."""
    output: Ref | None = None
    cause: Cause | None = None


Parent: TypeAlias = ScopeFrame | ForeachFrame | ParallelFrame
"""What has children."""

Frame: TypeAlias = LeafFrame | ScopeFrame | ForeachFrame | ParallelFrame
"""Closed on purpose, like `Node`."""


class RunState:
    """All that is known of a run, as the fold of its journal."""

    __slots__ = ("_timers", "agenda", "finished", "frames", "graph", "issued", "last_seq", "open", "result", "root")

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        """The graph that it runs on."""
        self.last_seq = 0
        """`seq` of the last event applied."""
        self.root: ScopeFrame | None = None
        """The workflow's own frame; None before `RunStarted`."""
        self.frames: dict[str, Frame] = {}
        """Live frames by path."""
        self.open: dict[str, Command] = {}
        """Commands given whose answer is not recorded, in the order given, by path."""
        self.issued: list[Command] = []
        """Commands that `decide` has issued and not returned yet."""
        self.agenda: deque[Frame] = deque()
        """Frames that an applied event moved and `decide` has not looked at."""
        self.finished: RunStatus | None = None
        """How the run ended; None while it has not."""
        self.result: Ref | None = None
        """The run's result, if it ended well."""
        self._timers = 0

    def status(self) -> RunStatus:
        """Say what the run is doing. The one table of rule 4: a terminal status, else running, else waiting."""
        if self.finished is not None:
            return self.finished
        if self.root is None:
            return RunStatus.PENDING
        if self._timers and self._timers == len(self.open):
            return RunStatus.WAITING
        return RunStatus.RUNNING

    def next_due(self) -> int | None:
        """Return the earliest due time among the open timers, in milliseconds; None if there are none."""
        if not self._timers:
            return None
        return min(command.due_at_ms for command in self.open.values() if isinstance(command, StartTimer))

    def issue(self, command: Command) -> None:
        """Open a command; `decide` returns it."""
        if isinstance(command, StartTimer):
            self._timers += 1
        self.open[command.path] = command
        self.issued.append(command)

    def close(self, path: str, *kinds: type[Command]) -> Command:
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
        del self.open[path]
        if isinstance(command, StartTimer):
            self._timers -= 1
        return command

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

    def succeed(self, frame: Frame, output: Ref) -> None:
        """Note that a node ended with an output."""
        frame.output = output
        self._end(frame)

    def fail(self, frame: Frame, cause: Cause) -> None:
        """Note that a node failed for good."""
        frame.cause = cause
        self._end(frame)

    def _end(self, frame: Frame) -> None:
        del self.frames[frame.path]
        self.agenda.append(frame)
