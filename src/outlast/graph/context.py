"""What a body and a map function are given besides their input (rule 6)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar, Unpack, cast, overload

from outlast.errors import InputError, Problem, RunExistsError, StreamWriteError
from outlast.graph.cancel_flag import CancelFlag
from outlast.graph.facts import AttemptFacts, RunFacts
from outlast.graph.masking_logger import MaskingLogger
from outlast.graph.merge import compose, merge
from outlast.graph.patch import Patch
from outlast.graph.saying import Emitted, Saying, Wrote, check_name, check_progress, encode_said, resealed
from outlast.graph.signals import AbortCall, BailCall, BodySignal, SignalCall, SuspendCall
from outlast.graph.step_id import step_id_of
from outlast.ids import derive_run_id
from outlast.sealing import current_disclosure, opened
from outlast.trace import TraceContext, attempt_trace, run_trace
from outlast.values import InvalidValueError, JsonValue, decode, encode

if TYPE_CHECKING:
    from outlast.graph.committed import CommittedWorkflow
    from outlast.graph.function import Function
    from outlast.graph.options import StartOptions
    from outlast.graph.state import StateType
    from outlast.graph.step import Step
    from outlast.run import StartedRun

__all__ = [
    "AttemptFacts",
    "BlockingContext",
    "BlockingStepContext",
    "CancelFlag",
    "ContextLookup",
    "ReadContext",
    "RunFacts",
    "StepContext",
]

_LONGEST_S = 8e10  # what a timedelta can hold

In = TypeVar("In")
T = TypeVar("T")
ChildIn = TypeVar("ChildIn")
ChildOut = TypeVar("ChildOut")


class ContextLookup(Protocol):
    """How a context reaches recorded values; implemented by each engine."""

    async def init_data(self, path: str) -> object:
        """Return the input of the workflow in which the node stands, decoded as its declared type."""
        ...

    async def init_raw(self, path: str) -> bytes:
        """Return the input of the workflow in which the node stands, as JSON."""
        ...

    async def step_result(self, path: str, step_id: str) -> bytes | None:
        """Return the recorded output of a step of that workflow as JSON, or None unless it succeeded."""
        ...

    def run_blocking(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's loop from the thread of a sync body, and wait for it."""
        ...


