"""What a body and a map function are given besides their input (rule 6)."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from outlast.values import JsonValue, decode

if TYPE_CHECKING:
    from outlast.graph.step import Step

__all__ = ["BlockingContext", "ContextLookup", "ReadContext", "RunFacts", "StepContext"]

In = TypeVar("In")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is the same for all contexts of one run in one workflow."""

    run_id: str
    """Id of the run."""
    workflow_id: str
    """Id of the workflow in which the node stands; of the nested one inside it."""
    resource_id: str | None
    """Whose run it is."""
    execution: int
    """Which execution of the run."""
    request_context: Mapping[str, JsonValue]
    """What the caller told all steps."""


class ContextLookup(Protocol):
    """How a context reaches recorded values; implemented by each engine."""

    async def init_data(self, path: str) -> object:
        """Return the input of the workflow in which the node stands, decoded as its declared type."""
        ...

    async def step_result(self, path: str, step_id: str) -> bytes | None:
        """Return the recorded output of a step of that workflow as JSON, or None unless it succeeded."""
        ...

    def run_blocking(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's loop from the thread of a sync body, and wait for it."""
        ...


class ReadContext(Generic[In]):
    """The reading half: what conditions, maps and durations get, and steps too."""

    __slots__ = ("_input", "_lookup", "_path", "_run")

    def __init__(self, run: RunFacts, path: str, value: In, lookup: ContextLookup) -> None:
        self._run = run
        self._path = path
        self._input = value
        self._lookup = lookup

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._run.run_id

    @property
    def workflow_id(self) -> str:
        """Id of the workflow in which this node stands; inside a nested workflow, of that one."""
        return self._run.workflow_id

    @property
    def resource_id(self) -> str | None:
        """Whose run it is, as given to `create_run`."""
        return self._run.resource_id

    @property
    def path(self) -> str:
        """Address of this node in the run, as `fetch`, `child.fetch` or `each[3]`."""
        return self._path

    @property
    def execution(self) -> int:
        """Which execution of the run this is: 0 for the first."""
        return self._run.execution

    @property
    def input(self) -> In:
        """The input of this node, decoded from what is recorded: nobody else holds this object."""
        return self._input

    @property
    def request_context(self) -> Mapping[str, JsonValue]:
        """What the caller told all steps of the run; read-only."""
        return self._run.request_context

    async def get_init_data(self) -> Any:  # noqa: ANN401 - the workflow's input type, which a context cannot know
        """Return the input of the workflow in which this node stands, as its declared type."""
        return await self._lookup.init_data(self._path)

    @overload
    async def get_step_result(self, step: Step[Any, T]) -> T | None: ...
    @overload
    async def get_step_result(self, step: str) -> Any: ...  # noqa: ANN401 - an id says nothing of the type
    async def get_step_result(self, step: Step[Any, T] | str) -> T | Any | None:
        """Return the output of a step of this workflow, or None unless it has succeeded.

        With a step object the output is decoded as the type that the step declares; with an id it is plain JSON.
        """
        step_id = step if isinstance(step, str) else step.id
        raw = await self._lookup.step_result(self._path, step_id)
        if raw is None:
            return None
        return decode(raw) if isinstance(step, str) else step.output.decode(raw)

    @property
    def blocking(self) -> BlockingContext:
        """The same getters for sync bodies, which run in a thread and cannot await."""
        return BlockingContext(self, self._lookup)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger named `outlast.run.<workflow id>` whose records carry `run_id`, `workflow_id` and `path`."""
        extra = {"run_id": self.run_id, "workflow_id": self.workflow_id, "path": self.path}
        return logging.LoggerAdapter(logging.getLogger(f"outlast.run.{self.workflow_id}"), extra)


class BlockingContext:
    """The getters of a context for a sync body. They wait for the event loop; call them from the body's own thread."""

    __slots__ = ("_context", "_lookup")

    def __init__(self, context: ReadContext[Any], lookup: ContextLookup) -> None:
        self._context = context
        self._lookup = lookup

    def get_init_data(self) -> Any:  # noqa: ANN401 - the workflow's input type, which a context cannot know
        """Return the input of the workflow in which this node stands, as its declared type."""
        return self._lookup.run_blocking(self._context.get_init_data())

    @overload
    def get_step_result(self, step: Step[Any, T]) -> T | None: ...
    @overload
    def get_step_result(self, step: str) -> Any: ...  # noqa: ANN401 - an id says nothing of the type
    def get_step_result(self, step: Step[Any, T] | str) -> T | Any | None:
        """Return the output of a step of this workflow, or None unless it has succeeded."""
        return self._lookup.run_blocking(self._context.get_step_result(step))


class StepContext(ReadContext[Any]):
    """What a step's body may ask for by annotating a parameter with this class."""

    __slots__ = ("_attempt", "_recovered")

    def __init__(
        self,
        run: RunFacts,
        path: str,
        value: object,
        lookup: ContextLookup,
        attempt: int,
        recovered: bool,  # noqa: FBT001
    ) -> None:
        super().__init__(run, path, value, lookup)
        self._attempt = attempt
        self._recovered = recovered

    @property
    def attempt(self) -> int:
        """0 for the first try; a crash does not count as one."""
        return self._attempt

    @property
    def recovered(self) -> bool:
        """Whether this very attempt had started before and its worker was lost: its effects may have happened."""
        return self._recovered

    @property
    def idempotency_key(self) -> str:
        """A key that is the same whenever this node of this run is executed: hand it to outside services."""
        return f"{self._run.run_id}:{self._path}"
