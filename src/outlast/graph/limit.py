"""Limits of a workflow's runs: what authors write, and the rules that it comes to (rule 19)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, Final, NamedTuple, TypeAlias, cast

from outlast.errors import DefinitionError
from outlast.graph.arguments import at_least_one
from outlast.graph.mapping import follow
from outlast.graph.schema import Schema
from outlast.graph.step import to_milliseconds
from outlast.immutable import frozen
from outlast.values import JsonValue, decode, encode

__all__ = ["APP_LIMIT", "Concurrency", "LimitKey", "LimitRule", "RateLimit", "UnusableKeyError", "limit_rules"]

LimitKey: TypeAlias = "str | Callable[[Any], str | int | bool | None] | None"
"""A field of the input by its path, as `customer.id`, or a sync function of the decoded input; None for no key."""

APP_LIMIT: Final = "runs of all workflows"
"""Name of the limit that an app sets for all of its workflows together."""

_LONGEST_KEY: Final = 200


@frozen
class Concurrency:
    """How many runs of a workflow go on at a time, in all processes over one store.

    Raises:
        DefinitionError: A value cannot work; the message says which and what to write instead.
    """

    limit: int
    """How many runs; with a key, how many for each value of it."""
    key: LimitKey = None
    """What is counted apart: a field of the input by its path, as `"customer.id"`, or a sync function of the input that
    gives a text, a whole number, a bool or None."""
    name: str | None = None
    """Workflows whose limits have the same name share them; else a limit is the workflow's own."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            DefinitionError: The message says what and why.
        """
        _check("Concurrency", self.limit, self.key, self.name)


@frozen
class RateLimit:
    """How many runs of a workflow begin in a time, in all processes over one store. Those over it wait; none is lost.

    Beginnings are spread evenly: with `limit=10, per=1`, one every 100 ms. After a pause, `burst` of them may come at
    once. So in any time of the length `per`, at most `limit + burst - 1` runs begin.

    Raises:
        DefinitionError: A value cannot work; the message says which and what to write instead.
    """

    limit: int
    """How many runs; with a key, how many for each value of it."""
    per: timedelta | float
    """In which time, as a timedelta or in seconds."""
    burst: int = 1
    """How many may begin at once after a pause; from 1 to `limit`."""
    key: LimitKey = None
    """What is counted apart, as for `Concurrency`."""
    name: str | None = None
    """Workflows whose limits have the same name share them; else a limit is the workflow's own."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            DefinitionError: The message says what and why.
        """
        _check("RateLimit", self.limit, self.key, self.name)
        if to_milliseconds(self.per, "per", "RateLimit") is None:
            raise DefinitionError("RateLimit has per=None; give seconds or a timedelta above zero")
        at_least_one(self.burst, "burst", "RateLimit")
        if self.burst > self.limit:
            message = f"RateLimit has burst={self.burst}, which is over its limit of {self.limit}"
            raise DefinitionError(message)


class UnusableKeyError(Exception):
    """An input has no key for a limit; the message says why."""


class LimitRule(NamedTuple):
    """A limit of a workflow, as it is declared to stores and applied to inputs."""

    name: str
    """Its name among all limits of a store, in words."""
    most: int
    """How many runs."""
    per_ms: int | None
    """In which time they may begin; None: how many go on at a time."""
    burst: int
    """How many may begin at once."""
    key: LimitKey
    """How to find what is counted apart."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return it as JSON. A key that a function finds is named by `name` alone."""
        told: dict[str, JsonValue] = {"name": self.name, "limit": self.most}
        if self.per_ms is not None:
            told |= {"perMs": self.per_ms, "burst": self.burst}
        if isinstance(self.key, str):
            told["key"] = self.key
        return told

    def key_of(self, schema: Schema[Any], raw: bytes) -> str | None:
        """Return the key of an input as JSON; None if all runs are counted together.

        Raises:
            UnusableKeyError: The input has none, or one that cannot be used.
        """
        if self.key is None:
            return None
        if isinstance(self.key, str):
            try:
                value: object = follow(decode(raw), self.key)
            except LookupError as error:
                raise UnusableKeyError(f"the input has no field '{self.key}': {error}") from None
        else:
            value = _called(self.key, schema.decode(raw))
        return text_of_key(value)


def text_of_key(value: object) -> str:
    """Return a key as JSON.

    Raises:
        UnusableKeyError: It is not a text, a whole number, a bool or None, or too long.
    """
    if value is not None and not isinstance(value, str | int):
        raise UnusableKeyError(f"a key is a text, a whole number, a bool or None, not {value!r:.60}")
    text = encode(cast("JsonValue", value)).decode()
    if len(text) > _LONGEST_KEY:
        raise UnusableKeyError(f"a key has at most {_LONGEST_KEY} characters, not {len(text)}; use a hash of it")
    return text


def limit_rules(workflow_id: str, concurrency: object, rate_limit: object) -> tuple[LimitRule, ...]:
    """Return the limits of a workflow.

    Raises:
        DefinitionError: An option is not what it has to be, or two limits have one name.
    """
    owner = f"workflow '{workflow_id}'"
    if isinstance(concurrency, int):
        concurrency = Concurrency(limit=cast("int", at_least_one(concurrency, "concurrency", owner)))
    rules = [
        LimitRule(f"runs {_subject(each, owner)}", each.limit, None, 1, each.key)
        for each in _listed(concurrency, Concurrency, f"{owner} has concurrency", "Concurrency(limit=5)")
    ]
    rules += [
        LimitRule(
            f"rate {_subject(each, owner)}", each.limit, to_milliseconds(each.per, "per", owner), each.burst, each.key
        )
        for each in _listed(rate_limit, RateLimit, f"{owner} has rate_limit", "RateLimit(limit=10, per=60)")
    ]
    names = [rule.name for rule in rules]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        message = f"{owner} has two limits for {doubles[0]}; give one of them another name with name=..."
        raise DefinitionError(message)
    return tuple(rules)


def _subject(limit: Concurrency | RateLimit, owner: str) -> str:
    by = "" if limit.key is None else f" by {limit.key}" if isinstance(limit.key, str) else " by a function"
    return f"under '{limit.name}'{by}" if limit.name is not None else f"of {owner}{by}"


def _listed(value: object, kind: type[Any], place: str, example: str) -> Iterator[Any]:
    if value is None:
        return
    values: Sequence[object] = cast("Sequence[object]", value) if isinstance(value, list | tuple) else [value]
    for each in values:
        if not isinstance(each, kind):
            message = f"{place}={each!r:.80}; give {example}, or a list of them"
            raise DefinitionError(message)
        yield each


def _check(owner: str, limit: object, key: object, name: object) -> None:
    if at_least_one(limit, "limit", owner) is None:
        message = f"{owner} has limit=None; give a whole number of at least 1"
        raise DefinitionError(message)
    if iscoroutinefunction(key):
        message = f"{owner} has an async function as key; it is called when a run is started, so make it a plain `def`"
        raise DefinitionError(message)
    if key is not None and not callable(key) and not (isinstance(key, str) and key):
        message = f"{owner} has key={key!r:.80}; give the path of a field, as 'customer.id', or a function of the input"
        raise DefinitionError(message)
    if name is not None and not (isinstance(name, str) and name):
        message = f"{owner} has name={name!r:.80}; give a text"
        raise DefinitionError(message)


def _called(key: Callable[[Any], object], value: object) -> object:
    try:
        return key(value)
    except Exception as error:  # user code may raise anything
        raise UnusableKeyError(f"the function of the key raised {type(error).__name__}: {error}") from error
