"""When a failed step is tried again: what authors write, and the same as data in the graph (rules 9.1 and 9.2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import isfinite
from typing import Any, Final, cast

from outlast.errors import DefinitionError
from outlast.failures import type_name
from outlast.immutable import frozen, immutable
from outlast.values import JsonValue

__all__ = ["LONGEST_DELAY_MS", "Retry", "RetryRule", "rule_from_json", "rule_to_json", "to_rule"]

_MILLISECOND: Final = timedelta(milliseconds=1)
_LONGEST_DELAY: Final = timedelta(days=3650)

LONGEST_DELAY_MS: Final = _LONGEST_DELAY // _MILLISECOND
"""No pause is longer, however often a backoff factor is applied: ten years."""


@frozen
class Retry:
    """How often and when a failed step is tried again.

    The pause after the first failure is `delay`; each later one is `backoff` times longer, up to `max_delay`. They are
    durable: a restart waits only for what is left of a pause. Durations are a `timedelta` or a number of seconds.

    Raises:
        DefinitionError: A value cannot work; the message says which and what to write instead.
    """

    limit: int
    """How many attempts follow the first one; at least 0."""
    delay: timedelta | float = 0
    """Pause between the first failure and the next attempt."""
    backoff: float = 1.0
    """By what each pause is longer than the one before; at least 1. With 2 and a delay of 1 s: 1, 2, 4, 8 s."""
    max_delay: timedelta | float | None = None
    """The longest pause; None for ten years."""
    jitter: float = 0.0
    """By which share of itself, from 0 to 1, a pause may be shortened so that steps which failed together do not return
    together. What it comes to follows from run, path and attempt: it is the same whenever it is computed."""
    retry_on: tuple[type[BaseException], ...] = ()
    """Only failures of these types are tried again; empty for all. Subclasses count, as in `except`; an attempt that
    took longer than the step's `timeout` counts as `TimeoutError`."""
    stop_on: tuple[type[BaseException], ...] = ()
    """Failures of these types are never tried again, whatever `retry_on` says."""
    max_elapsed: timedelta | float | None = None
    """No attempt begins later than this after the first one began; None for no such limit."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            DefinitionError: The message says what and why.
        """
        problem = self._problem()
        if problem:
            raise DefinitionError(f"Retry: {problem}")

    def _problem(self) -> str | None:
        if not _is_number(self.limit) or self.limit != int(self.limit) or self.limit < 0:
            return f"limit is how many attempts follow the first one, 0 or more, not {self.limit!r}"
        for name in ("delay", "max_delay", "max_elapsed"):
            if problem := _why_no_duration(name, getattr(self, name)):
                return problem
        if not _is_number(self.backoff) or self.backoff < 1:
            return f"backoff is a factor of at least 1, not {self.backoff!r}; 1 keeps the pauses equal, 2 doubles them"
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            return f"jitter is the share of a pause that may be left out, from 0 to 1, not {self.jitter!r}"
        if self.max_delay is not None and _to_ms(self.max_delay) < _to_ms(self.delay):
            return f"max_delay {self.max_delay!r} is shorter than delay {self.delay!r}, the first pause"
        for name in ("retry_on", "stop_on"):
            if problem := _why_no_types(name, getattr(self, name)):
                return problem
        both = [kind.__name__ for kind in self.retry_on if kind in self.stop_on]
        return f"{both[0]} is both in retry_on and in stop_on; take it out of one" if both else None


@immutable(kw_only=True)
class RetryRule:
    """A `Retry` as graph data."""

    limit: int = 0
    """How many attempts follow the first one."""
    delay_ms: int = 0
    """Milliseconds between the first failure and the next attempt."""
    backoff: float = 1.0
    """By what each pause is longer than the one before."""
    max_delay_ms: int | None = None
    """The longest pause in milliseconds; None for `LONGEST_DELAY_MS`."""
    jitter: float = 0.0
    """By which share of itself a pause may be shortened, from 0 to 1."""
    retry_on: tuple[str, ...] = ()
    """Names of exception types (see `type_name`): only these are tried again; empty for all."""
    stop_on: tuple[str, ...] = ()
    """Names of exception types that are never tried again; they win over `retry_on`."""
    max_elapsed_ms: int | None = None
    """Milliseconds after the begin of the first attempt during which another may begin; None for ever."""


def to_rule(retry: Retry | int | None) -> RetryRule:
    """Return what an author wrote as `retries=` as graph data: a number alone means attempts without a pause.

    Raises:
        DefinitionError: The number is below zero, or none.
    """
    if retry is None:
        return RetryRule()
    if not isinstance(retry, Retry):
        retry = Retry(limit=retry)
    return RetryRule(
        limit=int(retry.limit),
        delay_ms=_to_ms(retry.delay),
        backoff=float(retry.backoff),
        max_delay_ms=None if retry.max_delay is None else _to_ms(retry.max_delay),
        jitter=float(retry.jitter),
        retry_on=tuple(type_name(kind) for kind in retry.retry_on),
        stop_on=tuple(type_name(kind) for kind in retry.stop_on),
        max_elapsed_ms=None if retry.max_elapsed is None else _to_ms(retry.max_elapsed),
    )


def rule_to_json(rule: RetryRule) -> dict[str, JsonValue]:
    """Return the rule as a JSON object; what is as usual is left out."""
    data: dict[str, JsonValue] = {"limit": rule.limit, "delay_ms": rule.delay_ms}
    if rule.backoff != 1:
        data["backoff"] = rule.backoff
    if rule.max_delay_ms is not None:
        data["max_delay_ms"] = rule.max_delay_ms
    if rule.jitter:
        data["jitter"] = rule.jitter
    if rule.retry_on:
        data["retry_on"] = list(rule.retry_on)
    if rule.stop_on:
        data["stop_on"] = list(rule.stop_on)
    if rule.max_elapsed_ms is not None:
        data["max_elapsed_ms"] = rule.max_elapsed_ms
    return data


def rule_from_json(data: Mapping[str, JsonValue]) -> RetryRule:
    """Return the rule that `rule_to_json` wrote; what is missing is as usual, what is unknown is ignored."""
    fields = cast("Mapping[str, Any]", data)
    return RetryRule(
        limit=fields.get("limit", 0),
        delay_ms=fields.get("delay_ms", 0),
        backoff=float(fields.get("backoff", 1.0)),
        max_delay_ms=fields.get("max_delay_ms"),
        jitter=float(fields.get("jitter", 0.0)),
        retry_on=tuple(fields.get("retry_on", ())),
        stop_on=tuple(fields.get("stop_on", ())),
        max_elapsed_ms=fields.get("max_elapsed_ms"),
    )


def _to_ms(duration: timedelta | float) -> int:
    if not isinstance(duration, timedelta):
        duration = timedelta(seconds=duration)
    return round(duration / _MILLISECOND)


def _why_no_duration(name: str, duration: object) -> str | None:
    if duration is None and name != "delay":
        return None
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif _is_number(duration):
        seconds = cast("float", duration)
    else:
        return f"{name} is a timedelta or a number of seconds, not {duration!r}"
    if not 0 <= seconds <= _LONGEST_DELAY.total_seconds():
        return f"{name} must be between 0 and ten years, not {duration!r}"
    return None


def _why_no_types(name: str, kinds: object) -> str | None:
    if isinstance(kinds, type):
        return f"{name} is a tuple of exception types; write ({kinds.__name__},)"
    if not isinstance(kinds, tuple):
        return f"{name} is a tuple of exception types, not {kinds!r}"
    for kind in cast("tuple[object, ...]", kinds):
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            return f"{name} holds {kind!r}, which is not an exception type"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
