"""The builder of workflows (rule 1.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Unpack, cast, overload

from outlast.errors import DefinitionError
from outlast.graph.arguments import at_least_one, instant_ms, listed, plain_json, within_limit
from outlast.graph.committed import CommittedWorkflow, Unfinished
from outlast.graph.compose import Placement, compose
from outlast.graph.context import ReadContext
from outlast.graph.function import Function, inspect_map, wait_function
from outlast.graph.hook import HookName, StartInfo, inspect_hooks
from outlast.graph.limit import Concurrency, RateLimit, limit_rules
from outlast.graph.options import WorkflowOptions
from outlast.graph.retry import Retry
from outlast.graph.scheduled import check_schedules, listed_schedules
from outlast.graph.schema import Schema
from outlast.graph.source import Source
from outlast.graph.step import Step, check_description, check_id, check_metadata, to_milliseconds, to_retry
from outlast.scheduling.schedule import Schedule
from outlast.values import InvalidValueError, JsonValue, decode

if TYPE_CHECKING:
    from outlast.results import RunResult

__all__ = ["Workflow"]

In = TypeVar("In")
Out = TypeVar("Out")
I_in = TypeVar("I_in")
O_out = TypeVar("O_out")
Next = TypeVar("Next")
ItemIn = TypeVar("ItemIn")
ItemOut = TypeVar("ItemOut")
Cur_co = TypeVar("Cur_co", covariant=True)
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)

_ANY: Any = object
_MISSING: Any = object()


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Workflow(Unfinished, Generic[In, Out, Cur_co]):
    """A builder of workflows: each method returns a new builder, `commit()` the runnable workflow.

    Its type parameters are the declared input, the declared result, and the type that the next node receives.
    """

    id: str
    """Id of the workflow."""
    input: object
    """Declared type of the input."""
    output: object
    """Declared type of the result."""
    state: object
    """Declared type of the run's state."""
    request_context: object
    """Declared type of the request context."""
    retries: Retry | None
    """Default for its own steps; not for those of nested workflows."""
    timeout_ms: int | None
    """How long a run of it may take, in milliseconds; None for ever."""
    max_recoveries: int | None
    """How often processes may die of a run of it; None for as often as the app says."""
    hooks: Mapping[HookName, Function]
    """Who is told of its runs."""
    concurrency: int | Concurrency | Sequence[Concurrency] | None
    """How many runs of it go on at a time."""
    rate_limit: RateLimit | Sequence[RateLimit] | None
    """How many runs of it begin in a time."""
    description: str
    """The author's words."""
    metadata: Mapping[str, JsonValue]
    """The author's data."""
    schedules: tuple[Schedule, ...]
    """When it is started by itself."""
    placements: tuple[Placement, ...]
    """What was added so far."""

    @overload
    def __init__(
        self: Workflow[I_in, O_out, I_in],
        id: str,
        *,
        input: type[I_in],
        output: type[O_out],
        **options: Unpack[WorkflowOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: Workflow[I_in, Any, I_in], id: str, *, input: type[I_in], **options: Unpack[WorkflowOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: Workflow[Any, O_out, Any], id: str, *, output: type[O_out], **options: Unpack[WorkflowOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: Workflow[Any, Any, Any],
        id: str,
        *,
        input: object = _ANY,
        output: object = _ANY,
        **options: Unpack[WorkflowOptions],
    ) -> None: ...
    def __init__(  # noqa: PLR0913 - the options of a workflow, each by its name
        self,
        id: str,
        *,
        input: object = _ANY,
        output: object = _ANY,
        state: object = None,
        request_context: object = _ANY,
        retries: int | Retry | None = None,
        timeout: float | timedelta | None = None,
        max_recoveries: int | None = None,
        on_start: Callable[[StartInfo], object] | None = None,
        on_finish: Callable[[RunResult[Any]], object] | None = None,
        on_error: Callable[[RunResult[Any]], object] | None = None,
        concurrency: int | Concurrency | Sequence[Concurrency] | None = None,
        rate_limit: RateLimit | Sequence[RateLimit] | None = None,
        description: str = "",
        metadata: Mapping[str, JsonValue] | None = None,
        schedule: Schedule | Sequence[Schedule] | None = None,
    ) -> None:
        """Begin a workflow.

        Args:
            id: Unique in an app.
            input: Type of the input: whatever pydantic can validate; any JSON value if it is left out.
            output: Type of the result; any JSON value if it is left out.
            state: Type of the state that the steps of a run share: a model, TypedDict or dataclass, whose fields may
                name reducers, as `Annotated[list[str], Append]`; any JSON object if it is left out.
            request_context: Type of the request context that runs are started with; any JSON object if it is left out.
            retries: Default for the steps of this workflow that say nothing of their own.
            timeout: How many seconds a run may take from its start to its end, all waiting included; then it ends
                `failed` with `RunTimedOutError`. It does not count where the workflow is used as a step.
            max_recoveries: How often processes may end by themselves while they call bodies of one run before it fails
                with `PoisonRunError`; as often as the app says if it is left out. Not where it is used as a step.
            on_start: Sync or async function that is called before the first step. If it raises, the run fails.
            on_finish: Sync or async function that is told of every end and every suspension of a run, at least once.
            on_error: Sync or async function that is told of a failure, after `on_finish`, at least once.
            concurrency: How many runs of it go on at a time, in all processes: a number, `Concurrency`, or several.
            rate_limit: How many runs of it begin in a time; as `concurrency`, not where it is used as a step.
            description: Shown with the graph.
            metadata: JSON, shown with the graph.
            schedule: When it is started by itself: a `Schedule`, or several with ids. Workers fire them.

        Raises:
            DefinitionError: An option cannot work; the message says why.
        """
        values: dict[str, object] = {
            "id": check_id(id, "workflow"),
            "input": input,
            "output": output,
            "state": state,
            "request_context": request_context,
            "timeout_ms": to_milliseconds(timeout, "timeout", f"workflow '{id}'"),
            "max_recoveries": at_least_one(max_recoveries, "max_recoveries", f"workflow '{id}'"),
            "retries": to_retry(retries, f"workflow '{id}'"),
            "hooks": inspect_hooks(id, {"on_start": on_start, "on_finish": on_finish, "on_error": on_error}),
            "concurrency": concurrency,
            "rate_limit": rate_limit,
            "description": check_description(description, f"workflow '{id}'"),
            "metadata": check_metadata({} if metadata is None else metadata, f"workflow '{id}'"),
            "schedules": listed_schedules(id, schedule),
            "placements": (),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def then(
        self, step: Step[Cur_co, Next] | CommittedWorkflow[Cur_co, Next], *, id: str | None = None
    ) -> Workflow[In, Out, Next]:
        """Add a step or workflow that gets what the node before it gave (rule 5.1)."""
        return self._add(Placement(kind="then", id=id, tasks=(step,)))

    def parallel(
        self,
        steps: Sequence[Step[Cur_co, Any] | CommittedWorkflow[Cur_co, Any]],
        *,
        limit: int | None = None,
        id: str | None = None,
    ) -> Workflow[In, Out, dict[str, Any]]:
        """Add steps or workflows that all get the same input and run at once, at most `limit` at a time (rule 5.2).

        The next node gets a dict of their outputs, keyed by id, in declaration order. All are awaited even if one
        fails; then the first failure in declaration order is the block's.
        """
        owner = f"workflow '{self.id}': parallel"
        children = listed(steps, owner, "steps, as .parallel([a, b])")
        return self._add(Placement(kind="parallel", id=id, tasks=children, limit=at_least_one(limit, "limit", owner)))

    def branch(
        self,
        cases: Sequence[
            tuple[
                Callable[[ReadContext[Cur_co]], bool | Awaitable[bool]],
                Step[Cur_co, Any] | CommittedWorkflow[Cur_co, Any],
            ]
        ],
        *,
        mode: Literal["all", "first"] = "all",
        id: str | None = None,
    ) -> Workflow[In, Out, dict[str, Any]]:
        """Add steps or workflows with the same input, each with a condition that decides whether it runs (rule 5.3).

        Every one whose condition is true runs, all at once; with `mode="first"` only the first true one. The next node
        gets a dict of their outputs, keyed by id; `{}` if none was true. A condition that raises fails the run.
        """
        if mode not in ("all", "first"):
            message = f"workflow '{self.id}': branch has mode={mode!r}; use 'all' or 'first'"
            raise DefinitionError(message)
        what = "pairs, as .branch([(condition, step)])"
        pairs = [self._case(case) for case in listed(cases, f"workflow '{self.id}': branch", what)]
        return self._add(
            Placement(
                kind="branch",
                id=id,
                tasks=tuple(task for _, task in pairs),
                conditions=tuple(condition for condition, _ in pairs),
                is_first_only=mode == "first",
            )
        )

    def dowhile(
        self,
        step: Step[Cur_co, Next] | CommittedWorkflow[Cur_co, Next],
        condition: Callable[[ReadContext[Next]], bool | Awaitable[bool]],
        *,
        max_iterations: int | None = None,
        id: str | None = None,
    ) -> Workflow[In, Out, Next]:
        """Add a step or workflow that runs again while the condition is true of what it gave (rule 5.4).

        It runs at least once; each pass gets what the one before it gave, and so does the condition, with
        `ctx.iteration_count` from 1. After `max_iterations` passes that still want to go on the node fails.
        """
        return self._loop(step, condition, is_until=False, max_iterations=max_iterations, id=id)

    def dountil(
        self,
        step: Step[Cur_co, Next] | CommittedWorkflow[Cur_co, Next],
        condition: Callable[[ReadContext[Next]], bool | Awaitable[bool]],
        *,
        max_iterations: int | None = None,
        id: str | None = None,
    ) -> Workflow[In, Out, Next]:
        """Add a step or workflow that runs again until the condition is true of what it gave; see `dowhile`."""
        return self._loop(step, condition, is_until=True, max_iterations=max_iterations, id=id)

    def sleep(
        self,
        duration: float | timedelta | Callable[[ReadContext[Cur_co]], float | timedelta | Awaitable[float | timedelta]],
        *,
        id: str | None = None,
    ) -> Workflow[In, Out, Cur_co]:
        """Add a durable pause: seconds, a timedelta, or a function that gives one of them; the input passes through.

        The due time is fixed once, when the pause begins: a restart waits only for what is left (rule 11).
        """
        if callable(duration):
            return self._add(Placement(kind="sleep", id=id, function=self._inspected(duration, "sleep")))
        time_ms = to_milliseconds(duration, "a duration", f"workflow '{self.id}': sleep")
        return self._add(Placement(kind="sleep", id=id, time_ms=time_ms))

    def sleep_until(
        self,
        instant: datetime | Callable[[ReadContext[Cur_co]], datetime | Awaitable[datetime]],
        *,
        id: str | None = None,
    ) -> Workflow[In, Out, Cur_co]:
        """Add a durable pause until an instant: an aware datetime, or a function that gives one."""
        if callable(instant):
            function = self._inspected(instant, "sleep_until")
            return self._add(Placement(kind="sleep", id=id, function=function, is_until=True))
        return self._add(
            Placement(
                kind="sleep", id=id, time_ms=instant_ms(instant, f"workflow '{self.id}': sleep_until"), is_until=True
            )
        )

    @overload
    def wait_for(
        self,
        id: str,
        *,
        resume: type[Next],
        payload: JsonValue = None,
        timeout: float | timedelta | None = None,
        default: JsonValue = ...,
    ) -> Workflow[In, Out, Next]: ...
    @overload
    def wait_for(
        self,
        id: str,
        *,
        resume: object = _ANY,
        payload: JsonValue = None,
        timeout: float | timedelta | None = None,
        default: JsonValue = ...,
    ) -> Workflow[In, Out, Any]: ...
    def wait_for(
        self,
        id: str,
        *,
        resume: object = _ANY,
        payload: JsonValue = None,
        timeout: float | timedelta | None = None,
        default: object = _MISSING,
    ) -> Workflow[In, Out, Any]:
        """Add a node that suspends the run until somebody resumes it; its output is the resume data (rule 7.5).

        Args:
            id: Its id: what resumers name.
            resume: Type of the resume data.
            payload: JSON, told to those who ask what the run waits for.
            timeout: Seconds it waits at most; then its output is `default`, or it fails if there is none.
            default: Its output if nobody resumed it in time; needs a `timeout`.
        """
        function = wait_function(Schema.of(resume))
        time_ms = to_milliseconds(timeout, "timeout", f"wait_for '{id}'")
        return self._add(
            Placement(
                kind="wait",
                id=id,
                function=function,
                payload=plain_json(payload, f"workflow '{self.id}': payload of wait_for '{id}'"),
                time_ms=time_ms,
                default=self._default_of(default, function, time_ms, id),
            )
        )

    @overload
    def foreach(
        self: Workflow[In, Out, Sequence[ItemIn]],
        step: Step[ItemIn, ItemOut] | CommittedWorkflow[ItemIn, ItemOut],
        *,
        concurrency: int | Callable[[ReadContext[Any]], int | Awaitable[int]] = 1,
        on_error: Literal["fail"] = "fail",
        id: str | None = None,
    ) -> Workflow[In, Out, list[ItemOut]]: ...
    @overload
    def foreach(
        self: Workflow[In, Out, Sequence[ItemIn]],
        step: Step[ItemIn, Any] | CommittedWorkflow[ItemIn, Any],
        *,
        concurrency: int | Callable[[ReadContext[Any]], int | Awaitable[int]] = 1,
        on_error: Literal["collect"],
        id: str | None = None,
    ) -> Workflow[In, Out, list[Any]]: ...
    def foreach(
        self: Workflow[In, Out, Sequence[ItemIn]],
        step: Step[ItemIn, Any] | CommittedWorkflow[ItemIn, Any],
        *,
        concurrency: int | Callable[[ReadContext[Any]], int | Awaitable[int]] = 1,
        on_error: Literal["fail", "collect"] = "fail",
        id: str | None = None,
    ) -> Workflow[In, Out, list[Any]]:
        """Add a step or workflow that runs once per item of the list before it (rule 5.5).

        The next node gets the list of outputs in the order of the items. At most `concurrency` items run at a time;
        a function says how many when the node begins. When one fails no more are started, those in flight end, and the
        node fails; with `on_error="collect"` all run, and a failed one leaves `{"error": {...}}` in its place.
        """
        if on_error not in ("fail", "collect"):
            message = f"workflow '{self.id}': foreach has on_error={on_error!r}; use 'fail' or 'collect'"
            raise DefinitionError(message)
        placement = Placement(
            kind="foreach",
            id=id,
            tasks=(step,),
            concurrency=self._inspected(concurrency, "concurrency") if callable(concurrency) else concurrency,
            is_collecting=on_error == "collect",
        )
        return cast("Workflow[In, Out, list[Any]]", self._add(placement))

    @overload
    def map(
        self, function: Callable[[ReadContext[Cur_co]], Awaitable[Next]], *, id: str | None = None
    ) -> Workflow[In, Out, Next]: ...
    @overload
    def map(
        self, function: Callable[[ReadContext[Cur_co]], Next], *, id: str | None = None
    ) -> Workflow[In, Out, Next]: ...
    @overload
    def map(self, function: Mapping[str, Source], *, id: str | None = None) -> Workflow[In, Out, dict[str, Any]]: ...
    def map(
        self, function: Callable[[ReadContext[Any]], Any] | Mapping[str, Source], *, id: str | None = None
    ) -> Workflow[In, Out, Any]:
        """Add something that shapes data between two nodes (rule 5.6): a function, or a dict of sources.

        A function gets a `ReadContext`, may be sync or async, and is not tried again. A dict makes an object: each key
        from `value(...)`, `from_input(path)`, `from_init(path)`, `from_step(step, path)`, `from_state(path)`,
        `from_context(key)` or `template("... ${inputData.x} ...")`. A path that is not there fails the node.
        """
        given: object = function
        if isinstance(given, Mapping):
            return self._add(Placement(kind="map", id=id, sources=dict(cast("Mapping[str, Source]", given))))
        return self._add(Placement(kind="map", id=id, function=self._inspected(function, "map")))

    def commit(self: Workflow[In, Out, Out]) -> CommittedWorkflow[In, Out]:
        """Check everything and return the immutable, runnable workflow.

        Raises:
            DefinitionError: The graph is empty, an id stands twice, a type cannot be recorded, no value can fit both of
                two neighbours, or a schedule's values do not fit; the message says what is wrong, and how to mend it.
        """
        workflow: CommittedWorkflow[In, Out] = CommittedWorkflow(
            compose(
                self.id,
                input=self.input,
                output=self.output,
                state=self.state,
                request_context=self.request_context,
                retries=self.retries,
                timeout_ms=self.timeout_ms,
                max_recoveries=self.max_recoveries,
                description=self.description,
                metadata=self.metadata,
                hooks=self.hooks,
                placements=self.placements,
            ),
            self.schedules,
            lambda id: self.copy(id=id).commit(),
            limit_rules(self.id, self.concurrency, self.rate_limit),
        )
        check_schedules(workflow)
        return workflow

    def _add(self, placement: Placement) -> Workflow[In, Out, Any]:
        for task in placement.tasks:
            self._check_task(task)
        return self.copy(placements=(*self.placements, placement))

    def _check_task(self, task: object) -> None:
        if isinstance(task, Workflow):
            raise DefinitionError(f"workflow '{self.id}': '{task.id}' is not committed; call .commit() on it first")
        if not isinstance(task, Step | CommittedWorkflow):
            advice = "name it without calling it" if iscoroutine(task) else "decorate it with @step"
            raise DefinitionError(f"workflow '{self.id}': {task!r:.80} is neither a step nor a workflow; {advice}")

    def _case(self, case: object) -> tuple[Function, Any]:
        pair: tuple[object, ...] = tuple(cast("Sequence[object]", case)) if isinstance(case, tuple | list) else ()
        if len(pair) != 2:  # noqa: PLR2004 - a pair
            message = f"workflow '{self.id}': branch takes pairs of a condition and a step, not {case!r}"
            raise DefinitionError(message)
        return self._inspected(pair[0], "a condition of branch", depth=4), pair[1]

    def _loop(
        self,
        step: Any,  # noqa: ANN401 - typed by the two methods that call this
        condition: object,
        *,
        is_until: bool,
        max_iterations: int | None,
        id: str | None,
    ) -> Workflow[In, Out, Any]:
        return self._add(
            Placement(
                kind="loop",
                id=id,
                tasks=(step,),
                function=self._inspected(condition, "the condition of a loop", depth=3),
                is_until=is_until,
                limit=at_least_one(max_iterations, "max_iterations", f"workflow '{self.id}': a loop"),
            )
        )

    def _default_of(self, default: object, function: Function, time_ms: int | None, id: str) -> tuple[JsonValue, ...]:
        if default is _MISSING:
            return ()
        subject = f"workflow '{self.id}': the default of wait_for '{id}'"
        if time_ms is None:
            message = f"{subject} would never count; give timeout= as well"
            raise DefinitionError(message)
        try:
            return (decode(within_limit(function.resume.encode(default), subject)),)
        except InvalidValueError as error:
            message = f"{subject} does not fit resume={function.resume.name}: {error}"
            raise DefinitionError(message) from error

    def _inspected(self, function: object, verb: str, *, depth: int = 2) -> Function:
        if not callable(function) or isinstance(function, Step):
            taken = "takes a function of one context, as lambda ctx: ..., not"
            raise DefinitionError(f"workflow '{self.id}': {verb} {taken} {function!r}")
        return inspect_map(function, frame_depth=depth)

    def copy(self, **changes: object) -> Workflow[In, Out, Any]:
        """Return the same builder with some fields changed."""
        twin = cast("Workflow[In, Out, Any]", object.__new__(Workflow))
        for name in (each.name for each in fields(self)):
            object.__setattr__(twin, name, changes.get(name, getattr(self, name)))
        return twin
