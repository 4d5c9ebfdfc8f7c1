"""The verbs of a handle that let a run go on in another execution, or as another run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from outlast.addressing import Target
from outlast.client.encode import travel_body
from outlast.client.stream import RemoteStream, RemoteView
from outlast.client.transport import Transport
from outlast.repairable import Repairable
from outlast.results import RunResult
from outlast.signature import Options, parameters_of
from outlast.starting import check_flag
from outlast.values import JsonValue

if TYPE_CHECKING:
    from outlast.client.handle import RemoteStartedRun

__all__ = ["RemoteRepairable"]

Out_co = TypeVar("Out_co", covariant=True)


class RemoteRepairable(ABC, Generic[Out_co]):
    """What a handle on a run of a server can do to let it go on; see `RunHandle`, which these verbs are those of.

    All raise what they raise in process, and `ServerUnavailableError` if the server did not answer: then the status and
    the execution of the run tell what became of it.
    """

    _transport: Transport
    run_id: str

    @parameters_of(Repairable[Any].restart_async)
    async def restart(self, **options: Options) -> RunResult[Out_co]:
        """Drive a failed or canceled run again from its unfinished nodes, and wait."""
        await self.restart_async(**options)
        return await self.result()

    async def restart_async(
        self, *, request_context: Mapping[str, JsonValue] | None = None, per_step: bool = False
    ) -> RemoteStartedRun[Out_co]:
        """Drive a failed or canceled run again from its unfinished nodes, and return once that is durable."""
        check_flag(per_step, "per_step")
        body: dict[str, JsonValue] = {"perStep": per_step}
        if request_context is not None:
            body["requestContext"] = dict(request_context)
        return await self.ask("/restart", body)

    @parameters_of(Repairable[Any].time_travel_async)
    async def time_travel(self, step: Target, **options: Options) -> RunResult[Out_co]:
        """Let a run that rests go on from a node, and wait until it ends or rests again."""
        await self.time_travel_async(step, **options)
        return await self.result()

    @parameters_of(Repairable[Any].time_travel_async)
    async def time_travel_async(self, step: Target, **options: Options) -> RemoteStartedRun[Out_co]:
        """Let a run that rests go on from a node, and return once that is durable."""
        return await self.ask("/time-travel", travel_body(step, **options))

    @parameters_of(Repairable[Any].time_travel_async)
    def time_travel_stream(self, step: Target, **options: Options) -> RemoteStream[Out_co]:
        """Let a run that rests go on from a node when the first event is asked for, and show what it does from then on.

        Takes what `time_travel_async` takes, and raises the same, with the first event.
        """

        async def begin() -> RemoteView[Out_co]:
            started = await self.time_travel_async(step, **options)
            return RemoteView(started, started.mark.last_event)

        return RemoteStream(self._transport, self.run_id, begin)

    @parameters_of(Repairable[Any].fork_async)
    async def fork(self, step: Target, **options: Options) -> RunResult[Out_co]:
        """Do what `time_travel` does as a new run, and wait for that one."""
        forked = await self.fork_async(step, **options)
        return await forked.result()

    @parameters_of(Repairable[Any].fork_async)
    async def fork_async(
        self, step: Target, *, run_id: str | None = None, resource_id: str | None = None, **options: Options
    ) -> RemoteStartedRun[Out_co]:
        """Start a new run that goes on from a node of this one, and return a handle on it once it is durable."""
        body = travel_body(step, **options)
        if run_id is not None:
            body["runId"] = run_id
        if resource_id is not None:
            body["resourceId"] = resource_id
        return await self.ask("/fork", body)

    async def step(self, *, per_step: bool = True) -> RunResult[Out_co]:
        """Let a paused run do its next node, and wait until it is paused again, ends or is suspended."""
        await self.step_async(per_step=per_step)
        return await self.result()

    async def step_async(self, *, per_step: bool = True) -> RemoteStartedRun[Out_co]:
        """Let a paused run go on, and return once that is durable."""
        check_flag(per_step, "per_step")
        return await self.ask("/step", {"perStep": per_step})

    @abstractmethod
    async def result(self) -> RunResult[Out_co]:
        """Wait until the run ends, is suspended or paused."""

    @abstractmethod
    async def ask(self, path: str, body: dict[str, JsonValue]) -> RemoteStartedRun[Any]:
        """Ask something of the run once, and return a handle on the run that goes on."""
