"""The verbs that let a run go on that rests: restart, time travel, fork, and the next step of a paused run."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from outlast.addressing import Target, path_of
from outlast.advice import does_not_fit
from outlast.core.commands import AwaitStep
from outlast.core.flow.scope import PAUSE_PATH
from outlast.core.status import RunStatus
from outlast.declared import Declared
from outlast.engines.base import Engine, History, SeededStart
from outlast.errors import RunNotFoundError
from outlast.ids import run_ids
from outlast.loops import refuse_other_loop
from outlast.repair import Draft, Wish, make_draft
from outlast.results import fold_history
from outlast.sealing import disclosed
from outlast.signature import Options, parameters_of
from outlast.starting import check_flag, check_text
from outlast.stream import RunStream, View
from outlast.values import JsonValue, encode

if TYPE_CHECKING:
    from outlast.results import RunResult
    from outlast.run import StartedRun

__all__ = ["Repairable"]

Out_co = TypeVar("Out_co", covariant=True)

_ENDED_BADLY: Final = frozenset({RunStatus.FAILED, RunStatus.CANCELED})
_PATIENCE: Final = 2.0
_LOOK_AGAIN: Final = 0.02
"""A worker that holds a run at rest lets go of it within a second (it waits for a suspension that is about to end)."""


class Repairable(ABC, Generic[Out_co]):
    """What a handle on a run can do to let it go on. An execution that has ended never changes: the next one is opened.

    The next execution keeps earlier results and goes on from a place: `ctx.execution` and `RunResult.execution` count
    it, and `result(execution=...)` reads the earlier ones.
    """

    _engine: Engine
    _declared: Declared
    run_id: str

    async def restart_async(
        self, *, request_context: Mapping[str, JsonValue] | None = None, per_step: bool = False
    ) -> StartedRun[Out_co]:
        """Drive a failed or canceled run again from its unfinished nodes, and return at once (rule 12.3).

        What ended well is kept, inside nested workflows, blocks, loops and lists, too. Steps have all their attempts
        again; a step that failed after it was resumed is called with the same data. When it returns, the execution is
        durable and a worker will drive it, whatever happens to this process.

        Args:
            request_context: Entries that win over those given before.
            per_step: Pause after each node of the workflow.

        Raises:
            InputError: `request_context` or `per_step` does not fit. Nothing was recorded.
            RunStateError: The run is not failed or canceled; `status` says what it is. Of two callers one gets this.
            RunNotFoundError: No kept run has this id.
            StoreUnavailableError: It is not known to be recorded; the status of the run tells.
        """
        wish = Wish(request_context=request_context, per_step=per_step)
        return await self.rewind("restart", wish)

    @parameters_of(restart_async)
    async def restart(self, **options: Options) -> RunResult[Out_co]:
        """Drive a failed or canceled run again from its unfinished nodes, and wait; see `restart_async`.

        Raises:
            RunStateError: The run is not failed or canceled; `status` says what it is.
            RunNotFoundError: No kept run has this id.
        """
        await self.restart_async(**options)
        return await self.result()

    async def time_travel_async(
        self,
        step: Target,
        *,
        input_data: object = None,
        resume_data: object = None,
        initial_state: object = None,
        context: Mapping[str, object] | None = None,
        request_context: Mapping[str, JsonValue] | None = None,
        per_step: bool = False,
    ) -> StartedRun[Out_co]:
        """Let a run that rests go on from a node, and return at once (rule 12.3).

        Results of the nodes before it are kept; it and what follows run again. The run may have ended in any way, be
        suspended or paused. When this returns, the execution is durable and a worker will drive it.

        Args:
            step: The node: a step, its id, its path (`child.fetch`, `each[3]`, `poll#2`), or the parts of the path.
            input_data: What it receives instead of the output before it; checked against its declared type.
            resume_data: What it is resumed with, as if it had been suspended; checked against its `resume` type.
            initial_state: The state to begin with. Without it, the state is as the kept nodes left it.
            context: Outputs of nodes before it, by path. They win over recorded ones.
            request_context: Entries that win over those given before.
            per_step: Pause after each node of the workflow.

        Raises:
            InputError: There is no such node, its input is not known, or something that was given does not fit.
            RunStateError: The run is active; `status` says what it does. Of two callers one gets this.
            RunNotFoundError: No kept run has this id.
            StoreUnavailableError: It is not known to be recorded; the status of the run tells.
        """
        wish = Wish(
            to=path_of(step),
            input_data=input_data,
            resume_data=resume_data,
            initial_state=initial_state,
            context=context,
            request_context=request_context,
            per_step=per_step,
        )
        return await self.rewind("time travel", wish)

    @parameters_of(time_travel_async)
    async def time_travel(self, step: Target, **options: Options) -> RunResult[Out_co]:
        """Let a run that rests go on from a node, and wait until it ends or rests again; see `time_travel_async`.

        Raises:
            InputError: There is no such node, its input is not known, or something that was given does not fit.
            RunStateError: The run is active; `status` says what it does.
            RunNotFoundError: No kept run has this id.
        """
        await self.time_travel_async(step, **options)
        return await self.result()

    @parameters_of(time_travel_async)
    def time_travel_stream(self, step: Target, **options: Options) -> RunStream[Out_co]:
        """Let a run that rests go on from a node when the first event is asked for, and show what it does from then on.

        Takes what `time_travel_async` takes, and raises the same, with the first event (rule 14.2). It begins with the
        `workflow-start` and `workflow-rewound` of the new execution.

        Raises:
            InputError: `step` names no node in any way.
        """
        wish = Wish(to=path_of(step), **options)

        async def begin() -> View[Out_co]:
            started = await self.rewind("time travel", wish)
            return View(started, started.mark.last_event)

        return RunStream(self._engine, self.run_id, begin)

    async def fork_async(  # noqa: PLR0913 - the options of a time travel and two of a start, all by name
        self,
        step: Target,
        *,
        input_data: object = None,
        resume_data: object = None,
        initial_state: object = None,
        context: Mapping[str, object] | None = None,
        request_context: Mapping[str, JsonValue] | None = None,
        per_step: bool = False,
        run_id: str | None = None,
        resource_id: str | None = None,
    ) -> StartedRun[Out_co]:
        """Start a new run that goes on from a node of this one, and return a handle on it at once (rule 12.4).

        This run is left as it is, whatever it does. The new one copies the results that it keeps, and has the same
        workflow, graph, resource and request context.

        Args:
            step: The node, as for `time_travel_async`.
            input_data: What it receives instead of the output before it; checked against its declared type.
            resume_data: What it is resumed with; checked against its declared `resume` type.
            initial_state: The state to begin with. Without it, the state is as the kept nodes left it.
            context: Outputs of nodes before it, by path. They win over recorded ones.
            request_context: Entries that win over those of this run.
            per_step: Pause after each node of the workflow.
            run_id: Id of the new run; a new one if none is given.
            resource_id: Whose run it is; as this one if none is given.

        Raises:
            InputError: There is no such node, its input is not known, or something that was given does not fit.
            PayloadTooLargeError: The results to be copied are larger than 64 MiB.
            RunExistsError: A run with the new id is recorded already.
            RunNotFoundError: No kept run has the id of this one.
            StoreUnavailableError: It is not known to be recorded; forking with the same new id again is safe.
        """
        if run_id is not None:
            check_text(run_id, "run_id")
        if resource_id is not None:
            check_text(resource_id, "resource_id")
        wish = Wish(
            to=path_of(step),
            input_data=input_data,
            resume_data=resume_data,
            initial_state=initial_state,
            context=context,
            request_context=request_context,
            per_step=per_step,
        )
        history = await self._load()
        draft = self._draft(history, wish)
        new_id = run_id or run_ids.next()
        await self._engine.start_seeded(
            SeededStart(
                run_id=new_id,
                resource_id=resource_id or history.resource_id,
                graph=history.graph,
                facts=draft.to_fork,
                like=history.run_id,
            )
        )
        return self._handle_on(new_id)

    @parameters_of(fork_async)
    async def fork(self, step: Target, **options: Options) -> RunResult[Out_co]:
        """Do what `time_travel` does as a new run, and wait for that one; see `fork_async`.

        Raises:
            InputError: There is no such node, its input is not known, or something that was given does not fit.
            RunExistsError: A run with the new id is recorded already.
            RunNotFoundError: No kept run has the id of this one.
        """
        forked = await self.fork_async(step, **options)
        return await forked.result()

    async def step(self, *, per_step: bool = True) -> RunResult[Out_co]:
        """Let a paused run do its next node, and wait until it is paused again, ends or is suspended.

        Raises:
            RunStateError: The run is not paused; `status` says what it is.
            RunNotFoundError: No kept run has this id.
        """
        await self.step_async(per_step=per_step)
        return await self.result()

    async def step_async(self, *, per_step: bool = True) -> StartedRun[Out_co]:
        """Let a paused run go on, and return at once (rule 12.6).

        When it returns, that is durable and a worker will drive the run. One pause is ended once.

        Args:
            per_step: Pause again after the next node; if not, the run goes on to its end.

        Raises:
            InputError: `per_step` is neither True nor False.
            RunStateError: The run is not paused, or somebody else let it go on; `status` says what it is.
            RunNotFoundError: No kept run has this id.
            StoreUnavailableError: Nothing was recorded; try again.
        """
        check_flag(per_step, "per_step")
        history = await self._load()
        command = fold_history(history).open.get(PAUSE_PATH)
        if not isinstance(command, AwaitStep):
            raise does_not_fit(self.run_id, "step", history.status)
        fields: dict[str, JsonValue] = {
            "execution": history.execution,
            "number": command.number,
            "per_step": per_step,
        }
        topic = f"step:{history.execution}:{command.number}"
        if not await self._engine.post(self.run_id, kind="step", topic=topic, body=encode(fields)):
            raise does_not_fit(self.run_id, "step", (await self._load()).status)
        self._await_beyond(history, [(PAUSE_PATH, command.number)])
        return self._handle_on(self.run_id)

    @abstractmethod
    async def result(self) -> RunResult[Out_co]:
        """Wait until the run ends, is suspended or paused."""

    @abstractmethod
    def _await_beyond(self, history: History, answered: list[tuple[str, int]]) -> None:
        """Let only such a rest count that comes after what was asked: these waits are over by then."""

    @abstractmethod
    def _handle_on(self, run_id: str) -> StartedRun[Any]:
        """Return a handle on this run or another one of its workflow."""

    async def rewind(self, verb: str, wish: Wish) -> StartedRun[Out_co]:
        """Open the next execution; what `restart_async` and `time_travel_async` do. Whoever opened one meanwhile won.

        Raises:
            InputError: The execution cannot begin as asked.
            RunStateError: The verb does not fit the run's status.
            RunNotFoundError: No kept run has this id.
        """
        first = history = await self._load()
        end = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            _check_status(history, verb, is_restart=not wish.to)
            draft = self._draft(history, wish)
            if await self._engine.reopen(history, draft.to_next, execution=draft.execution):
                break
            history = await self._load()
            if history.execution != first.execution or asyncio.get_running_loop().time() > end:
                raise does_not_fit(self.run_id, verb, history.status)
            await asyncio.sleep(_LOOK_AGAIN)
        self._await_beyond(history, [])
        return self._handle_on(self.run_id)

    def _draft(self, history: History, wish: Wish) -> Draft:
        self._declared.check_keys(history)
        unstored = self._engine.unstored_context
        sealer = self._engine.sealers.get(history.workflow_id)
        return disclosed(sealer, make_draft, history, wish, self._declared, unstored=unstored)

    async def _load(self) -> History:
        refuse_other_loop(self._engine.loop)
        history = await self._engine.load_history(self.run_id)
        if history is None:
            raise RunNotFoundError(self.run_id)
        return history


def _check_status(history: History, verb: str, *, is_restart: bool) -> None:
    is_fitting = history.status in _ENDED_BADLY if is_restart else history.status.is_rest
    if not is_fitting:
        raise does_not_fit(history.run_id, verb, history.status)