class ReadContext(Generic[In]):
    """The reading half: what conditions, maps and durations get, and steps too."""

    __slots__ = ("_data", "_input", "_iteration_count", "_lookup", "_path", "_run", "_state_type")

    def __init__(
        self,
        run: RunFacts,
        path: str,
        value: In,
        lookup: ContextLookup,
        *,
        data: Mapping[str, JsonValue],
        state_type: StateType,
        iteration_count: int = 0,
    ) -> None:
        self._run = run
        self._path = path
        self._input = value
        self._lookup = lookup
        self._data = data
        self._state_type = state_type
        self._iteration_count = iteration_count

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
    def iteration_count(self) -> int:
        """In the condition of a loop: how many passes are done, from 1; elsewhere 0."""
        return self._iteration_count

    @property
    def request_context(self) -> Mapping[str, JsonValue]:
        """What the caller told all steps of the run; read-only: what is changed in it is changed for nobody."""
        return MappingProxyType(cast("dict[str, JsonValue]", decode(opened(self._run.request_context))))

    @property
    def state(self) -> Any:  # noqa: ANN401 - the type that the step or its workflow declares with state=...
        """The state of the run as it was when this call began, with what this call changed since; a copy."""
        return self._state_type.decode(self._data)

    @property
    def plain_state(self) -> dict[str, JsonValue]:
        """The state as plain JSON, whatever type is declared; a copy."""
        return cast("dict[str, JsonValue]", decode(opened(encode(dict(self._data)))))

    async def init_raw(self) -> bytes:
        """Return the input of the workflow in which this node stands, as it is recorded."""
        return await self._lookup.init_raw(self._path)

    async def find_raw(self, step_id: str) -> bytes | None:
        """Return the output of a step of this workflow as it is recorded, or None unless it has succeeded."""
        return await self._lookup.step_result(self._path, step_id)

    def state_raw(self) -> bytes:
        """Return the state as it is recorded."""
        return encode(dict(self._data))

    def request_context_raw(self) -> bytes:
        """Return what the caller told all steps as it is recorded."""
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

        With a step object the output is decoded as the type that the step declares; with an id it is plain JSON. Ask by
        id for a step of a foreach, whose output is a list, and for one that may have ended early with something else.

        Raises:
            InputError: The output is not of the type that the step declares, or `step` names none.
        """
        step_id = step_id_of(step)
        raw = await self._lookup.step_result(self._path, step_id)
        if raw is None:
            return None
        raw = opened(raw)
        if isinstance(step, str):
            return decode(raw)
        try:
            return step.output.decode(raw)
        except InvalidValueError as error:
            subject = f"output of '{step_id}', which get_step_result('{step_id}') gives as JSON,"
            raise InputError(subject, error.problems) from None

    @property
    def trace(self) -> TraceContext:
        """The span of the run, in whose trace this happens: hand `trace.traceparent` to outside services."""
        run = self._run
        return run_trace(run.run_id, run.execution, run.tracing, is_sampled=run.is_sampled)

    @property
    def blocking(self) -> BlockingContext:
        """The same getters for sync bodies, which run in a thread and cannot await."""
        return BlockingContext(self, self._lookup)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger named `outlast.run.<workflow id>`.

        Its records carry `run_id`, `workflow_id` and `path`, and as `trace_id` and `span_id` those of `trace`.
        """
        trace = self.trace
        extra = {
            "run_id": self.run_id,
            "workflow_id": self.workflow_id,
            "path": self.path,
            "trace_id": trace.trace_id,
            "span_id": trace.span_id,
        }
        disclosure = current_disclosure()
        logger = logging.getLogger(f"outlast.run.{self.workflow_id}")
        return logging.LoggerAdapter(logger, extra) if disclosure is None else MaskingLogger(logger, extra, disclosure)


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


class BlockingStepContext(BlockingContext):
    """What a step's body can await, for a sync body."""

    __slots__ = ("_step",)

    def __init__(self, context: StepContext, lookup: ContextLookup) -> None:
        super().__init__(context, lookup)
        self._step = context

    def start_async(
        self,
        workflow: CommittedWorkflow[ChildIn, ChildOut],
        *,
        input_data: ChildIn | None = None,
        key: str | None = None,
        resource_id: str | None = None,
        **options: Unpack[StartOptions],
    ) -> StartedRun[ChildOut]:
        """Start another workflow as a run of its own, once; see `StepContext.start_async`."""
        start = self._step.start_async(workflow, input_data=input_data, key=key, resource_id=resource_id, **options)
        return self._lookup.run_blocking(start)


