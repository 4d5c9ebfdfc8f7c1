"""What is known of calls in flight beside their outcomes: how often they began again, and what was heard of them."""

from __future__ import annotations

from collections.abc import Sequence

from outlast.core.commands import CloseBlock, Evaluate, FinishRun, OpenBlock, RunHook, RunStep
from outlast.core.events import Fact, RunCrashed, StepStarted
from outlast.core.frames import ScopeFrame
from outlast.core.ref import Recorded, Ref
from outlast.engines.outcomes import Calling
from outlast.engines.perform import Raised
from outlast.engines.temporal.said import Said, Uttered
from outlast.failures import FailureInfo

__all__ = ["Hearing", "attempt_of", "call_lost"]


def attempt_of(command: Calling) -> int:
    """Return the attempt of a call; 0 where attempts mean nothing."""
    return command.attempt if isinstance(command, RunStep) else 0


def call_lost(path: str) -> Raised:
    """Return what becomes of a call that Temporal itself ended."""
    message = f"Temporal gave up the call of '{path}'; its history says why"
    return Raised(FailureInfo(type="CallLostError", message=message, is_retryable=False))


class Hearing:
    """Keeps apart what was heard before, and what lost calls say, from what is new."""

    def __init__(self, said: int = 0) -> None:
        self.said = said
        """How many events the bodies of the run have said."""
        self._numbers: dict[str, int] = {}
        self._begun: dict[str, tuple[int, int]] = {}
        self._fitting: tuple[str, Ref] | None = None

    def begin(self, path: str) -> None:
        """Forget the earlier calls of a body: it is called anew."""
        self._begun.pop(path, None)

    def news(self, said: Said) -> Sequence[Uttered]:
        """Return what a batch brings; nothing if it was heard before."""
        if said.number <= self._numbers.get(said.source, -1):
            return ()
        self._numbers[said.source] = said.number
        return said.uttered

    def belongs(self, uttered: Uttered, command: Calling | None) -> bool:
        """Say whether something comes from the call that is in flight, or from one that began after it was lost."""
        if not isinstance(command, RunStep) or command.attempt != uttered.record.attempt:
            return False
        restarts, _ = self._begun.get(command.path, (0, 0))
        return uttered.restarts >= restarts

    def note_fit(self, scope: ScopeFrame, seq: int) -> None:
        """Note that a last step found the output of its workflow, the payload of this event, to fit its type."""
        self._fitting = (scope.path, Recorded(seq))

    def is_fitting(self, command: OpenBlock | CloseBlock | FinishRun) -> bool:
        """Say whether it is known that a value fits the type that a workflow declares, and nobody need be asked."""
        return not isinstance(command, OpenBlock) and (command.path, command.output) == self._fitting

    def begun_again(
        self, command: Calling, restarts: int, crashes: int, at_ms: int, *, is_poison: bool = False
    ) -> list[Fact]:
        """Return what is to be recorded because a body was called again since it was last heard of.

        Args:
            command: The call.
            restarts: How often it was called before without an outcome.
            crashes: How many of these calls ended because a process ended by itself.
            at_ms: When that is recorded.
            is_poison: Whether it is not called any more.
        """
        known, known_crashes = self._begun.get(command.path, (0, 0))
        self._begun[command.path] = (restarts, crashes)
        facts: list[Fact] = []
        for number in range(known + 1, restarts + 1):
            ends = is_poison and number == restarts
            if number > restarts - (crashes - known_crashes):
                facts.append((RunCrashed(at_ms, ends), None))
            if not ends and not isinstance(command, Evaluate | RunHook):
                facts.append((StepStarted(at_ms, command.path, attempt_of(command), is_recovered=True), None))
        return facts