class StepContext(ReadContext[Any]):
    """What a step's body may ask for by annotating a parameter with this class."""

    __slots__ = ("_facts", "_function", "_on_signal", "_say", "_starts", "patch", "signal")

    def __init__(
        self,
        run: RunFacts,
        path: str,
        value: object,
        *,
        lookup: ContextLookup,
        function: Function,
        facts: AttemptFacts,
        data: Mapping[str, JsonValue],
        state_type: StateType,
    ) -> None:
        super().__init__(run, path, value, lookup, data=data, state_type=state_type)
        self._function = function
        self.patch: Patch = ()
        """What the body changed in the state so far; recorded with its outcome, dropped if it fails."""
        self._facts = facts
        self._starts: dict[str, int] = {}
        """How many runs of each workflow the body has started in this call of it."""
        self._on_signal: Callable[[], None] | None = None
        self._say: Callable[[Saying], Awaitable[None]] | None = None
        self.signal: SignalCall | None = None
        """What the body asked for, if it left early; whatever it raises or returns after that is ignored."""

    @property
    def attempt(self) -> int:
        """0 for the first try; a crash does not count as one."""
        return self._facts.attempt

    @property
    def trace(self) -> TraceContext:
        """The span of this attempt: hand `trace.traceparent` to outside services."""
        run, call = self._run, (self._facts.attempt, self._facts.suspensions)
        return attempt_trace(super().trace, run.run_id, run.execution, self._path, call=call)

    @property
    def recovered(self) -> bool:
        """Whether this very attempt had started before and its worker was lost: its effects may have happened."""
        return self._facts.is_recovered

    @property
    def idempotency_key(self) -> str:
        """A key that is the same whenever this node of this run is executed: hand it to outside services."""
        return f"{self._run.run_id}:{self._path}"

    @property
    def canceled(self) -> CancelFlag:
        """Whether the run is being canceled: `if ctx.canceled:` or, in async bodies, `await ctx.canceled`."""
        return self._facts.canceled

    @property
    def resumed(self) -> bool:
        """Whether the body is called because somebody resumed it; also true when they handed over nothing."""
        return self._facts.is_resumed

    @property
    def timed_out(self) -> bool:
        """Whether the body is called because its suspension timed out."""
        return self._facts.is_timed_out

    @property
    def resume_data(self) -> Any:  # noqa: ANN401 - the type that the step declares with resume=...
        """What it was resumed with, decoded as the declared `resume` type; None if it was not."""
        raw = self._facts.resume_data
        return None if raw is None else self._function.resume.decode(opened(raw))

    @property
    def suspend_data(self) -> Any:  # noqa: ANN401 - the type that the step declares with suspend=...
        """What it told when it suspended, decoded as the declared `suspend` type; None if it did not."""
        raw = self._facts.suspend_data
        return None if raw is None else self._function.suspend.decode(opened(raw))

    @property
    def blocking(self) -> BlockingStepContext:
        """What can be awaited, for sync bodies, which run in a thread and cannot await."""
        return BlockingStepContext(self, self._lookup)

    async def start_async(
        self,
        workflow: CommittedWorkflow[ChildIn, ChildOut],
        *,
        input_data: ChildIn | None = None,
        key: str | None = None,
        resource_id: str | None = None,
        **options: Unpack[StartOptions],
    ) -> StartedRun[ChildOut]:
        """Start another workflow as a run of its own and return at once, with the promise of `Run.start_async`.

        However often this node is executed (after a crash, in another attempt, when it is resumed, in the next
        execution), the same call starts one run and gives the same `StartedRun`: its id follows from this run, this
        path, the workflow, and `key` or else how many runs of the workflow this body started before. A run that is
        there already is left as it is, whatever the input is now. The run does not end with this one.

        Args:
            workflow: A workflow of the same app.
            input_data: Its input.
            key: Names this start in place of its number; needed if the body may start runs in another order next time.
            resource_id: Whose run it is; that of this run unless given.
            options: As in `Run.start_async`: `initial_state`, `request_context`, `output_options`, `tags`, `delay`,
                `start_at`, `start_within`, `priority`, `per_step`, `tracing_options`.

        Raises:
            InputError: The input or an option does not fit; names each path. Nothing was recorded.
            UnattachedWorkflowError: The app does not know this workflow.
            StoreUnavailableError: It is not known to be recorded. Calling it again, also in another attempt, is safe.
        """
        run_id = derive_run_id(self.run_id, self.path, workflow.id, self._name_of_start(workflow.id, key))
        run = await workflow.create_run(run_id=run_id, resource_id=resource_id or self.resource_id)
        try:
            return await run.start_async(input_data=input_data, **options)
        except RunExistsError:  # by an earlier call of this body
            return run.as_started()

    def _name_of_start(self, workflow_id: str, key: object) -> str:
        if key is None:
            number = self._starts.get(workflow_id, 0)
            self._starts[workflow_id] = number + 1
            return f"number:{number}"
        if not isinstance(key, str) or not key:
            raise InputError("key", (Problem("", f"a text that is not empty is needed, not {key!r:.60}"),))
        return f"key:{key}"

    def set_state(self, patch: Mapping[str, object]) -> None:
        """Change fields of the run's state; recorded with the outcome of this call of the body, dropped if it fails.

        Calls merge in order. A field with a reducer (`Annotated[list[str], Append]`) is merged by it, every other one
        is replaced; `None` sets null, `DELETE` removes. Other steps see the change when this one has ended.

        Raises:
            InputError: A field is unknown or its value does not fit; names each path. Nothing was changed.
        """
        try:
            accepted = self._state_type.validate_patch(patch)
        except InvalidValueError as error:
            raise InputError("patch of the state", error.problems) from None
        self.patch = compose(self.patch, accepted)
        self._data = merge(self._data, accepted)

    def write(self, chunk: object) -> Awaitable[None]:
        """Say something to those who watch the run: any value that JSON or its own type can hold.

        It is queued, recorded within 50 ms and always before the outcome of the step, and read by streams only. Works
        the same in `def` and `async def`. If more is said than the store takes, the call waits in a thread; an async
        body waits if it awaits the answer, and need not.

        Raises:
            InputError: The value cannot be recorded.
            PayloadTooLargeError: It is over 4 MiB as JSON.
            StreamWriteError: It cannot be taken: this attempt is over, or far too much was said.
        """
        return self._tell(Wrote(encode_said(chunk, "chunk")))

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> Awaitable[None]:
        """Tell those who watch the run how far this step is; else as `write`.

        Raises:
            InputError: It is no number of at least 0, or no text.
            StreamWriteError: It cannot be taken; see `write`.
        """
        return self._tell(check_progress(done, total, message))

    def emit(self, name: str, value: object) -> Awaitable[None]:
        """Say something under a name of its own, which begins with `data-`; else as `write`.

        Raises:
            InputError: The name does not begin with `data-`, or the value cannot be recorded.
            PayloadTooLargeError: It is over 4 MiB as JSON.
            StreamWriteError: It cannot be taken; see `write`.
        """
        return self._tell(Emitted(check_name(name), encode_said(value, f"value of '{name}'")))

    def listen(self, say: Callable[[Saying], Awaitable[None]]) -> None:
        """Have the engine told what the body says."""
        self._say = say

    def _tell(self, saying: Saying) -> Awaitable[None]:
        if self._say is None:
            raise StreamWriteError(self._path, "this engine does not take what bodies say while they run")
        disclosure = current_disclosure()
        return self._say(saying if disclosure is None else resealed(saying, disclosure))

    def suspend(
        self, payload: object = None, *, label: str | None = None, timeout: float | timedelta | None = None
    ) -> NoReturn:
        """End this call of the body; the step is `suspended` until somebody resumes it, and then called from its top.

        The run holds no memory, task or thread meanwhile. Works the same in `def` and `async def`, with or without
        `await`. Whatever the body raises or returns after this call is ignored.

        Args:
            payload: Told to those who ask what the run waits for; checked against the declared `suspend` type.
            label: A name by which it can be resumed.
            timeout: Seconds after which the body is called with `ctx.timed_out` if nobody resumed it.
        """
        self._leave(SuspendCall(payload, label, _to_timedelta(timeout)))

    def bail(self, value: object = None) -> NoReturn:
        """End the workflow in which the step stands with success and this value; in a parallel or branch the step."""
        self._leave(BailCall(value))

    def abort(self) -> NoReturn:
        """Cancel the run."""
        self._leave(AbortCall())

    def watch_signal(self, on_signal: Callable[[], None]) -> None:
        """Have the engine told when the body asks to leave, so that it can insist."""
        self._on_signal = on_signal

    def _leave(self, call: SignalCall) -> NoReturn:
        if self.signal is None:
            self.signal = call
            if self._on_signal is not None:
                self._on_signal()
        raise BodySignal(type(call).__name__)


def _to_timedelta(value: object) -> timedelta | None:
    """Return how long a suspension waits.

    Raises:
        ValueError: It is neither seconds nor a timedelta, or not above zero.
    """
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < _LONGEST_S:
        message = f"timeout={value!r}: give seconds or a timedelta above zero"
        raise ValueError(message)
    return timedelta(seconds=seconds)
